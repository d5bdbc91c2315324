"""Every rule of `policy check`: a bundle that trips it, at its place, and the mended twin that does not."""

import json
from dataclasses import dataclass, field

import pytest
from tests.checked_bundles import CATALOGUE, HEAD, ISSUE, READER, RIGHTS, TEMPLATES, checked, told

from remit_server.adapters.policy.rule_book import RULES, Severity

LIB = "remit/lib/x.rego"
OTHER = """  other:
    description: Reads reports, too
    actors: ["spiffe://acme.example/copilot"]
    role_arn: arn:aws:iam::111122223333:role/remit-reports
    permissions:
      - actions: ["s3:GetObject"]
        resources: ["arn:aws:s3:::reports/2026/q3/*"]
        conditions: []
    max_credential_seconds: 900
    max_task_seconds: 3600
"""
BOTH = READER.replace("[reader]", "[reader, other]") + OTHER
RIGHT = "by_group:\n  security:\n    - visible: all\n      may:\n        - {rpc}\nby_caller: {{}}\n"
APPROVAL = "    approval: {{groups: [{groups}], by: {by}, min_approvers: {count}, valid_seconds: 600}}\n"


def rego(rules: str) -> dict[str, str]:
    """Returns the issue rules with more below them; the first line of these is line 5."""
    return {ISSUE: f"{HEAD}\n{rules}\n"}


def importing(imports: str, rules: str) -> dict[str, str]:
    """Returns the issue rules with imports, from line 3, and more rules."""
    package, _, decision = HEAD.partition("\n\n")
    return {ISSUE: f"{package}\n\n{imports}\n\n{decision}\n{rules}\n"}


def reader(old: str, new: str) -> dict[str, str]:
    """Returns the catalogue with one thing in it replaced."""
    assert old in READER
    return {CATALOGUE: READER.replace(old, new)}


def entitled(lines: str) -> dict[str, str]:
    """Returns the catalogue with more members of its entitlement, from line 15."""
    return {CATALOGUE: READER + lines}


def template(resource: str, kind: str) -> dict[str, str]:
    """Returns a capability with this resource on line 8."""
    lines = (
        *("s3.read:", "  description: Reads", "  access: read", "  parameters:", f"    at: {{type: {kind}}}"),
        *("  permissions:", '    - actions: ["s3:GetObject"]', f'      resources: ["{resource}"]'),
    )
    return {TEMPLATES: "\n".join(lines) + "\n"}


@dataclass(frozen=True)
class Case:
    """A rule, what trips it and where, what does not, and a word that the finding has."""

    rule: str
    broken: dict[str, str]
    path: str
    line: int
    mended: dict[str, str] = field(default_factory=dict)
    word: str = ""


def in_rego(rule: str, broken: str, mended: str, word: str = "", line: int = 5) -> Case:
    return Case(rule, rego(broken), ISSUE, line, rego(mended), word)


def in_catalogue(rule: str, broken: dict[str, str], line: int, mended: dict[str, str], word: str = "") -> Case:
    return Case(rule, broken, CATALOGUE, line, mended, word)


CASES = [
    Case("bundle-file", {"remit/run.sh": "x"}, "remit/run.sh", 0),
    Case("manifest", {".manifest": "{}"}, ".manifest", 0),
    Case("encoding", {LIB: "package remit.lib.x\n\0"}, LIB, 0, {LIB: "package remit.lib.x\n"}, "NUL"),
    Case("data-file", {"remit/x/data.yaml": "a: yes\n"}, "remit/x/data.yaml", 1, {"remit/x/data.yaml": 'a: "yes"\n'}),
    Case("schema-differs", {"schemas/other.json": "{}"}, "schemas/input.json", 0, {}, "missing"),
    in_rego("rego-text", "x := " + "[" * 41, "x := []", "deep"),
    in_rego("rego-syntax", "x := ]", "x := []"),
    in_rego("rego-compile", "x if y == 1", "x if { y := 1; y == input.requested_duration_seconds }", "unsafe"),
    in_rego("refused-builtin", "x := time.now_ns()", "x := input.context.time"),
    in_rego("unknown-builtin", "x := base65(1)", "x := abs(1)"),
    in_rego("wrong-arity", "f(a) := a\n\nx := f(1, 2, 3)", "f(a) := a\n\nx := f(1)", "takes 1 argument", 7),
    in_rego("recursion", "x := y\n\ny := x", "x := y\n\ny := 1"),
    in_rego(
        "negated-call",
        'f(a) := input.subject.claims[a]\n\nx if not f("team") == "blue"',
        'f(a) := input.subject.claims[a]\n\nx if { team := f("team"); not team == "blue" }',
        "the call f(...)",
        7,
    ),
    Case("outside-root", {LIB: "package other\n\nx := 1\n"}, LIB, 1, {LIB: "package remit.lib.x\n\nx := 1\n"}),
    Case("no-entrypoint", {ISSUE: "package remit.issue\n\nx := 1\n"}, "remit/issue/", 0),
    Case("no-refusal", {ISSUE: 'package remit.issue\n\ndecision := {"allow": true}\n'}, "remit/issue/", 0),
    in_rego("duplicate-default", "default x := 1\n\ndefault x := 2", "default x := 1", "already", 7),
    in_rego("conflicting-rules", "x := 1\n\nx(y) := y", "x := 1\n\nz(y) := y", "as a function here", 7),
    Case(
        "rule-over-data",
        rego("limits := 1") | {"remit/issue/data.yaml": "limits: 2\n"},
        ISSUE,
        5,
        rego("bounds := 1") | {"remit/issue/data.yaml": "limits: 2\n"},
    ),
    Case(
        "shadowed-import",
        importing("import data.remit.a.x\nimport data.remit.b.x", "y := x"),
        ISSUE,
        4,
        importing("import data.remit.a.x\nimport data.remit.b.x as z", "y := [x, z]"),
    ),
    in_rego("unknown-input", "x if not input.subject.grups", "x if not input.subject.groups", "input.subject.grups"),
    Case(
        "unknown-data",
        rego("x := data.remit.catalog.entitlments.roles"),
        ISSUE,
        5,
        rego("x := data.remit.catalog.entitlements.roles"),
    ),
    in_rego("reads-purpose", 'x if input.task.purpose == "a"', 'x if input.task.id == "a"'),
    in_rego("reads-history", "x if input.delegation_history[0]", "x if input.actor.id"),
    in_rego("reads-whole", "x if count(input.task) > 1", "x if count(input.task.labels) > 1", "whole of input.task"),
    in_rego("missing-default", "allow if input.actor.id", "default allow := false\n\nallow if input.actor.id"),
    in_rego("not-equals-in-loop", 'x if input.subject.groups[_] != "a"', 'x if not "a" in input.subject.groups'),
    in_rego("constant-condition", "x if 1 == 1", "x if input.task.grants_so_far == 1"),
    in_rego("shadows-builtin", "startswith := 1", "starts_with := 1"),
    Case(
        "unused-import",
        importing("import data.remit.catalog.entitlements as held", "x := 1"),
        ISSUE,
        3,
        importing("import data.remit.catalog.entitlements as held", "x := held.roles"),
    ),
    in_rego("unused-variable", "x if y := input.actor.id", 'x if { y := input.actor.id; y == "a" }'),
    in_catalogue("catalogue-shape", entitled("    max_uses: 3\n"), 5, {}, "max_uses"),
    in_catalogue("unlisted-role", reader("role/remit-reports\n", "role/remit-data\n"), 8, {}),
    in_catalogue("dangling-group", reader("[reader]", "[reader, writer]"), 3, {}),
    in_catalogue("unreached-entitlement", {CATALOGUE: READER + OTHER}, 15, {CATALOGUE: BOTH}),
    in_catalogue(
        "unknown-time-zone",
        entitled('    hours: {days: [Monday], from: "08:00", to: "18:00", time_zone: Europe/Berln}\n'),
        15,
        entitled('    hours: {days: [Monday], from: "08:00", to: "18:00", time_zone: Europe/Berlin}\n'),
    ),
    in_catalogue("actor-pattern", reader("/copilot", "/{copilot"), 7, reader("/copilot", "/{copilot,other}")),
    in_catalogue("actor-form", reader("spiffe://acme.example/copilot", "copilot"), 7, reader("spiffe://", "acme:")),
    in_catalogue(
        "break-glass-any-task",
        entitled("    kind: break_glass\n" + APPROVAL.format(groups="leads", by="others", count=1)),
        15,
        entitled(
            "    kind: break_glass\n    task_labels: {emergency: declared}\n"
            + APPROVAL.format(groups="leads", by="others", count=1)
        ),
    ),
    in_catalogue("missing-slash", reader("2026/*", "2026*"), 11, {}, "also reaches reports/20260/..."),
    in_catalogue(
        "impossible-label",
        entitled("    task_labels: {Team: a}\n"),
        15,
        entitled("    task_labels: {team: a}\n"),
    ),
    in_catalogue(
        "ignored-approvers",
        entitled(APPROVAL.format(groups="leads", by="subject", count=1)),
        15,
        entitled(APPROVAL.format(groups="", by="subject", count=1)),
    ),
    in_catalogue("cut-lifetime", reader("seconds: 900", "seconds: 7200"), 13, {}, "3600"),
    in_catalogue(
        "shadowed-entitlement",
        {CATALOGUE: BOTH},
        15,
        {CATALOGUE: BOTH.replace("reports/2026/q3/*", "reports/2025/*")},
        "reader gives the same people and agents all of it",
    ),
    in_catalogue("unknown-action", reader("s3:GetObject", "s3:GetObjct"), 10, {}, "s3:GetObjct"),
    in_catalogue("wrong-resource", reader("s3:GetObject", "s3:ListBucket"), 10, {}, "s3:ListBucket takes"),
    in_catalogue(
        "unknown-condition-key",
        reader("conditions: []", 'conditions: [{operator: StringEquals, key: "s3:prefx", values: ["a"]}]'),
        12,
        reader("conditions: []", 'conditions: [{operator: StringEquals, key: "aws:SourceVpc", values: ["a"]}]'),
        "s3:prefx",
    ),
    in_catalogue("permissions-management", reader("s3:GetObject", "sqs:*Permission"), 10, {}, "sqs:AddPermission"),
    in_catalogue("forbidden-floor", reader("s3:GetObject", "iam:PassRole"), 10, {}, "iam:PassRole"),
    Case("administration-shape", {RIGHTS: "by_group: {}\n"}, RIGHTS, 1, {RIGHTS: "by_group: {}\nby_caller: {}\n"}),
    Case(
        "unknown-rpc",
        {RIGHTS: RIGHT.format(rpc="GrantService.RevokeGrant")},
        RIGHTS,
        5,
        {RIGHTS: RIGHT.format(rpc="GrantService.RevokeGrants")},
        "GrantService.RevokeGrant",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_a_broken_bundle_trips_the_rule_and_its_mended_twin_does_not(case: Case) -> None:
    found = [one for one in checked(case.broken).findings if one.rule == case.rule]
    mended = [one for one, _, _ in told(case.mended)]

    assert (case.path, case.line) in {(one.path, one.line) for one in found}, found
    assert any(case.word in one.problem for one in found)
    assert case.rule not in mended


def test_the_sound_bundle_of_these_tests_has_no_findings_at_all() -> None:
    report = checked()

    assert report.findings == ()
    assert (report.rule_files, report.entitlements, report.capabilities) == (1, 1, 0)


ELSEWHERE = {
    "bundle": "what names no rule of its own, such as an archive",
    "bundle-size": "test_hostile_bundles.py",
    "advice-left-out": "tests/adapters/test_examining.py",
    "unknown-role": "test_against_a_gateway.py",
    "outside-ceiling": "test_against_a_gateway.py",
    "partly-outside-ceiling": "test_against_a_gateway.py",
    "ceiling-unproven": "test_against_a_gateway.py",
    "unknown-agent": "test_against_a_gateway.py",
    "unknown-issuer": "test_against_a_gateway.py",
    "unknown-group": "test_against_a_gateway.py",
    "role-lifetime": "test_against_a_gateway.py",
}


def test_every_rule_has_a_case_here_or_elsewhere() -> None:
    assert {case.rule for case in CASES} | ELSEWHERE.keys() == RULES.keys()


def test_errors_refuse_and_advice_does_not() -> None:
    report = checked(reader("s3:GetObject", "s3:GetObjct"))

    assert (report.errors, [one.severity for one in report.advice]) == ((), [Severity.ADVICE])


OPEN = {
    "arn:aws:s3:::reports*": "reportss/...",
    "arn:aws:s3:::reports/tasks/t1*": "tasks/t10/...",
    "arn:aws:s3:::reports/tasks/t1*/out/*": "tasks/t10/...",
    "arn:aws:s3:::home/${aws:PrincipalTag/team}*": "${aws:PrincipalTag/team}0/...",
    "arn:aws:logs:eu-central-1:111122223333:log-group:/app/web*": "/app/webs/...",
    "arn:aws:ssm:eu-central-1:111122223333:parameter/app*": "apps/...",
    "arn:aws:secretsmanager:eu-central-1:111122223333:secret:app/db*": "app/dbs",
}
CLOSED = [
    "arn:aws:s3:::reports/tasks/t1/*",
    "arn:aws:s3:::reports/tasks/t1",
    "arn:aws:s3:::reports/tasks/t1-*",
    "arn:aws:s3:::reports/*.csv",
    "arn:aws:s3:::home/${aws:PrincipalTag/team}/*",
    "arn:aws:s3:::*",
    "arn:aws:logs:eu-central-1:111122223333:log-group:/app/web:*",
    "arn:aws:ssm:eu-central-1:111122223333:parameter/app/*",
    "arn:aws:secretsmanager:eu-central-1:111122223333:secret:app/db-??????",
    "arn:aws:dynamodb:eu-central-1:111122223333:table/orders*",
]


def test_a_missing_slash_is_told_with_what_else_is_reached_and_a_separator_is_not() -> None:
    listed = "\n".join(f'          - "{resource}"' for resource in (*OPEN, *CLOSED))
    files = reader('["arn:aws:s3:::reports/2026/*"]', f"\n{listed}")

    found = [one for one in checked(files).findings if one.rule == "missing-slash"]

    assert [one.line for one in found] == [12 + number for number in range(len(OPEN))]
    assert all(beside in one.problem for one, beside in zip(found, OPEN.values(), strict=True))


def test_a_prefix_in_a_condition_needs_its_slash_too() -> None:
    condition = 'conditions: [{{operator: StringLike, key: "s3:prefix", values: ["{value}"]}}]'
    listing = READER.replace("s3:GetObject", "s3:ListBucket").replace("reports/2026/*", "reports")

    open_end, closed = (
        told({CATALOGUE: listing.replace("conditions: []", condition.format(value=value))})
        for value in ("tasks/t1*", "tasks/t1/*")
    )

    assert open_end == [("missing-slash", CATALOGUE, 12)]
    assert closed == []


@pytest.mark.parametrize(
    ("kind", "expected"), [("s3_key", [("missing-slash", TEMPLATES, 8)]), ("s3_prefix", [])], ids=["key", "prefix"]
)
def test_a_template_needs_a_slash_unless_its_parameter_brings_it(
    kind: str, expected: list[tuple[str, str, int]]
) -> None:
    assert told(template("arn:aws:s3:::reports/{at}*", kind)) == expected


def test_schemas_that_are_this_gateway_s_are_not_advised_against() -> None:
    from remit_server.adapters.policy.checking.schemas import schemas  # noqa: PLC0415 - what the bundle gets

    same = {f"schemas/{name}": text for name, text in schemas().items()}
    edited = same | {"schemas/input.json": json.dumps({"type": "object"})}

    assert told(same) == []
    assert told(edited) == [("schema-differs", "schemas/input.json", 0)]


@pytest.mark.parametrize(("rules", "rule"), [("test_x if {", "rego-syntax"), ("test_x if y == 1", "rego-compile")])
def test_the_tests_of_a_bundle_are_parsed_and_compiled_too(rules: str, rule: str) -> None:
    path = "remit/issue/issue_test.rego"

    broken = told({path: f"package remit.issue_test\n\n{rules}\n"})
    mended = told({path: "package remit.issue_test\n\ntest_x if not input.subject.unheard_of\n"})

    assert (broken[0][0], broken[0][1], mended) == (rule, path, [])


def test_every_fault_of_every_kind_is_told_at_once() -> None:
    files = rego("x if not input.subject.grups") | reader("2026/*", "2026*") | {"remit/run.sh": "x"}

    assert {one for one, _, _ in told(files)} == {"unknown-input", "missing-slash", "bundle-file"}
