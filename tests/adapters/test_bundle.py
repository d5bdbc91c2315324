"""A policy bundle read from its folder: its revision, its strictness, and faults told so that they can be mended."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from tests.policy_bundles import DENY_ALL, ENTITLEMENT, written

from remit_server.adapters.policy.bundles import bundle_files
from remit_server.adapters.policy.bundles.bundle import examine, read_bundle, revision_of, stamp
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.domain.capability import ParameterKind

RULES = {"remit/issue/issue.rego": DENY_ALL}
ROLE = str(ENTITLEMENT["role_arn"])


def faults(folder: Path) -> tuple[Finding, ...]:
    with pytest.raises(BundleRefused) as raised:
        read_bundle(folder)
    return raised.value.findings


def catalogue(entry: str = "", *, roles: str = ROLE, group: str = "reader") -> str:
    return f"""roles: ["{roles}"]
by_group:
  analysts: [{group}]
entitlements:
  reader:
    description: Reads reports
    actors: ["spiffe://example/agents/*"]
    role_arn: "{ROLE}"
    permissions:
      - actions: ["s3:GetObject"]
        resources: ["arn:aws:s3:::reports/*"]
        conditions: []
    max_credential_seconds: 3600
    max_task_seconds: 28800
{entry}"""


def test_the_revision_is_the_digest_of_sorted_path_and_digest_lines(tmp_path: Path) -> None:
    files = {"remit/b.rego": "package remit.b\n", "remit/a/data.json": "{}"}
    lines = sorted(
        path.encode() + b"\0" + hashlib.sha256(text.encode()).hexdigest().encode() + b"\n"
        for path, text in files.items()
    )

    revision = read_bundle(written(tmp_path, files)).revision

    assert revision == hashlib.sha256(b"".join(lines)).hexdigest()


def test_manifest_and_signatures_stay_outside_the_revision() -> None:
    files = {"remit/a.rego": b"package remit.a\n"}

    assert revision_of(files) == revision_of({**files, ".manifest": b"{}", ".signatures.json": b"{}"})


@pytest.mark.parametrize("path", ["remit/a.rego", "remit/c.rego", "remit/sub/a.rego"])
def test_any_change_to_a_file_or_its_name_changes_the_revision(path: str) -> None:
    files = {"remit/a.rego": b"package remit.a\n", "remit/b.rego": b"package remit.b\n"}

    assert revision_of(files) != revision_of({**files, path: b"package remit.a # changed\n"})


def test_no_two_layouts_share_a_revision_by_moving_a_boundary() -> None:
    assert revision_of({"remit/a": b"", "remit/b": b""}) != revision_of({"remit/a\0remit/b": b""})


def test_a_stamped_manifest_holds_until_a_file_changes(tmp_path: Path) -> None:
    written(tmp_path, RULES)
    revision = stamp(tmp_path)

    assert read_bundle(tmp_path).revision == revision
    (tmp_path / "remit/issue/issue.rego").write_text(DENY_ALL + "# more\n")
    (fault,) = faults(tmp_path)
    assert fault.path == ".manifest"
    assert "policy stamp" in fault.mend
    assert read_bundle(tmp_path, stamped=False).revision != revision


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        '{"roots": []}',
        '{"roots": [""]}',
        '{"roots": ["remit", "other"]}',
        '{"roots": ["remit"], "roots": [""]}',
        '{"roots": ["remit"], "rego_version": 0}',
        '{"roots": ["remit"], "file_rego_versions": {"*": 0}}',
        '{"roots": ["remit"], "wasm": []}',
        '{"roots": ["remit"], "revision": "v1"}',
        '{"roots": ["remit"], "revision": 1}',
        '{"roots": ["remit"], "revision": "' + "0" * 64 + '"}',
    ],
)
def test_a_manifest_that_could_mean_something_else_is_refused(tmp_path: Path, manifest: str) -> None:
    written(tmp_path, {**RULES, ".manifest": manifest})

    assert {fault.path for fault in faults(tmp_path)} == {".manifest"}


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    written(tmp_path, RULES)
    (tmp_path / ".manifest").unlink()

    assert [fault.problem for fault in faults(tmp_path)] == ["it is missing"]


@pytest.mark.parametrize("path", ["remit/entitlements.yaml", "remit/x.json", "remit/run.sh", "remit/policy.wasm"])
def test_a_file_that_opa_would_leave_out_is_refused(tmp_path: Path, path: str) -> None:
    written(tmp_path, {**RULES, path: "{}"})

    assert [fault.path for fault in faults(tmp_path)] == [path]


@pytest.mark.parametrize("path", ["data.json", "other/data.json", "other/a.rego", "schemas/data.json"])
def test_what_stands_outside_the_root_is_refused(tmp_path: Path, path: str) -> None:
    written(tmp_path, {**RULES, path: '{"other": 1}'})

    assert [fault.path for fault in faults(tmp_path)] == [path]


def test_schemas_and_notes_may_lie_in_a_bundle_and_count(tmp_path: Path) -> None:
    plain = read_bundle(written(tmp_path / "plain", RULES))

    more = read_bundle(written(tmp_path / "more", {**RULES, "schemas/x.json": "{}", "remit/README.md": "# Why\n"}))

    assert more.modules == plain.modules
    assert more.revision != plain.revision


def test_a_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    written(tmp_path / "bundle", RULES)
    (tmp_path / "bundle/remit/data.json").symlink_to(tmp_path / "bundle/remit/issue/issue.rego")

    (fault,) = faults(tmp_path / "bundle")

    assert fault.path == "remit/data.json"
    assert "symbolic link" in fault.problem


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "bundle", RULES)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bundle/remit/more").symlink_to(tmp_path / "elsewhere")

    assert [fault.path for fault in faults(tmp_path / "bundle")] == ["remit/more"]


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    written(tmp_path, RULES)
    os.mkfifo(tmp_path / "remit/data.json")

    assert [fault.path for fault in faults(tmp_path)] == ["remit/data.json"]


@pytest.mark.parametrize("name", ["a b.rego", "ä.rego", "a\n.rego", "-rf.rego"])
def test_an_odd_name_is_refused(tmp_path: Path, name: str) -> None:
    written(tmp_path, {**RULES, f"remit/{name}": "package remit.a\n"})

    assert "not plain" in faults(tmp_path)[0].problem


def test_a_bundle_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, {**RULES, "remit/a/data.json": json.dumps({"text": "x" * 2000})})
    monkeypatch.setattr(bundle_files, "MAX_TOTAL_BYTES", 1000)

    assert "over its bounds" in faults(tmp_path)[0].problem


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, {**RULES, "remit/a.rego": "package remit.a\n"})
    monkeypatch.setattr(bundle_files, "MAX_FILES", 2)

    assert "over 2 files" in faults(tmp_path)[0].problem


def test_folders_are_bounded_in_depth(tmp_path: Path) -> None:
    written(tmp_path, {**RULES, "remit/" + "a/" * 20 + "a.rego": "package remit.a\n"})

    assert "deep" in faults(tmp_path)[0].problem


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "no such folder" in faults(tmp_path / "none")[0].problem


@pytest.mark.parametrize("content", [b"package remit.a\0\n", b"\xef\xbb\xbfpackage remit.a\n", b"package remit.\xff\n"])
def test_rego_that_is_not_plain_text_is_refused(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, RULES)
    (tmp_path / "remit/a.rego").write_bytes(content)

    assert [fault.path for fault in faults(tmp_path)] == ["remit/a.rego"]


def test_data_files_grow_one_tree(tmp_path: Path) -> None:
    files = {
        **RULES,
        "remit/x/data.yaml": "a: 1\n",
        "remit/x/y/data.json": '{"b": [true]}',
        "remit/data.yaml": "c: no one\n",
    }

    tree = json.loads(read_bundle(written(tmp_path, files)).data_json)

    assert tree == {"remit": {"c": "no one", "x": {"a": 1, "y": {"b": [True]}}}}


@pytest.mark.parametrize(
    "files",
    [
        {"remit/x/data.yaml": "a: 1\n", "remit/x/data.json": '{"a": 2}'},
        {"remit/data.yaml": "x:\n  a: 1\n", "remit/x/data.yaml": "a: 2\n"},
        {"remit/data.yaml": "x: 1\n", "remit/x/data.yaml": "a: 2\n"},
        {"remit/data.yaml": "- 1\n"},
        {"remit/data.json": "7"},
        {"remit/data.json": '{"a": 1, "a": 2}'},
        {"remit/data.json": '{"a": NaN}'},
        {"remit/data.yaml": "a: 1\na: 2\n"},
        {"remit/data.yaml": "a: &x [1]\nb: *x\n"},
        {"remit/data.yaml": "a: yes\n"},
    ],
)
def test_data_with_two_meanings_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    written(tmp_path, {**RULES, **files})

    assert faults(tmp_path)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    written(tmp_path, {**RULES, ".manifest": "{}", "remit/x.sh": "", "remit/data.yaml": "a: off\n"})

    assert [fault.path for fault in faults(tmp_path)] == [".manifest", "remit/data.yaml", "remit/x.sh"]


def test_a_catalogue_s_capabilities_are_read_with_their_types(tmp_path: Path) -> None:
    text = """s3.read_prefix:
  description: Reads
  access: read
  parameters:
    bucket: {type: s3_bucket}
    prefix: {type: s3_prefix}
  permissions:
    - actions: ["s3:GetObject"]
      resources: ["arn:aws:s3:::{bucket}/{prefix}*"]
  kms_key_arns: ["arn:aws:kms:eu-central-1:111122223333:key/1234"]
"""

    capability = read_bundle(written(tmp_path, {**RULES, "remit/catalog/capabilities/data.yaml": text})).capabilities[
        "s3.read_prefix"
    ]

    assert capability.parameters == {"bucket": ParameterKind.S3_BUCKET, "prefix": ParameterKind.S3_PREFIX}
    assert capability.permissions[0].resources == ("arn:aws:s3:::{bucket}/{prefix}*",)
    key = capability.permissions[1]
    assert key.actions == ("kms:Decrypt",)
    assert key.resources == ("arn:aws:kms:eu-central-1:111122223333:key/1234",)
    assert [(one.operator, one.key, one.values) for one in key.conditions] == [
        ("StringEquals", "kms:ViaService", ("s3.eu-central-1.amazonaws.com",))
    ]


def test_writing_under_a_key_also_asks_for_data_keys(tmp_path: Path) -> None:
    text = """dynamodb.write_items:
  description: Writes
  access: write
  parameters:
    table: {type: dynamodb_table}
  permissions:
    - actions: ["dynamodb:PutItem"]
      resources: ["arn:aws-cn:dynamodb:cn-north-1:111122223333:table/{table}"]
  kms_key_arns: ["arn:aws-cn:kms:cn-north-1:111122223333:key/1234"]
"""

    bundle = read_bundle(written(tmp_path, {**RULES, "remit/catalog/capabilities/data.yaml": text}))

    key = bundle.capabilities["dynamodb.write_items"].permissions[1]
    assert key.actions == ("kms:Decrypt", "kms:GenerateDataKey")
    assert key.conditions[0].values == ("dynamodb.cn-north-1.amazonaws.com.cn",)


ENTITLEMENT_FAULTS = {
    "an unknown member": ("    max_uses: 3\n", 15, "unknown member"),
    "a misspelt member": (
        "  writer:\n    description: x\n    permisions: []\n",
        15,
        "role_arn and has an unknown member 'permisions'",
    ),
    "a bad approval": ("    approval: yes please\n", 15, "must be an object"),
    "a bad network": ("    bind: {source_cidrs: [everywhere]}\n", 15, "must be a network"),
    "an issuer list that is text": ("    issuers: corp\n", 15, "must be a list"),
    "labels that are no text": ("    task_labels: {project: 3}\n", 15, "string"),
    "hours without days": ('    hours: {from: "08:00", to: "18:00", time_zone: UTC}\n', 15, "lacks days"),
    "hours that run backwards": (
        '    hours: {days: [Monday], from: "18:00", to: "08:00", time_zone: UTC}\n',
        15,
        "before they end",
    ),
    "an entry nobody reaches": ("  writer:\n    description: x\n", 15, "lacks actors"),
}


@pytest.mark.parametrize(("entry", "line", "expected"), ENTITLEMENT_FAULTS.values(), ids=ENTITLEMENT_FAULTS.keys())
def test_a_fault_of_an_entitlement_is_told_with_its_line(tmp_path: Path, entry: str, line: int, expected: str) -> None:
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": catalogue(entry)})

    found = faults(tmp_path)

    assert {fault.path for fault in found} == {"remit/catalog/entitlements/data.yaml"}
    assert any(expected in fault.problem and fault.line in {line, 5} for fault in found), found


def test_a_sound_entitlement_is_taken(tmp_path: Path) -> None:
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": catalogue()})

    assert "reader" in json.loads(read_bundle(tmp_path).data_json)["remit"]["catalog"]["entitlements"]["entitlements"]


def test_an_actor_that_is_no_agent_s_name_is_advised_against_and_taken(tmp_path: Path) -> None:
    text = catalogue().replace('"spiffe://example/agents/*"', '"spiffe://example/agents/*", "gitlab:app", "copilot"')
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": text})

    reading = examine(tmp_path)

    assert reading.faults == ()
    (advice,) = reading.advice
    assert "entitlements.reader.actors[2]" in advice.problem
    assert "SPIFFE ID or <issuer alias>:<subject>" in advice.problem
    assert advice.line >= 5


@pytest.mark.parametrize("labels", ["", "    task_labels: {emergency: declared}\n"])
def test_break_glass_for_every_task_is_advised_against(tmp_path: Path, labels: str) -> None:
    reviewed = "    approval: {groups: [leads], by: others, min_approvers: 1, valid_seconds: 600}\n"
    text = catalogue().replace("    actors:", f"{labels}{reviewed}    kind: break_glass\n    actors:")
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": text})

    reading = examine(tmp_path)

    assert reading.faults == ()
    assert ["break_glass is issued at once" in advice.problem for advice in reading.advice] == (
        [] if labels else [True]
    )


def test_break_glass_that_nobody_reviews_is_a_fault(tmp_path: Path) -> None:
    text = catalogue().replace("    actors:", "    kind: break_glass\n    actors:")
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": text})

    (fault,) = examine(tmp_path).faults

    assert "must name the groups that review a break-glass" in fault.problem


def test_an_entitlement_that_no_group_reaches_is_told(tmp_path: Path) -> None:
    more = catalogue().replace("  reader:", "  other:", 1)
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": more})

    problems = " ".join(fault.problem for fault in faults(tmp_path))

    assert "leads to no entitlement" in problems
    assert "reached by no group" in problems


def test_an_id_that_leads_nowhere_is_named_with_the_one_that_is_near(tmp_path: Path) -> None:
    more = catalogue().replace("  reader:", "  readers:", 1)
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": more})

    (fault,) = [one for one in faults(tmp_path) if one.rule == "dangling-group"]

    assert "'reader'" in fault.problem
    assert fault.mend == "Did you mean readers?"


def test_an_entitlement_for_an_unlisted_role_is_told(tmp_path: Path) -> None:
    text = catalogue(roles="arn:aws:iam::111122223333:role/other")
    written(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": text})

    assert "order in which roles are tried" in faults(tmp_path)[0].problem


CAPABILITY_FAULTS = {
    "an unknown parameter type": ("{type: anything}", "arn:aws:s3:::{bucket}/*", "unknown parameter type"),
    "an undeclared placeholder": ("{type: s3_bucket}", "arn:aws:s3:::{folder}/*", "no parameter"),
    "a policy variable": ("{type: s3_bucket}", "arn:aws:s3:::{bucket}/${aws:username}", "policy variable"),
    "a short ARN": ("{type: s3_bucket}", "arn:aws:s3", "not a permission"),
    "a wildcard service": ("{type: s3_bucket}", "arn:aws:*:::{bucket}", "not a permission"),
    "stray braces": ("{type: s3_bucket}", "arn:aws:s3:::{bucket}/{Key}", "only for parameters"),
    "an optional one used always": ("{type: s3_bucket, optional: true}", "arn:aws:s3:::{bucket}/*", "without needs"),
}


@pytest.mark.parametrize(
    ("parameter", "resource", "expected"), CAPABILITY_FAULTS.values(), ids=CAPABILITY_FAULTS.keys()
)
def test_a_capability_that_could_go_wrong_is_refused(
    tmp_path: Path, parameter: str, resource: str, expected: str
) -> None:
    text = f"""s3.read:
  description: Reads
  access: read
  parameters:
    bucket: {parameter}
  permissions:
    - actions: ["s3:GetObject"]
      resources: ["{resource}"]
"""
    written(tmp_path, {**RULES, "remit/catalog/capabilities/data.yaml": text})

    (fault,) = faults(tmp_path)

    assert expected in fault.problem
    assert fault.line in {5, 7, 8}
