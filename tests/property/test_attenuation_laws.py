"""Whatever is asked of whatever grant: a part of it lies within it, in time and in what it allows, or is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from tests.fakes import ACCOUNT, NOON
from tests.ledger_values import a_grant, a_task
from tests.property.test_iam_deriving_laws import (
    ANYTHING,
    DIRECT,
    REQUESTS,
    allowed_by,
    allowed_when_named,
    documents,
)
from tests.reproving import NotProved
from tests.reproving_within import reprove_within

from remit_server.application.attenuation.planning import Wish, plan_attenuation
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import EXACT
from remit_server.domain.entitlement import Role
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.permission import as_permissions
from remit_server.iam import (
    Derived,
    Document,
    TooManyOverlapsError,
    UnderivableIntent,
    allows_of,
    derive,
    floor,
    narrow,
)

ROLE = Role(f"arn:aws:iam::{ACCOUNT}:role/everything", "eu-central-1", ANYTHING, timedelta(hours=1))
CEILINGS = Ceilings.of((ROLE,), (), "c" * 64)
END = NOON + timedelta(minutes=15)
NOW = {"aws:CurrentTime": "2026-11-23T12:00:01Z"}
BY_NOW = tuple(replace(one, context={**one.context, **NOW}) for one in REQUESTS)
CALLS = tuple(replace(one, context={**one.context, **NOW}) for one in DIRECT)
FROM = st.sampled_from(((), ("10.0.0.0/8",)))


def grant_of(wanted: Document, cidrs: tuple[str, ...]) -> Grant | None:
    """A live grant of these permissions, but for the floor, as the gateway derives one; None where there is none."""
    held = narrow(wanted, floor())
    try:
        derived = derive(held, [held], end=END, source_cidrs=cidrs)
    except (UnderivableIntent, TooManyOverlapsError):
        return None
    if not isinstance(derived, Derived):
        return None
    grant = a_grant(1, 1, role_arn=ROLE.arn, expire_time=END)
    return replace(grant, session_policy=derived.text, session_policy_digest=derived.sha256)


def part_of(grant: Grant, asked: Document, *, narrowed: bool, seconds: int) -> str:
    """The session policy of a part of a grant; raises Denied."""
    task = a_task(1, start_time=NOON, end_time=NOON + timedelta(hours=8))
    wish = Wish(as_permissions(asked), timedelta(seconds=seconds), narrowed, grant, task, NOON)
    return plan_attenuation(wish, CEILINGS, EXACT).session_policy


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(
    held=documents(plain=True),
    asked=documents(plain=True),
    cidrs=FROM,
    narrowed=st.booleans(),
    seconds=st.integers(15, 2000),
)
def test_a11_a_part_lies_within_its_grant_whatever_is_asked(
    held: Document, asked: Document, cidrs: tuple[str, ...], narrowed: bool, seconds: int
) -> None:
    grant = grant_of(held, cidrs)
    assume(grant is not None)
    assert grant is not None
    try:
        part = part_of(grant, asked, narrowed=narrowed, seconds=seconds)
    except Denied as refused:
        event(refused.reason.value)
        assert refused.reason in {Reason.CEILING_EXCEEDED, Reason.NEVER_ISSUABLE, Reason.INTENT_TOO_LARGE}  # noqa: PT017
        return

    event("given")
    reprove_within(part, grant.session_policy)
    inner, outer = Document.parse(part), Document.parse(grant.session_policy)
    assert allowed_by(inner, BY_NOW) <= allowed_by(outer, BY_NOW)
    assert allowed_when_named(inner, CALLS) - allowed_when_named(outer, CALLS) == set()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(held=documents(plain=True), cidrs=FROM, seconds=st.integers(15, 2000))
def test_the_whole_of_a_grant_is_a_part_of_it(held: Document, cidrs: tuple[str, ...], seconds: int) -> None:
    """What a grant allows can be asked of it as it stands, and allows the same until it ends."""
    grant = grant_of(held, cidrs)
    assume(grant is not None)
    assert grant is not None
    try:
        part = part_of(grant, allows_of(Document.parse(grant.session_policy)), narrowed=False, seconds=seconds)
    except Denied as refused:
        assert refused.reason is Reason.INTENT_TOO_LARGE  # noqa: PT017 - it may fit in no second form
        return

    inner, outer = Document.parse(part), Document.parse(grant.session_policy)
    assert allowed_by(inner, BY_NOW) == allowed_by(outer, BY_NOW)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("2026/*", "*"), "allows s3:"),
        (("12:15:00", "12:15:01"), "ends at"),
        (("DateGreaterThanEquals", "DateLessThan"), "once when it ends"),
    ],
)
def test_the_proof_again_finds_what_is_wider_or_later(change: tuple[str, str], why: str) -> None:
    grant = grant_of(Document.parse(_reading("arn:aws:s3:::reports/2026/*")), ())
    assert grant is not None
    outer = grant.session_policy

    reprove_within(outer, outer)
    with pytest.raises(NotProved, match=why):
        reprove_within(outer.replace(*change), outer)


def _reading(resource: str) -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource},
    }
