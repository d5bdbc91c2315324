"""A bundle held against the configuration of the gateway that is to serve it: ceilings, agents, issuers, groups."""

import json
from typing import Any

import pytest
from tests.checked_bundles import CATALOGUE, READER, checked, told
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.loading import load
from remit_server.config.settings import Settings

CEILING: list[dict[str, Any]] = [
    {"Effect": "Allow", "Action": ["s3:Get*", "s3:PutObject"], "Resource": "arn:aws:s3:::reports/*"},
    {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::reports/secret/*"},
    {
        "Effect": "Allow",
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-central-1"}},
    },
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::home/red/*", "arn:aws:s3:::drafts/*"]},
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::teams/${aws:PrincipalTag/team}/*"},
    {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "arn:aws:dynamodb:eu-central-1:111122223333:table/orders"},
]
QUEUE = "arn:aws:sqs:eu-central-1:111122223333:jobs"
TABLE = "arn:aws:dynamodb:eu-central-1:111122223333:table/orders"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    made = ConfigurationFolder.create(tmp_path_factory.mktemp("gateway"))
    ceiling = {"Version": "2012-10-17", "Statement": CEILING}
    (made.folder / "ceilings/remit-reports.json").write_text(json.dumps(ceiling))
    return made


@pytest.fixture(scope="module")
def gateway(folder: ConfigurationFolder) -> Settings:
    return load(folder.write(f'{TEXT}\n[forbidden]\nactions = ["dynamodb:DeleteTable"]\n'), {})


def holding(actions: str, resource: str, conditions: str = "[]") -> dict[str, str]:
    """Returns the catalogue with this as its only permission, its resource on line 11."""
    text = READER.replace('["s3:GetObject"]', f"[{actions}]").replace("arn:aws:s3:::reports/2026/*", resource)
    return {CATALOGUE: text.replace("conditions: []", f"conditions: {conditions}")}


def test_a_sound_bundle_fits_its_gateway(gateway: Settings) -> None:
    assert checked(settings=gateway).findings == ()


INSIDE = {
    "a narrower wildcard": ('"s3:GetObject"', "arn:aws:s3:::reports/2026/*", "[]"),
    "the ceiling's own condition": (
        '"sqs:SendMessage"',
        QUEUE,
        '[{operator: StringEquals, key: "aws:RequestedRegion", values: ["eu-central-1"]}]',
    ),
    "the ceiling's own policy variable": ('"s3:GetObject"', "arn:aws:s3:::teams/${aws:PrincipalTag/team}/*", "[]"),
    "a policy variable below a wildcard": ('"s3:GetObject"', "arn:aws:s3:::drafts/${aws:PrincipalTag/team}/*", "[]"),
}


@pytest.mark.parametrize(("actions", "resource", "conditions"), INSIDE.values(), ids=INSIDE.keys())
def test_what_lies_inside_the_ceiling_is_not_told(
    gateway: Settings, actions: str, resource: str, conditions: str
) -> None:
    assert told(holding(actions, resource, conditions), gateway) == []


PARTLY = {
    "a wider resource": ('"s3:GetObject"', "arn:aws:s3:::*", "s3:GetObject on arn:aws:s3:::"),
    "a wider action": ('"s3:*Object"', "arn:aws:s3:::reports/2026/*", "is stopped by the ceiling of remit-reports"),
    "what a Deny takes a part of": ('"s3:GetObject"', "arn:aws:s3:::reports/*", "arn:aws:s3:::reports/secret/"),
    "what a variable of the ceiling may hold a part of": (
        '"s3:GetObject"',
        "arn:aws:s3:::teams*",
        "arn:aws:s3:::teams is stopped",
    ),
    "a condition that is missing": ('"sqs:SendMessage"', QUEUE, "StringEquals"),
    "the floor that is built in": ('"dynamodb:*"', TABLE, "dynamodb:Put"),
    "the floor that is configured": ('"dynamodb:DeleteT*", "dynamodb:GetItem"', TABLE, "dynamodb:delete"),
}


@pytest.mark.parametrize(("actions", "resource", "word"), PARTLY.values(), ids=PARTLY.keys())
def test_what_lies_partly_outside_is_advised_against_with_a_counterexample(
    gateway: Settings, actions: str, resource: str, word: str
) -> None:
    report = checked(holding(actions, resource), gateway)

    found = [one for one in report.advice if one.rule == "partly-outside-ceiling"]
    assert report.errors == ()
    assert [(one.path, one.line) for one in found] == [(CATALOGUE, 10)]
    assert word.lower() in found[0].problem.lower()


NOTHING = {
    "another bucket": ('"s3:GetObject"', "arn:aws:s3:::other/*", "s3:GetObject on arn:aws:s3:::other/"),
    "another action": ('"s3:DeleteObject"', "arn:aws:s3:::reports/2026/*", "s3:DeleteObject"),
    "what a Deny takes wholly": ('"s3:GetObject"', "arn:aws:s3:::reports/secret/2026/*", "secret"),
    "the floor": ('"iam:PassRole"', "*", "iam:PassRole"),
    "the configured floor": ('"dynamodb:DeleteTable"', TABLE, "the forbidden floor"),
}


@pytest.mark.parametrize(("actions", "resource", "word"), NOTHING.values(), ids=NOTHING.keys())
def test_an_entitlement_of_which_nothing_can_be_issued_is_refused(
    gateway: Settings, actions: str, resource: str, word: str
) -> None:
    (error,) = checked(holding(actions, resource), gateway).errors

    assert (error.rule, error.path, error.line) == ("outside-ceiling", CATALOGUE, 9)
    assert word in error.problem


def test_one_permission_that_is_never_issued_is_advice_where_another_one_is(gateway: Settings) -> None:
    more = '      - actions: ["s3:GetObject"]\n        resources: ["arn:aws:s3:::other/*"]\n        conditions: []\n'

    report = checked({CATALOGUE: READER.replace("    max_credential", f"{more}    max_credential")}, gateway)

    (advice,) = report.findings
    assert (advice.rule, advice.line) == ("partly-outside-ceiling", 13)
    assert "nothing of it lies inside" in advice.problem


def test_a_policy_variable_that_may_or_may_not_fit_is_told_as_unproven(gateway: Settings) -> None:
    report = checked(holding('"s3:GetObject"', "arn:aws:s3:::home/${aws:PrincipalTag/team}/*"), gateway)

    (advice,) = report.findings
    assert (advice.rule, advice.line) == ("ceiling-unproven", 10)
    assert "a policy variable" in advice.problem


def test_a_role_that_is_not_configured_is_refused_at_its_place(gateway: Settings) -> None:
    text = READER.replace("role/remit-reports", "role/remit-repots")

    assert told({CATALOGUE: text}, gateway) == [("unknown-role", CATALOGUE, 1)]


def test_a_lifetime_beyond_the_role_s_sessions_is_advised_against(gateway: Settings) -> None:
    text = READER.replace("_credential_seconds: 900", "_credential_seconds: 7200").replace("3600", "7200")

    assert told({CATALOGUE: text}, gateway) == [("role-lifetime", CATALOGUE, 13)]


AGENTS = {
    "its SPIFFE ID": ("spiffe://acme.example/copilot", ""),
    "a pattern of it": ("spiffe://acme.example/*", ""),
    "its name by its issuer": ("acme:reporter-service", ""),
    "another trust domain": ("spiffe://acme.test/copilot", "spiffe://acme.example/copilot"),
    "a pattern too deep": ("spiffe://acme.example/*/x", "spiffe://acme.example/copilot"),
    "its id of the configuration": ("copilot", "The agent copilot is called spiffe://acme.example/copilot here"),
    "another issuer": ("people:reporter-service", "acme:reporter-service"),
}


@pytest.mark.parametrize(("pattern", "mend"), AGENTS.values(), ids=AGENTS.keys())
def test_an_actor_that_no_agent_fits_is_told_with_what_was_meant(gateway: Settings, pattern: str, mend: str) -> None:
    text = READER.replace("spiffe://acme.example/copilot", pattern)

    found = [one for one in checked({CATALOGUE: text}, gateway).findings if one.rule == "unknown-agent"]

    assert [one.line for one in found] == ([7] if mend else [])
    assert all(mend in one.mend for one in found)


def test_an_issuer_that_carries_its_agents_may_have_any(folder: ConfigurationFolder) -> None:
    carrying = TEXT.replace('alias = "people"', 'alias = "people"\ncarries_actor = "project_path"')
    settings = load(folder.write(carrying), {})

    fits, misses = (
        told({CATALOGUE: READER.replace("spiffe://acme.example/copilot", actor)}, settings)
        for actor in ("people:group/project", "peeple:group/project")
    )

    assert (fits, misses) == ([], [("unknown-agent", CATALOGUE, 7)])


def test_users_of_an_issuer_that_is_not_configured_are_told(gateway: Settings) -> None:
    files = {CATALOGUE: READER + '    issuers: ["https://people.acme.example", "https://people.acme.exmple"]\n'}

    (advice,) = checked(files, gateway).findings

    assert (advice.rule, advice.line) == ("unknown-issuer", 15)
    assert "https://people.acme.example" in advice.mend


def test_a_group_that_no_issuer_gives_is_told_where_all_groups_are_configured(folder: ConfigurationFolder) -> None:
    mapped = TEXT.replace('audience = "remit"', 'audience = "remit"\ngroup_map = { "00g1" = "analyst" }')
    settings = load(folder.write(mapped), {})

    (advice,) = checked(settings=settings).findings

    assert (advice.rule, advice.line) == ("unknown-group", 3)
    assert advice.mend == "Did you mean analyst?"
