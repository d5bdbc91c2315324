"""The proof of invariant I3 itself: what it must catch, it catches, and it agrees with the brute-force oracle."""

import json
import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import concrete_world
from tests.property import iam_oracle as oracle
from tests.property.iam_world import NAMED_HEADS, World, pair
from tests.reproving import LASTING, NEVER, NotProved, reprove, reprove_all
from tests.sts_log import LoggedRequest
from tests.sts_orders import CEILING, READ_2026, a_policy
from tests.wildcard_walk import walk

from remit_server.adapters.aws.revoking.canary import probe_policy
from remit_server.adapters.aws.revoking.revoker import RevocationNames, revoker_policy
from remit_server.iam import Document

pytest_plugins = "pytester"
ROOT = Path(__file__).resolve().parents[2]
GOOD = LoggedRequest(
    test="tests/test_x.py::test_x",
    role_arn="arn:aws:iam::111122223333:role/remit-reports",
    session_name="mfzwizltoqytamrtgq2tmnzyhe",
    policy=a_policy(),
    source_identity="corp.alice",
    tags={"remit:grant": "subject.task.grant", "remit:by": "actor.revision"},
    duration_seconds="900",
    outcome="issued",
    time=datetime.now(UTC).isoformat(),
    ceiling=CEILING.text,
)


def with_statements(*changes: tuple[int, dict[str, Any] | None], more: tuple[dict[str, Any], ...] = ()) -> str:
    """Returns the good policy with some statements changed or, for None, left out."""
    policy = json.loads(GOOD.policy)
    changed = dict(changes)
    kept = [
        {**statement, **(changed.get(at) or {})}
        for at, statement in enumerate(policy["Statement"])
        if changed.get(at, {}) is not None
    ]
    return json.dumps({**policy, "Statement": [*kept, *more]})


def allowing(action: str, resource: str = "*") -> LoggedRequest:
    """Returns a request for one action, well guarded, under a ceiling that allows everything."""
    everything = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
    policy = a_policy(resource).replace('"s3:GetObject"', json.dumps(action))
    return replace(GOOD, policy=policy, ceiling=everything)


def test_a_request_as_the_gateway_sends_it_is_proved() -> None:
    reprove(GOOD)


ALLOW, OTHER_ACTIONS, OTHER_RESOURCES, TIME = range(4)
BAD = {
    "too wide": (replace(GOOD, policy=a_policy("arn:aws:s3:::*")), "ceiling"),
    "another bucket": (replace(GOOD, policy=a_policy("arn:aws:s3:::payroll/*")), "ceiling"),
    "no policy": (replace(GOOD, policy=""), "whole role"),
    "no guard of other actions": (replace(GOOD, policy=with_statements((OTHER_ACTIONS, None))), "guard"),
    "no guard of other resources": (replace(GOOD, policy=with_statements((OTHER_RESOURCES, None))), "guard"),
    "a guard of half the resources": (
        replace(GOOD, policy=with_statements((OTHER_RESOURCES, {"NotResource": ["arn:aws:s3:::reports/*"]}))),
        "guard",
    ),
    "a guard under one more condition": (
        replace(
            GOOD,
            policy=with_statements((OTHER_ACTIONS, {"Condition": {"StringEquals": {"aws:PrincipalTag/x": "y"}}})),
        ),
        "guard",
    ),
    "no time guard": (replace(GOOD, policy=with_statements((TIME, None))), "time guard"),
    "a time guard of some actions": (replace(GOOD, policy=with_statements((TIME, {"Action": "s3:*"}))), "time guard"),
    "an end in a year": (replace(GOOD, time=(datetime.now(UTC) - timedelta(days=365)).isoformat()), "later than"),
    "no source identity": (replace(GOOD, source_identity=""), "source identity"),
    "no tag of the grant": (replace(GOOD, tags={"remit:by": "actor.revision"}), "remit:grant"),
    "no tag of the actor": (replace(GOOD, tags={"remit:grant": "a.b.c"}), "remit:by"),
    "a session name that can be guessed": (replace(GOOD, session_name="alice-copilot"), "opaque"),
    "a role of nobody": (replace(GOOD, ceiling=None), "no configuration"),
    "a principal": (replace(GOOD, policy=with_statements((ALLOW, {"Principal": "*"}))), "elements"),
    "an Allow of all others": (
        replace(GOOD, policy=with_statements(more=({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"},))),
        "Allow with",
    ),
    "a short ARN": (replace(GOOD, policy=a_policy("arn:aws:s3")), "six segments"),
    "one character too many": (replace(GOOD, policy=GOOD.policy + " " * 2048), r"2,048"),
    "a key that stands twice": (
        replace(GOOD, policy=GOOD.policy.replace('"Action":"s3:GetObject"', '"Action":"*","Action":"s3:GetObject"')),
        "twice",
    ),
    "a lost condition": (
        replace(
            GOOD,
            ceiling=CEILING.text.replace('"Resource"', '"Condition":{"Bool":{"aws:x":"true"}},"Resource"'),
        ),
        "ceiling",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_no_gateway_may_send_is_caught(name: str) -> None:
    request, why = BAD[name]

    with pytest.raises(NotProved, match=why):
        reprove(request)


@pytest.mark.parametrize("pattern", [*NEVER, *LASTING, "*", "IAM:Pass*", "iam:*Role", "sts:AssumeRol?", "s3:P*"])
def test_nothing_of_the_floor_passes_in_any_spelling_whatever_the_ceiling(pattern: str) -> None:
    spelled = pattern.replace("*:", "newservice:")

    with pytest.raises(NotProved, match="never issued"):
        reprove(allowing(spelled))


def test_what_a_role_reopens_by_name_passes_and_who_one_is_always_does() -> None:
    reprove(replace(allowing("ssm:StartSession"), reopened=("ssm:StartSession",)))
    reprove(allowing("sts:GetCallerIdentity"))


def test_a_bad_request_is_excused_only_when_a_test_sent_it_by_itself() -> None:
    bad = replace(GOOD, policy="", outcome="NoSessionPolicy")

    outcome = reprove_all([GOOD, bad, replace(bad, deliberate=True)])

    assert (outcome.proved, outcome.on_purpose, outcome.tests) == (1, 1, 1)
    (fault,) = outcome.faults
    assert fault.startswith("tests/test_x.py::test_x: it carried no session policy")


@pytest.mark.parametrize("seed", range(3))
def test_the_proof_finds_every_escape_that_brute_force_finds_and_only_real_ones(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    escapes = 0

    for _ in range(60):
        issued, ceiling = pair(World(chance, NAMED_HEADS, conditioned=0.0))
        found = concrete_world.escape(issued, ceiling)
        slow = oracle.escape(issued, ceiling, oracle.opaque_views(issued, ceiling))
        assert slow is None or found is not None, (issued, ceiling)
        if found is not None:
            escapes += 1
            assert oracle.allows(issued, *found, oracle.opaque(())), (issued, found)
            assert not oracle.allows(ceiling, *found, oracle.opaque(())), (ceiling, found)

    assert 10 <= escapes <= 55


def conditioned(effect: str, action: str, **conditions: dict[str, str]) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": "*", "Condition": conditions}


ABSENT, THERE = {"s3:prefix": "true"}, {"S3:Prefix": "false"}


@pytest.mark.parametrize(
    ("issued", "escapes"),
    [
        ([conditioned("Allow", "s3:Get")], True),
        ([conditioned("Allow", "s3:Get", Null=ABSENT)], True),
        ([conditioned("Allow", "s3:Get"), conditioned("Deny", "s3:G*", Null=ABSENT)], False),
        ([conditioned("Allow", "s3:Get", StringLike={"s3:prefix": "b"})], False),
        ([conditioned("Allow", "s3:Get", StringNotLike={"s3:prefix": "b"})], True),
        ([conditioned("Allow", "s3:Get", Null={"s3:prefix": "false"})], False),
        ([conditioned("Allow", "s3:Get", Null={"s3:delimiter": "false"})], True),
    ],
    ids=["always", "absent", "but not absent", "like", "not like, so maybe absent", "there", "another key"],
)
def test_a_key_is_there_or_absent_for_all_that_a_policy_says_of_it(issued: list[dict[str, Any]], escapes: bool) -> None:
    ceiling = {"Statement": [conditioned("Allow", "s3:*", Null=THERE)]}

    found = concrete_world.escape({"Statement": issued}, ceiling)

    assert (found is not None) is escapes


def test_the_walk_lists_each_way_to_match_once_and_truly() -> None:
    patterns = ("a*b", "*ab?", "ab", "?")

    found = dict(walk(patterns))

    assert len(set(found.values())) == len(found)
    assert all(found[text] == tuple(oracle.glob(pattern, text) for pattern in patterns) for text in found)
    assert {tuple(oracle.glob(each, word) for each in patterns) for word in oracle.words(6)} == set(found.values())


SENDS = """
from tests.sts_log import LOG

FORM = {form!r}

def test_that_sends_a_bad_request():
    LOG.note(FORM, outcome="issued")

def test_that_sends_nothing():
    pass
"""


@pytest.mark.parametrize("options", [("-p", "no:xdist"), ("-n", "1")], ids=["alone", "xdist"])
def test_a_run_whose_tests_all_passed_fails_for_one_bad_request_and_names_its_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT)]))
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    form = {"RoleArn": GOOD.role_arn, "RoleSessionName": GOOD.session_name, "SourceIdentity": GOOD.source_identity}
    for number, (key, value) in enumerate(GOOD.tags.items(), start=1):
        form |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value}
    pytester.makepyfile(test_seeded=SENDS.format(form=form))

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly", *options)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "NOT PROVED test_seeded.py::test_that_sends_a_bad_request: it carried no session policy*",
            "I3: 0 STS requests of 1 tests proved again, 0 bad on purpose",
        ]
    )


def test_the_log_keeps_no_secret_of_a_request() -> None:
    kept = set(LoggedRequest.__dataclass_fields__)

    assert not {field for field in kept if "secret" in field or "token" in field or "external" in field}
    assert READ_2026 in GOOD.policy


# --- sessions that the gateway opens for itself ---

POLICY_ARNS = RevocationNames().policy_arns("aws", "111122223333")
REVOKER = replace(
    GOOD,
    role_arn="arn:aws:iam::111122223333:role/remit-revoker",
    session_name="remit-revoker",
    source_identity="REMIT.revoker",
    tags={},
    policy=Document.parse(revoker_policy(POLICY_ARNS)).text,
)
CANARY = replace(
    GOOD,
    session_name="remit-canary",
    source_identity="REMIT.canary",
    tags={"remit:grant": f"canary.canary.{'a' * 26}", "remit:by": "canary.canary"},
    policy=probe_policy(),
)


@pytest.mark.parametrize("request_", [REVOKER, CANARY], ids=["revoker", "canary"])
def test_the_gateways_own_sessions_are_proved(request_: LoggedRequest) -> None:
    reprove(request_)


@pytest.mark.parametrize(
    "request_",
    [
        replace(REVOKER, role_arn=GOOD.role_arn),
        replace(REVOKER, tags={"remit:grant": "a.b.c"}),
        replace(REVOKER, policy=REVOKER.policy.replace("iam:GetPolicyVersion", "iam:*")),
        replace(REVOKER, policy=REVOKER.policy.replace("remit-revocations-1", "*")),
        replace(REVOKER, policy=""),
        replace(CANARY, policy=CANARY.policy.replace("ec2:DescribeRegions", "ec2:*")),
        replace(CANARY, policy=GOOD.policy),
        replace(CANARY, tags=GOOD.tags),
    ],
)
def test_nothing_else_passes_for_one_of_them(request_: LoggedRequest) -> None:
    with pytest.raises(NotProved):
        reprove(request_)
