"""`policy diff` on the default policy and known edits of it: each is named, with its direction, by the real engine."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.policy_bundles import DEFAULT_POLICIES
from typer.testing import CliRunner, Result

from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import revision_of
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.cli.policy import app
from remit_server.cli.policy.naming.sources_of import files_from

ENTITLEMENTS = "remit/catalog/entitlements/data.yaml"
CAPABILITIES = "remit/catalog/capabilities/data.yaml"
ADMINISTRATION = "remit/catalog/administration/data.yaml"
PRODUCTION = "remit/catalog/production/data.yaml"
ISSUE = "remit/issue/issue.rego"
COPILOT = "spiffe://remit.sandbox/agent/copilot"

Edited = Callable[..., Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    """Gives copies of the default policy with texts replaced, each found exactly where it is said to be."""

    def copy(*edits: tuple[str, str, str], of: Path = DEFAULT_POLICIES) -> Path:
        folder = tmp_path / f"policy{len(list(tmp_path.iterdir()))}"
        shutil.copytree(of, folder)
        for path, old, new in edits:
            text = (folder / path).read_text(encoding="utf-8")
            assert old in text
            (folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")
        return folder

    return copy


def diff(before: Path | str, after: Path | str, *options: str) -> Result:
    return CliRunner().invoke(app, ["diff", str(before), str(after), *options])


def changes(before: Path, after: Path) -> dict[str, Any]:
    result = diff(before, after, "--format", "json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def without_rule(code: str) -> tuple[str, str, str]:
    """Returns the edit that takes out the rule with this reason."""
    text = (DEFAULT_POLICIES / ISSUE).read_text(encoding="utf-8")
    start = text.index(f'reasons contains {{\n\t"code": "{code}"')
    end = text.index("\n}\n\n", start) + len("\n}\n\n")
    return ISSUE, text[start:end], ""


WORKDAY = '{days: [Monday], from: "08:00", to: "18:00", time_zone: Europe/Berlin}'
PUBLISHER = """by_caller:
  "https://ci.example":
    "project:a":
      - visible: all
        may: [PolicyService.PublishRevision]"""
BOTH_GROUPS = """
usable["orders-writer"] := catalogue.entitlements["orders-writer"] if {
	"analysts" in input.subject.groups
	"security" in input.subject.groups
}
"""
APPROVAL = "    approval: {groups: [security], by: others, min_approvers: 1, valid_seconds: 600}\n"
KNOWN_EDITS: dict[str, tuple[tuple[str, str, str], dict[str, Any]]] = {
    "an approval is dropped": (
        (ENTITLEMENTS, APPROVAL, ""),
        {"direction": "widening", "what": "approval", "entitlement": "reports-publisher", "after": "no approval"},
    ),
    "an approval is weakened to the user's own yes": (
        (
            ENTITLEMENTS,
            "by: others, min_approvers: 1, valid_seconds: 600",
            "by: subject, min_approvers: 1, valid_seconds: 600",
        ),
        {"direction": "widening", "what": "approval", "after": "a yes of the user in person, valid for 600 s"},
    ),
    "other people approve": (
        (
            ENTITLEMENTS,
            "{groups: [security], by: others, min_approvers: 1, valid_seconds: 600}",
            "{groups: [ops], by: others, min_approvers: 1, valid_seconds: 600}",
        ),
        {"direction": "both", "what": "approval", "after": "1 of ops, valid for 600 s"},
    ),
    "one more person approves": (
        (ENTITLEMENTS, "min_approvers: 1, valid_seconds: 600", "min_approvers: 2, valid_seconds: 600"),
        {"direction": "narrowing", "what": "approval"},
    ),
    "an entitlement becomes break-glass": (
        (ENTITLEMENTS, APPROVAL, f"    kind: break_glass\n{APPROVAL}"),
        {"direction": "widening", "what": "kind", "before": "standard", "after": "break_glass"},
    ),
    "an actor becomes any": (
        (
            ENTITLEMENTS,
            f'actors: ["{COPILOT}"]\n    role_arn: arn:aws:iam::111122223333:role/remit-data',
            'actors: ["spiffe://remit.sandbox/agent/*"]\n    role_arn: arn:aws:iam::111122223333:role/remit-data',
        ),
        {"direction": "widening", "what": "permission", "entitlement": "orders-writer", "action": "dynamodb:PutItem"},
    ),
    "a prefix becomes a bucket": (
        (ENTITLEMENTS, 'resources: ["arn:aws:s3:::reports/drafts/*"]', 'resources: ["arn:aws:s3:::reports/*"]'),
        {"direction": "widening", "what": "permission", "action": "s3:PutObject", "resource": "arn:aws:s3:::reports/*"},
    ),
    "an action goes": (
        (ENTITLEMENTS, ', "s3:DeleteObject"', ""),
        {"direction": "narrowing", "what": "permission", "action": "s3:DeleteObject"},
    ),
    "credentials live longer": (
        (ENTITLEMENTS, "max_credential_seconds: 1800", "max_credential_seconds: 3600"),
        {"direction": "widening", "what": "max_credential_seconds", "before": "1800 s", "after": "3600 s"},
    ),
    "a task lives shorter": (
        (ENTITLEMENTS, "max_task_seconds: 28800", "max_task_seconds: 28000"),
        {"direction": "narrowing", "what": "max_task_seconds", "before": "28800 s", "after": "28000 s"},
    ),
    "credentials are renewed without the user": (
        (ENTITLEMENTS, "max_task_seconds: 28800", "max_task_seconds: 28800\n    offline_renewal: true"),
        {"direction": "widening", "what": "offline_renewal"},
    ),
    "a network is asked for": (
        (ENTITLEMENTS, "max_task_seconds: 28800", 'max_task_seconds: 28800\n    bind: {source_cidrs: ["10.0.0.0/8"]}'),
        {"direction": "narrowing", "what": "bind", "before": "anywhere", "after": "10.0.0.0/8"},
    ),
    "an emergency need not be declared": (
        (ENTITLEMENTS, "    task_labels: {emergency: declared}\n", ""),
        {"direction": "widening", "what": "kind", "entitlement": "reports-rescue"},
    ),
    "another issuer is accepted only": (
        (
            ENTITLEMENTS,
            'actors: ["spiffe://remit.sandbox/agent/*", "sandbox:reporter"]',
            'actors: ["spiffe://remit.sandbox/agent/*", "sandbox:reporter"]\n    issuers: ["https://login.example"]',
        ),
        {"direction": "narrowing", "what": "permission", "entitlement": "reports-reader", "action": "s3:ListBucket"},
    ),
    "hours are asked for": (
        (
            ENTITLEMENTS,
            "max_task_seconds: 28800",
            f"max_task_seconds: 28800\n    hours: {WORKDAY}",
        ),
        {"direction": "narrowing", "what": "permission", "entitlement": "reports-reader", "action": "s3:ListBucket"},
    ),
    "a group is led to more": (
        (ENTITLEMENTS, "analysts: [", "analysts: [orders-reader, "),
        {"direction": "widening", "what": "permission", "where": "arn:aws:iam::111122223333:role/remit-data"},
    ),
    "roles change places": (
        (
            ENTITLEMENTS,
            "  - arn:aws:iam::111122223333:role/remit-reports\n  - arn:aws:iam::111122223333:role/remit-data",
            "  - arn:aws:iam::111122223333:role/remit-data\n  - arn:aws:iam::111122223333:role/remit-reports",
        ),
        {"direction": "neutral", "what": "role_order"},
    ),
    "a capability stands for more": (
        (CAPABILITIES, 'resources: ["arn:aws:s3:::{bucket}/{key}"]', 'resources: ["arn:aws:s3:::{bucket}/{key}*"]'),
        {"direction": "widening", "what": "capability", "where": "s3.read_object", "action": "s3:GetObject"},
    ),
    "a capability stands for less": (
        (CAPABILITIES, '"dynamodb:BatchGetItem", "dynamodb:Query"', '"dynamodb:BatchGetItem"'),
        {"direction": "narrowing", "what": "capability", "where": "dynamodb.read_items", "action": "dynamodb:Query"},
    ),
    "staff sees everything": (
        (ADMINISTRATION, "  staff:\n    - visible: own", "  staff:\n    - visible: all"),
        {"direction": "widening", "what": "administration", "where": "group staff", "before": "sees its own grants"},
    ),
    "a pipeline may publish": (
        (
            ADMINISTRATION,
            "by_caller: {}",
            PUBLISHER,
        ),
        {
            "direction": "widening",
            "what": "administration",
            "action": "PolicyService.PublishRevision",
            "before": "refused",
        },
    ),
}


@pytest.mark.parametrize("name", KNOWN_EDITS)
def test_a_known_edit_is_named_with_its_direction(name: str, edited: Edited) -> None:
    edit, expected = KNOWN_EDITS[name]

    told = changes(DEFAULT_POLICIES, edited(edit))

    assert [one for one in told["changes"] if expected.items() <= one.items()]
    assert told["doubts"] == []


def test_a_widening_does_not_pass_unless_it_is_allowed(edited: Edited) -> None:
    after = edited((ENTITLEMENTS, APPROVAL, ""))

    assert diff(DEFAULT_POLICIES, after).exit_code == 0
    stopped = diff(DEFAULT_POLICIES, after, "--ci")
    assert stopped.exit_code == 1
    assert "NOT ACCEPTED: somebody can reach more: if that is meant, say --allow-widening" in stopped.stderr
    assert diff(DEFAULT_POLICIES, after, "--ci", "--allow-widening").exit_code == 0
    assert diff(after, DEFAULT_POLICIES, "--ci").exit_code == 0


def test_a_reading_of_the_rules_lets_no_widening_pass(edited: Edited) -> None:
    after = edited((ENTITLEMENTS, APPROVAL, ""))
    word = changes(DEFAULT_POLICIES, after)["review"]

    assert diff(DEFAULT_POLICIES, after, "--ci", "--rules-reviewed", word).exit_code == 1


def test_comments_layout_and_tests_of_rules_change_nothing(edited: Edited) -> None:
    after = edited(
        (ISSUE, "\tcount(candidates) == 0\n", "\t# nobody\n\n\t  count( candidates )   ==  0\n"),
        ("remit/issue/issue_test.rego", "package remit.issue_test", "package remit.issue_test\n\nnothing := 7"),
    )

    result = diff(DEFAULT_POLICIES, after, "--ci")

    assert result.exit_code == 0
    assert "verdict: equal" in result.stdout


def test_a_rule_that_went_is_named_where_nobody_reaches_more_by_it_and_is_no_proof(edited: Edited) -> None:
    after = edited(without_rule("production_delete"))

    told = changes(DEFAULT_POLICIES, after)

    assert told["verdict"] == "unproven"
    assert [one for one in told["changes"] if one["before"] == "production_delete" and one["direction"] == "neutral"]
    assert [doubt["kind"] for doubt in told["doubts"]] == ["rules"]
    assert f"rules changed in {ISSUE} (remit.issue.reasons)" in told["doubts"][0]["text"]
    stopped = diff(DEFAULT_POLICIES, after, "--ci")
    assert stopped.exit_code == 1
    assert f"--rules-reviewed {told['review']}" in stopped.stderr
    assert diff(DEFAULT_POLICIES, after, "--ci", "--rules-reviewed", "0" * 16).exit_code == 1
    assert diff(DEFAULT_POLICIES, after, "--ci", "--rules-reviewed", told["review"]).exit_code == 0


def test_a_yes_to_one_reading_is_none_to_the_next(edited: Edited) -> None:
    first = edited(without_rule("production_delete"))
    second = edited((PRODUCTION, "  - s3:delete\n", ""), of=first)
    word = changes(DEFAULT_POLICIES, first)["review"]

    assert diff(DEFAULT_POLICIES, second, "--ci", "--rules-reviewed", word).exit_code == 1


def test_a_rule_that_went_is_a_widening_where_somebody_reaches_more_by_it(edited: Edited) -> None:
    before = edited(
        (ENTITLEMENTS, 'resources: ["arn:aws:s3:::reports/drafts/*"]', 'resources: ["arn:aws:s3:::reports/*"]'),
        (PRODUCTION, "arn:aws:s3:::production", "arn:aws:s3:::reports/final/"),
    )
    after = edited(without_rule("production_delete"), of=before)

    told, back = changes(before, after), changes(after, before)

    found = [one for one in told["changes"] if one["what"] == "refusal"]
    assert told["verdict"] == "widening"
    assert {one["direction"] for one in found} == {"widening"}
    assert {one["before"] for one in found} == {"production_delete"}
    assert "arn:aws:s3:::reports/final/any" in {one["example"]["resource"] for one in found}
    assert {one["direction"] for one in back["changes"] if one["what"] == "refusal"} == {"narrowing"}
    assert back["verdict"] == "unproven"


def test_a_rule_that_gives_more_to_who_is_in_two_groups_is_seen_with_both(edited: Edited) -> None:
    before = edited((ENTITLEMENTS, "  analysts: [", "  security: [reports-reader]\n  analysts: ["))
    after = edited((ISSUE, "\nusable_of[", f"{BOTH_GROUPS}\nusable_of["), of=before)

    told = changes(before, after)

    found = [one for one in told["changes"] if one["what"] == "permission" and one["direction"] == "widening"]
    assert {tuple(one["groups"]) for one in found} == {("analysts", "security")}


def test_a_rule_that_gives_something_to_a_group_of_its_own_is_seen(edited: Edited) -> None:
    more = '["orders-writer"] := catalogue.entitlements["orders-writer"] if'
    group = f'\ncandidates{more} "night-watch" in input.subject.groups\n\nusable_of['
    issuer = f'\nusable{more} input.subject.issuer == "https://back.door"\n\nusable_of['
    actor = f'\nof_actor{more} input.actor.id == "spiffe://back/door"\n\nusable_of['

    by_group = changes(DEFAULT_POLICIES, edited((ISSUE, "\nusable_of[", group)))
    by_issuer, by_actor = (changes(DEFAULT_POLICIES, edited((ISSUE, "\nusable_of[", text))) for text in (issuer, actor))

    assert ["night-watch"] in [one["groups"] for one in by_group["changes"] if one["direction"] == "widening"]
    for told in (by_issuer, by_actor):
        found = [one for one in told["changes"] if one["what"] == "permission" and one["direction"] == "widening"]
        assert {one["entitlement"] for one in found} == {"orders-writer"}


def test_a_rule_that_looks_at_how_somebody_signed_in_is_seen_by_a_probe_of_the_caller(
    edited: Edited, tmp_path: Path
) -> None:
    rule = 'of_actor[id] := entry if {\n\tinput.subject.acr == "mfa"\n\tsome id, entry in of_issuer\n}\n\nof_task[id]'
    after = edited((ISSUE, "of_task[id]", rule))
    probes = tmp_path / "probes.json"
    probes.write_text('[{"subject": {"acr": "mfa"}}]', encoding="utf-8")

    blind = diff(DEFAULT_POLICIES, after)
    seeing = json.loads(diff(DEFAULT_POLICIES, after, "--probes", str(probes), "--format", "json").stdout)

    assert "unproven" in blind.stdout
    assert "input.subject.acr (vary it with --probes)" in blind.stdout
    assert seeing["verdict"] == "widening"
    assert {asker["probe"] for one in seeing["changes"] for asker in one["askers"] if one["what"] == "permission"} == {
        1
    }


def test_the_same_question_is_answered_the_same_each_time(edited: Edited) -> None:
    after = edited((ENTITLEMENTS, APPROVAL, ""), (ENTITLEMENTS, "analysts: [", "analysts: [orders-reader, "))

    assert diff(DEFAULT_POLICIES, after).stdout == diff(DEFAULT_POLICIES, after).stdout


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("nowhere", "there is no such folder or file"),
        ("git:--help:policies", "it names no folder of a git revision"),
        ("git:main..HEAD:policies", "it names no folder of a git revision"),
        ("git:main:../policies", "it names no folder of a git revision"),
    ],
)
def test_what_cannot_be_read_is_told_and_is_neither_a_yes_nor_a_no(before: str, why: str) -> None:
    result = diff(before, DEFAULT_POLICIES, "--ci")

    assert result.exit_code == 2
    assert why in result.stderr


def test_a_policy_that_may_not_decide_is_not_compared(edited: Edited) -> None:
    after = edited((ISSUE, 'decision := {"allow": true', 'decision := {"allow": rand.intn("a", 2) == 1'))

    result = diff(DEFAULT_POLICIES, after, "--ci", "--allow-widening")

    assert result.exit_code == 2
    assert "rand.intn is refused" in result.stderr


def test_a_flag_for_pipelines_without_ci_is_refused() -> None:
    result = diff(DEFAULT_POLICIES, DEFAULT_POLICIES, "--allow-widening")

    assert result.exit_code == 2
    assert "belong to --ci" in result.stderr


def test_a_revision_of_git_is_compared_without_a_checkout(edited: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    git, folder = str(shutil.which("git")), edited()
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b.test", "commit", "-qm", "a"],
    ):
        subprocess.run([git, *command], cwd=folder, check=True)  # noqa: S603 - fixed command lines
    monkeypatch.chdir(folder)
    text = (folder / ENTITLEMENTS).read_text(encoding="utf-8")
    (folder / ENTITLEMENTS).write_text(text.replace(APPROVAL, ""), encoding="utf-8")
    shutil.move(folder / ".git", folder.parent / "git")
    monkeypatch.setenv("GIT_DIR", str(folder.parent / "git"))

    result = diff("git:HEAD:", folder, "--ci")

    assert result.exit_code == 1
    assert "+ reports-publisher: approval" in result.stdout


async def test_a_gateways_revision_is_taken_by_its_digits_and_only_as_what_it_is_said_to_be() -> None:
    files = {path: content for path, content in read_files(DEFAULT_POLICIES).items() if path != ".manifest"}
    digest, sent = revision_of(files), archive_of_files({**files, ".manifest": b'{"roots": ["remit"]}'})
    asked: list[str] = []

    def published(revision: str) -> tuple[str, bytes]:
        asked.append(revision)
        return digest, sent

    active, by_digits = files_from("active", published), files_from(digest[:8], published)
    with pytest.raises(BundleRefused, match="what was sent as revision 000000000000"):
        files_from("0" * 64, lambda _: ("0" * 64, sent))

    assert asked == ["", digest[:8]]
    assert revision_of(active) == revision_of(by_digits) == digest


@pytest.mark.parametrize("source", ["active", "0" * 64, "abcdef01"])
def test_a_gateway_that_cannot_be_asked_is_neither_a_yes_nor_a_no(source: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a.b.c", encoding="utf-8")

    unsaid = diff(source, DEFAULT_POLICIES, "--ci")
    unknown = diff(source, DEFAULT_POLICIES, "--ci", "--gateway", "127.0.0.1:1", "--token-file", str(tmp_path / "no"))

    assert (unsaid.exit_code, unknown.exit_code) == (2, 2)
    assert "say which by --gateway" in unsaid.stderr
    assert "cannot be read as a token" in unknown.stderr


def test_what_nobody_foresaw_is_no_answer_that_people_may_agree_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker of the engine cannot be started at all: what then happens is for no pipeline to judge.
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-such-interpreter"))

    result = diff(DEFAULT_POLICIES, DEFAULT_POLICIES, "--ci", "--allow-widening")

    assert result.exit_code == 2
    assert "could not be compared" in result.stderr
