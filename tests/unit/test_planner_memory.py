"""What a planner remembers: the same answers sooner, and never another question's."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from tests.fakes import ROLES, permission

from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import EXACT, FAST
from remit_server.application.planning.plan_session import MOST_DRAFTS, Planner, Wish, plan_session
from remit_server.application.planning.recent import Recent
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import ApprovalRule, Bind, Entitlement, Role
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.permission import Permission, as_document
from remit_server.iam import Document, Outline, outline

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BUCKET = "arn:aws:s3:::reports"
CEILINGS = Ceilings.of(ROLES, (), "c" * 64)
READER = Entitlement(
    "reader", ROLES[0].arn, (permission("s3:GetObject", f"{BUCKET}/*"),), timedelta(hours=1), timedelta(hours=8)
)
ALLOW = Allow((READER,))


def wish(*permissions: Permission, now: datetime = NOON) -> Wish:
    return Wish(permissions, None, narrowed=False, task=None, token_end=None, now=now)


READ = wish(permission("s3:GetObject", f"{BUCKET}/2026/*"))


def test_an_intent_asked_again_later_gets_the_plan_that_it_would_get_anew() -> None:
    planner = Planner(CEILINGS)
    later = replace(READ, now=NOON + timedelta(minutes=7))

    first, second = planner(READ, ALLOW, FAST), planner(later, ALLOW, FAST)

    assert first == plan_session(READ, ALLOW, CEILINGS, FAST)
    assert second == plan_session(later, ALLOW, CEILINGS, FAST)
    assert "2026-11-23T12:15:00Z" in first.session_policy
    assert "2026-11-23T12:22:00Z" in second.session_policy


@pytest.mark.parametrize(
    "change",
    [
        lambda item: replace(item, permissions=(permission("s3:GetObject", f"{BUCKET}/2025/*"),)),
        lambda item: replace(item, approval=ApprovalRule(("finance",))),
        lambda item: replace(item, bind=Bind(vpc_ids=("vpc-0a1b2c3d",))),
        lambda item: replace(item, max_credential=timedelta(minutes=5)),
        lambda item: replace(item, permissions=(permission("S3:GETOBJECT", f"{BUCKET}/*"),)),
    ],
    ids=["other permissions", "an approval", "a bind", "a shorter life", "another spelling"],
)
def test_an_entitlement_that_changed_under_its_name_counts_as_it_is(
    change: Callable[[Entitlement], Entitlement],
) -> None:
    planner = Planner(CEILINGS)
    planner(READ, ALLOW, EXACT)
    changed = Allow((change(READER),))

    assert outcome(lambda: planner(READ, changed, EXACT)) == outcome(
        lambda: plan_session(READ, changed, CEILINGS, EXACT)
    )


def outcome(plan: Callable[[], object]) -> object:
    try:
        return plan()
    except Denied as refused:
        return refused.reason, refused.message, refused.remedy


def test_an_intent_of_another_spelling_keeps_its_own() -> None:
    planner = Planner(CEILINGS)
    planner(READ, ALLOW, FAST)
    shouted = wish(permission("s3:GETOBJECT", f"{BUCKET}/2026/*"))

    assert planner(shouted, ALLOW, FAST) == plan_session(shouted, ALLOW, CEILINGS, FAST)


def test_an_entitlement_of_another_spelling_does_not_bring_back_the_first_ones() -> None:
    planner = Planner(CEILINGS)
    shouting = Allow((replace(READER, permissions=(permission("S3:GETOBJECT", f"{BUCKET}/2026/*"),)),))
    quiet = Allow((replace(READER, permissions=(permission("s3:GetObject", f"{BUCKET}/2026/*"),)),))
    wide = wish(permission("s3:*", f"{BUCKET}/*"))
    part = replace(wide, narrowed=True)

    plans = [planner(part, allow, EXACT) for allow in (shouting, quiet)]

    assert plans == [plan_session(part, allow, CEILINGS, EXACT) for allow in (shouting, quiet)]
    assert plans[0].session_policy != plans[1].session_policy


def test_what_was_narrowed_once_is_not_the_answer_to_the_whole_ask() -> None:
    planner = Planner(CEILINGS)
    whole = wish(permission("s3:GetObject", f"{BUCKET}/*"), permission("s3:PutObject", f"{BUCKET}/*"))

    part = planner(replace(whole, narrowed=True), ALLOW, EXACT)

    assert part == plan_session(replace(whole, narrowed=True), ALLOW, CEILINGS, EXACT)
    with pytest.raises(Denied) as raised:
        planner(whole, ALLOW, EXACT)
    assert raised.value.reason is Reason.CEILING_EXCEEDED


def test_two_ceilings_never_answer_for_each_other() -> None:
    narrow = Document.parse(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BUCKET}/2025/*"},
        }
    )
    role: Role = replace(ROLES[0], ceiling=narrow)
    wide_planner = Planner(CEILINGS)
    wide_planner(READ, ALLOW, EXACT)
    narrow_planner = replace(wide_planner, ceilings=Ceilings.of((role,), (), "c" * 64))

    with pytest.raises(Denied) as raised:
        narrow_planner(READ, ALLOW, EXACT)

    assert raised.value.reason is Reason.CEILING_EXCEEDED


def test_a_remembered_plan_is_proven_again_on_its_final_text() -> None:
    planner = Planner(CEILINGS)
    planner(READ, ALLOW, EXACT)
    offer = planner._offers.of(("reader",))  # to put there what a fault of ours might have left
    assert offer is not None
    asked = tuple(each.spelling for each in READ.permissions), EXACT
    draft = offer.drafts.of(asked)
    assert draft is not None
    wider = outline(as_document([permission("s3:GetObject", f"{BUCKET}/*")]), [READER.document()])
    assert isinstance(wider, Outline)
    offer.drafts.keep(asked, replace(draft, outline=wider))

    with pytest.raises(Denied) as raised:
        planner(READ, ALLOW, EXACT)

    assert raised.value.reason is Reason.CEILING_EXCEEDED


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    recent: Recent[int, str] = Recent(MOST_DRAFTS)
    for number in range(MOST_DRAFTS):
        recent.keep(number, str(number))
    recent.of(0)

    recent.keep(MOST_DRAFTS, "one more")

    assert len(recent) == MOST_DRAFTS
    assert (recent.of(0), recent.of(1), recent.of(2)) == ("0", None, "2")


def test_threads_may_share_what_is_recent() -> None:
    recent: Recent[int, int] = Recent(3)

    def use() -> None:
        for number in range(3000):
            recent.keep(number % 7, number % 7)
            assert recent.of(number % 7) in (None, number % 7)

    threads = [Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(recent) == 3
