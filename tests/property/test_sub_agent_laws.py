"""Whatever agents ask for down a chain: at each depth what is issued lies within what the one above was issued."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from tests.fakes import NOON
from tests.ledger_values import a_task
from tests.property.test_attenuation_laws import BY_NOW, CALLS, CEILINGS, FROM, ROLE, grant_of
from tests.property.test_iam_deriving_laws import allowed_by, allowed_when_named, documents
from tests.reproving_within import reprove_within

from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.choosing import EXACT
from remit_server.application.planning.circumstances import Circumstances, circumstances_of
from remit_server.application.planning.deliberation import planned_as_live
from remit_server.application.planning.plan_session import Plan, Planner, Wish
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Entitlement
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.permission import as_permissions
from remit_server.iam import Document, allows_of

REFUSED = {
    Reason.CEILING_EXCEEDED,
    Reason.NEVER_ISSUABLE,
    Reason.INTENT_TOO_LARGE,
    Reason.INTENT_SPANS_ROLES,
    Reason.GRANT_NOT_LIVE,
}
TASK = a_task(1, start_time=NOON, end_time=NOON + timedelta(hours=8))
_usual = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


def allowing(allowed: Document) -> Allow:
    """Policy lets the agent have all of this."""
    hour = timedelta(hours=1)
    return Allow((Entitlement("everything", ROLE.arn, as_permissions(allowed), hour, hour),))


def asked_of(asked: Document, above: tuple[GrantAbove, ...] | None, seconds: int, *, narrowed: bool) -> Circumstances:
    return Circumstances(
        permissions=as_permissions(asked),
        capabilities=(),
        requested=timedelta(seconds=seconds),
        narrowed=narrowed,
        task=TASK,
        token_end=None,
        approval_end=None,
        now=NOON,
        above=above,
    )


def above_of(plan: Plan, number: int) -> GrantAbove:
    return GrantAbove(
        task_id=f"task{number}",
        grant_id=f"grant{number}",
        role_arn=plan.role.arn,
        session_policy=plan.session_policy,
        session_policy_digest=plan.session_policy_digest,
        end=plan.expire_time,
    )


@_usual
@given(
    held=documents(plain=True),
    cidrs=FROM,
    chain=st.lists(
        st.tuples(documents(plain=True), documents(plain=True), st.booleans(), st.integers(15, 2000)),
        min_size=1,
        max_size=3,
    ),
)
def test_a11_each_agent_of_a_chain_gets_less_than_the_one_above(
    held: Document, cidrs: tuple[str, ...], chain: list[tuple[Document, Document, bool, int]]
) -> None:
    grant = grant_of(held, cidrs)
    assume(grant is not None)
    assert grant is not None
    above = GrantAbove.of(grant)
    for depth, (more, further, narrowed, seconds) in enumerate(chain, start=1):
        asked = Document((*more.statements, *above.allows.statements)) if narrowed else more
        allowed = Document((*further.statements, *above.allows.statements))
        circumstances = asked_of(asked, (above,), seconds, narrowed=narrowed)
        try:
            plan = planned_as_live(Planner(CEILINGS), circumstances.wish(circumstances.permissions), allowing(allowed))
        except Denied as refused:
            event(f"{depth}: {refused.reason.value}")
            assert refused.reason in REFUSED  # noqa: PT017
            return

        event(f"{depth}: given")
        assert plan.above == above
        reprove_within(plan.session_policy, above.session_policy)
        inner, outer = Document.parse(plan.session_policy), Document.parse(above.session_policy)
        assert allowed_by(inner, BY_NOW) <= allowed_by(outer, BY_NOW)
        assert allowed_when_named(inner, CALLS) - allowed_when_named(outer, CALLS) == set()
        above = above_of(plan, depth)


@_usual
@given(held=documents(plain=True), cidrs=FROM, wider=documents(plain=True))
def test_what_the_agent_above_holds_may_be_handed_on_whole(
    held: Document, cidrs: tuple[str, ...], wider: Document
) -> None:
    grant = grant_of(held, cidrs)
    assume(grant is not None)
    assert grant is not None
    above, whole = GrantAbove.of(grant), allows_of(Document.parse(grant.session_policy))
    allow = allowing(Document((*whole.statements, *wider.statements)))
    wish = asked_of(whole, (above,), 900, narrowed=False)
    try:
        plan = Planner(CEILINGS)(wish.wish(wish.permissions), allow, EXACT)
    except Denied as refused:
        event(refused.reason.value)
        assert refused.reason in {Reason.INTENT_TOO_LARGE, Reason.CEILING_EXCEEDED}  # noqa: PT017 - it may fit in no second form
        return

    event("given")
    inner, outer = Document.parse(plan.session_policy), Document.parse(above.session_policy)
    assert allowed_by(inner, BY_NOW) == allowed_by(outer, BY_NOW)


@_usual
@given(held=documents(plain=True), asked=documents(plain=True), cidrs=FROM, narrowed=st.booleans())
def test_what_is_kept_of_a_childs_decision_gives_the_same_bytes_again(
    held: Document, asked: Document, cidrs: tuple[str, ...], narrowed: bool
) -> None:
    grant = grant_of(held, cidrs)
    assume(grant is not None)
    assert grant is not None
    first = asked_of(asked, (GrantAbove.of(grant),), 600, narrowed=narrowed)

    again = circumstances_of(first.kept.text)

    assert again.kept == first.kept
    assert outcome(again.wish(again.permissions)) == outcome(first.wish(first.permissions))


def outcome(wish: Wish) -> tuple[str, ...]:
    """What comes of a wish where policy allows all that is asked."""
    allowed = Document.parse(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    try:
        plan = planned_as_live(Planner(CEILINGS), replace(wish), allowing(allowed))
    except Denied as refused:
        return (refused.reason.value, refused.message)
    return (plan.session_policy, *plan.covers, plan.expire_time.isoformat())
