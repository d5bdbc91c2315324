"""Attack rows 2a of the threat model, second half: what a session can do, how it is named, when it ends.

| row | here | elsewhere |
|---|---|---|
| A6, A7 | the whole use case | on an account that enforces: `tests/integration/test_rows_2a_on_ministack.py` |
| A9 | | approvals: `test_rows_2a_approvals.py` |
| A10 | lifetimes at issuing | renewal: `tests/unit/test_renew_credentials.py`, `tests/property/test_renewal_laws.py` |
"""

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fake_sts_rules import check_names, tags_of
from tests.fakes import (
    ACCOUNT,
    READ_REPORTS,
    REPORTS_ROLE,
    ROLES,
    entitlement,
    permission,
    role,
)
from tests.issuing_world import IssuingWorld, issuing_world

from remit_server.domain.entitlement import Bind
from remit_server.domain.errors import InvalidRequest, Reason
from remit_server.domain.identity import Actor, ActorKind, Principal
from remit_server.domain.permission import Permission
from remit_server.domain.session_names import session_tags, source_identity
from remit_server.iam import MalformedPattern

DRAWN = 2_000_000 if os.environ.get("REMIT_EXTENDED") == "1" else 100_000  # more than half of them differ
Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
EVERYTHING = entitlement("everything", permission("*", "*"))
OPEN_ROLE = role(REPORTS_ROLE, actions=["*"], resources=["*"])
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    async with issuing_world(tmp_path) as made:
        yield made


@pytest.fixture
async def careless(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    """A gateway whose policy and whose role allow everything: only the floor is left."""
    async with issuing_world(tmp_path, EVERYTHING, roles=(OPEN_ROLE,)) as made:
        yield made


# --- A6: no way on from the session ---

ESCALATIONS = (
    "sts:AssumeRole",
    "sts:GetFederationToken",
    "sts:GetSessionToken",
    "iam:PassRole",
    "iam:CreateAccessKey",
    "iam:PutUserPolicy",
    "iam:AttachRolePolicy",
    "iam:UpdateAssumeRolePolicy",
    "ssm:SendCommand",
    "ssm:StartSession",
    "s3:PutBucketPolicy",
    "sqs:SetQueueAttributes",
    "kms:CreateGrant",
    "kms:PutKeyPolicy",
    "lambda:AddPermission",
    "secretsmanager:PutResourcePolicy",
    "ecr:GetAuthorizationToken",
    "organizations:LeaveOrganization",
    "account:CloseAccount",
)


def spellings(action: str) -> list[str]:
    """Returns the ways to ask for an action: other cases, wildcards that hold it, everything."""
    service, name = action.split(":")
    return [
        action,
        action.upper(),
        action.lower(),
        f"{service}:{name[:4]}*",
        f"{service}:*{name[-4:]}",
        f"{service}:{name[0]}?{name[2:]}",
        f"{service}:*",
        "*",
    ]


@pytest.mark.parametrize("action", ESCALATIONS)
async def test_a6_no_spelling_of_an_escalation_is_issued_though_policy_and_role_allow_it(
    careless: IssuingWorld, action: str
) -> None:
    errors = [await careless.refused(permission(spelled, "*")) for spelled in spellings(action)]
    hidden = await careless.refused(permission(["s3:GetObject", spellings(action)[3]], "*"))

    assert errors[0].reason is errors[2].reason is Reason.NEVER_ISSUABLE
    assert {error.reason for error in (*errors, hidden)} <= {Reason.NEVER_ISSUABLE, Reason.CEILING_EXCEEDED}
    assert careless.sent == []


@pytest.mark.parametrize("action", ESCALATIONS)
async def test_a6_narrowing_leaves_an_escalation_out(careless: IssuingWorld, action: str) -> None:
    await careless.issued(Q3, permission(action, "*"), narrow=True)

    assert action.lower() not in careless.sent[0].policy.lower()


LASTING = (
    "codeartifact:GetAuthorizationToken",
    "s3:GetDataAccess",
    "s3express:CreateSession",
    "rds-db:connect",
    "redshift:GetClusterCredentials",
    "redshift:GetClusterCredentialsWithIAM",
    "redshift-serverless:GetCredentials",
    "lakeformation:GetTemporaryGlueTableCredentials",
    "cognito-identity:GetCredentialsForIdentity",
    "sso:GetRoleCredentials",
    "iam:CreateServiceSpecificCredential",
    "ecs:ExecuteCommand",
    "sts:AssumeRoleWithWebIdentity",
    "s3:PutBucketAcl",
    "s3:PutAccessPointPolicy",
    "sns:AddPermission",
)


async def test_a6_nothing_that_hands_out_what_outlives_the_task_is_issued_by_any_spelling(
    careless: IssuingWorld,
) -> None:
    refused = {
        action: [(await careless.refused(permission(spelled, "*"))).reason for spelled in spellings(action)]
        for action in LASTING
    }

    for reasons in refused.values():
        assert set(reasons) <= {Reason.NEVER_ISSUABLE, Reason.CEILING_EXCEEDED}
    assert careless.sent == []


@pytest.mark.parametrize("element", ["NotAction", "NotResource"])
def test_a6_an_intent_cannot_say_everything_but(element: str) -> None:
    fields = set(Permission.__dataclass_fields__)

    assert not {name for name in fields if name.startswith("not")}
    with pytest.raises(MalformedPattern):
        permission(f"{element}:iam:*", "*")


@pytest.mark.parametrize("action", ["ec2:RunInstances", "lambda:CreateFunction", "cloudformation:CreateStack"])
async def test_a6_what_starts_code_is_issued_only_as_named_and_never_with_a_role_to_pass(
    careless: IssuingWorld, action: str
) -> None:
    service = action.split(":", maxsplit=1)[0]
    with_role = await careless.refused(permission([action, "iam:PassRole"], "*"))

    await careless.issued(permission(action, f"arn:aws:{service}:eu-central-1:{ACCOUNT}:thing/one"))

    (policy,) = careless.policies
    assert with_role.reason in {Reason.CEILING_EXCEEDED, Reason.NEVER_ISSUABLE}
    assert "iam:" in with_role.message
    assert [each["Action"] for each in policy["Statement"] if each["Effect"] == "Allow"] == [action]


# --- A7: no resource policy adds to the session ---


async def test_a7_each_task_has_a_session_name_of_its_own_that_nobody_can_name_beforehand(
    gateway: IssuingWorld,
) -> None:
    for _ in range(20):
        await gateway.issued(Q3)

    session_names = [request.form["RoleSessionName"] for request in gateway.sent]
    assert len(set(session_names)) == 20
    assert all(len(set(one) & set("abcdefghijklmnopqrstuvwxyz234567")) > 8 for one in session_names)
    assert not any("alice" in one or "copilot" in one for one in session_names)


# --- A8: who, for whom, why ---


def principal(subject: str, *, alias: str = "acme", issuer: str = "https://issuer.example") -> Principal:
    return Principal(issuer, alias, subject, source_id=subject)


def named(subject: str, actor_id: str) -> dict[str, str]:
    """Returns the form fields that name a session of this subject and this actor."""
    actor = Actor(actor_id, ActorKind.OIDC, "https://issuer.example")
    tags = session_tags(principal(subject), actor, task_id="t" * 26, grant_id="g" * 26, revision="0" * 64)
    form = {"RoleSessionName": "t" * 26, "SourceIdentity": source_identity(principal(subject))}
    for number, (key, value) in enumerate(tags, start=1):
        form |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value}
    return form


@given(subject=names, actor_id=names)
def test_a8_names_and_tags_keep_to_what_aws_takes_whatever_people_are_called(subject: str, actor_id: str) -> None:
    form = named(subject, actor_id)

    check_names(form)
    tags = tags_of(form)

    assert form["SourceIdentity"].startswith("acme.")
    assert set(tags) == {"remit:grant", "remit:by"}


@pytest.mark.parametrize("subject", ["alice@example.com", "auth0|5f7c8ec7", "\u00e9milie", "\U0001f600", "x" * 200])
async def test_a8_sts_hears_of_every_subject_whatever_its_name(gateway: IssuingWorld, subject: str) -> None:
    gateway.world.user(subject, gateway.world.copilot)

    issued = await gateway.issued(Q3, user=subject)

    (request,) = gateway.sent
    assert request.form["SourceIdentity"] == source_identity(
        principal(subject, alias="corp", issuer="https://idp.example")
    )
    assert request.tags["remit:grant"].split(".")[1:] == [issued.grant.task_id, issued.grant.grant_id]


NEAR_TWINS = [
    ("a|b", "a=7Cb"),
    ("a b", "a=20b"),
    ("Alice", "alice"),
    ("e\u0301", "\u00e9"),
    ("x" * 200, "x" * 201),
    ("=h", "=H"),
    ("=hmfzwizltoqytamrtgq2tmnzyheydcmrtgq2tmnzyhe", "x" * 65),
    ("\u212a", "K"),
    ("a\x00b", "ab"),
]


@pytest.mark.parametrize(("first", "second"), NEAR_TWINS)
def test_a8_near_twins_never_share_a_source_identity(first: str, second: str) -> None:
    assert source_identity(principal(first)) != source_identity(principal(second))


@given(first=names, second=names)
def test_a8_two_subjects_never_share_a_source_identity(first: str, second: str) -> None:
    shared = source_identity(principal(first)) == source_identity(principal(second))

    assert shared is (first == second)


@pytest.mark.timeout(1200)  # of two million
def test_a8_subjects_in_masses_have_as_many_source_identities() -> None:
    chance = random.Random(8)  # noqa: S311 - reproducible draws, not secrets
    near = "aAbB=|%7Ch20 .@_-\u00e9\u0301\u212a\u017f\U0001f600"
    subjects = {"".join(chance.choices(near, k=chance.choice((1, 2, 3, 5, 8, 30, 70)))) for _ in range(DRAWN)}

    identities = {source_identity(principal(subject)) for subject in subjects}

    assert len(identities) == len(subjects)
    assert len(subjects) > DRAWN / 2


@given(names, names, names, names)
@example("https://a", "bc", "https://ab", "c")
@example("org", "123", "org-1", "23")
def test_a8_ids_of_two_parts_join_without_a_second_reading(one: str, other: str, third: str, fourth: str) -> None:
    actor = Actor("agent", ActorKind.OIDC, "https://issuer.example")
    tags = [
        session_tags(principal(subject, issuer=issuer), actor, task_id="t", grant_id="g", revision="r")
        for issuer, subject in ((one, other), (third, fourth))
    ]

    assert (tags[0] == tags[1]) is ((one, other) == (third, fourth))


# --- A10: not for longer than anybody allowed ---


@pytest.mark.parametrize(
    ("seconds", "lasts"),
    [(15, 15), (899, 899), (900, 900), (3599, 3599), (3600, 3600), (3601, 3600), (43_200, 3600), (2**31, 3600)],
)
async def test_a10_a_long_wish_is_cut_to_the_shortest_bound(gateway: IssuingWorld, seconds: int, lasts: int) -> None:
    start = gateway.world.clock.now()

    issued = await gateway.issued(Q3, requested_duration=timedelta(seconds=seconds))

    (request,) = gateway.sent
    assert end_of(gateway.policies[0]) == start + timedelta(seconds=lasts) == issued.grant.expire_time
    assert issued.credentials.expire_time <= issued.grant.expire_time
    assert 900 <= int(request.form["DurationSeconds"]) <= 3600


@pytest.mark.parametrize("seconds", [-(2**31), -1, 0, 1, 14])
async def test_a10_a_wish_for_no_time_is_refused(gateway: IssuingWorld, seconds: int) -> None:
    error = await gateway.refused(Q3, requested_duration=timedelta(seconds=seconds))

    assert isinstance(error, InvalidRequest)
    assert gateway.sent == []


lifetimes = st.integers(15, 50_000).map(lambda seconds: timedelta(seconds=seconds))


@settings(max_examples=15, deadline=None)
@given(wish=lifetimes, credential=lifetimes, task=lifetimes, token=lifetimes)
def test_a10_the_end_is_never_after_any_of_the_bounds(
    wish: timedelta, credential: timedelta, task: timedelta, token: timedelta
) -> None:
    bounded = replace(READ_REPORTS, max_credential=credential, max_task=task, bind=Bind(("10.0.0.0/8",)))

    async def scenario(folder: Path) -> None:
        async with issuing_world(folder, bounded) as gateway:
            now = gateway.world.clock.now()
            gateway.world.user("alice", gateway.world.copilot, bind_expiry=True)
            tokens = gateway.world.identity.subjects
            tokens["alice@copilot"] = replace(tokens["alice@copilot"], token_expire_time=now + token)
            issued = await gateway.issued(Q3, requested_duration=wish)
            kept = await gateway.world.ledger.task(issued.grant.task_id)

            assert end_of(gateway.policies[0]) <= now + min(wish, credential, task, token, ROLES[0].max_session)
            assert kept is not None
            assert kept.end_time <= now + task

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


async def test_a10_a_task_does_not_live_on_by_asking_again(gateway: IssuingWorld) -> None:
    gateway.world.policy.answer = replace(
        gateway.world.policy.answer, entitlements=(replace(READ_REPORTS, max_task=timedelta(minutes=30)),)
    )  # type: ignore[type-var]
    first = await gateway.issued(Q3)
    start = first.grant.issue_time
    for _ in range(2):
        gateway.world.clock.advance(minutes=10)
        await gateway.issued(Q3, task_id=first.grant.task_id, requested_duration=timedelta(hours=1))
    gateway.world.clock.advance(minutes=10)

    late = await gateway.refused(Q3, task_id=first.grant.task_id)

    assert max(map(end_of, gateway.policies)) <= start + timedelta(minutes=30)
    assert late.reason is Reason.GRANT_NOT_LIVE


def end_of(policy: dict[str, Any]) -> datetime:
    """Returns the time from which a session policy denies everything."""
    (found,) = [
        each["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"]
        for each in policy["Statement"]
        if "DateGreaterThanEquals" in each.get("Condition", {})
    ]
    return datetime.fromisoformat(found)
