"""Credentials that people have to approve: asked once, collected once, and only what was shown."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.approval_world import ASKING, BREAK_GLASS, IN_PERSON, LEA, LEADS, LEO, WRITE_DRAFTS, Approving, approving
from tests.databases import Place
from tests.databases import asked as look
from tests.fakes import NOON, READ_ORDERS, READ_REPORTS, ROLES, permission

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.application.issuing.preview_credentials import WouldIssue
from remit_server.domain.approval import ApprovalKind, ApprovalState
from remit_server.domain.entitlement import ApprovalRule, ApprovedBy
from remit_server.domain.errors import Outage, Reason, Remedy
from remit_server.domain.grant import GrantState
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind

LISTING = permission("s3:ListBucket", "arn:aws:s3:::reports")
DRAFTS = permission("s3:PutObject", "arn:aws:s3:::reports/drafts/*")


async def authorized(people: Approving) -> list[tuple[str, bool]]:
    """Returns what the records of authorized grants say: the approval, and whether it was break-glass."""
    events = [json.loads(one.body_text) for one in await people.gateway.events() if one.kind == "grant_authorized"]
    return [(one["approval_id"], one["break_glass"]) for one in events]


def log_in_again(people: Approving) -> None:
    """Gives every user and agent a new token."""
    now, identity = people.gateway.clock.now(), people.gateway.identity
    for name, actor in identity.actors.items():
        identity.actors[name] = replace(actor, token_issue_time=now)
    for token, known in identity.subjects.items():
        actor = replace(known.actor, token_issue_time=now)
        identity.subjects[token] = replace(known, actor=actor, token_issue_time=now)


async def test_nothing_is_issued_before_people_said_yes(place: Place) -> None:
    async with approving(place) as people:
        pending = await people.asked()

        assert pending.grant.state is GrantState.PENDING_APPROVAL
        assert pending.grant.approval_id == pending.approval.approval_id
        assert (pending.approval.state, pending.approval.need.groups) == (ApprovalState.PENDING, ("leads",))
        assert people.gateway.sts.orders == []
        assert await people.gateway.trail() == ["task_started", "approval_asked"]


async def test_people_are_shown_the_session_policy_but_for_its_end(place: Place) -> None:
    async with approving(place) as people:
        pending = await people.asked()

        shown = json.loads(pending.approval.session_policy)["Statement"]
        whole = json.loads(pending.grant.session_policy)["Statement"]
        (left_out,) = [one for one in whole if one not in shown]
        assert left_out["Condition"] == {"DateGreaterThanEquals": {"aws:CurrentTime": "2026-11-23T12:15:00Z"}}
        assert [one for one in whole if one in shown] == shown


async def test_a_repeat_of_what_waits_waits(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        first = await people.asked(request)

        again = await people.asked(request)

        assert again.grant.name == first.grant.name
        assert again.approval == first.approval
        assert await people.gateway.trail() == ["task_started", "approval_asked"]


async def test_what_was_approved_is_collected_under_the_same_grant_by_the_same_request(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)
        people.gateway.clock.advance(minutes=2)

        issued = await people.collected(request)

        kept = await people.gateway.approvals.approval(pending.approval.approval_id)
        assert kept is not None
        assert issued.grant.grant_id == pending.grant.grant_id
        assert (issued.grant.approval_id, issued.grant.break_glass) == (kept.approval_id, False)
        assert kept.state is ApprovalState.USED
        assert await authorized(people) == [(kept.approval_id, False)]
        assert issued.grant.expire_time == NOON + timedelta(minutes=10)  # of the approval, sooner than the 15 asked for
        assert await people.gateway.trail() == [
            "task_started",
            "approval_asked",
            "approval_decided",
            "grant_authorized",
            "credentials_issued",
        ]


async def test_a_repeat_after_collecting_gives_new_credentials_of_the_grant(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        await people.says(LEA, (await people.asked(request)).approval)
        first = await people.collected(request)

        again = await people.collected(request)

        assert again.grant.grant_id == first.grant.grant_id
        assert again.grant.expire_time == first.grant.expire_time


async def test_a_grant_counts_for_its_task_when_it_is_authorized_not_while_it_waits(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        waiting = await people.gateway.ledger.task(pending.grant.task_id)
        await people.says(LEA, pending.approval)

        await people.collected(request)

        after = await people.gateway.ledger.task(pending.grant.task_id)
        assert waiting is not None
        assert after is not None
        assert (waiting.grants_so_far, after.grants_so_far) == (0, 1)


async def test_a_refusal_is_told_to_who_collects(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)

        after = await people.says(LEA, pending.approval, yes=False)
        error = await people.refused(request)

        assert after.state is ApprovalState.REFUSED
        assert error.reason is Reason.APPROVAL_REFUSED
        assert look(people.gateway.database, "SELECT state FROM grants") == [("REFUSED",)]


@pytest.mark.parametrize("swept", [False, True])
async def test_what_nobody_decides_in_time_lapses_swept_or_not(place: Place, *, swept: bool) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        people.gateway.clock.advance(hours=1)
        if swept:
            await people.gateway.ledger.sweep(people.gateway.clock.now())

        collecting = await people.refused(request)
        deciding = await people.not_taken(LEA, pending.approval)

        assert (collecting.reason, collecting.remedy) == (Reason.APPROVAL_LAPSED, Remedy.ASK_APPROVAL)
        assert deciding.reason is Reason.APPROVAL_LAPSED
        states = ("LAPSED", "LAPSED") if swept else ("PENDING", "PENDING_APPROVAL")
        query = "SELECT approvals.state, grants.state FROM approvals, grants"
        assert look(people.gateway.database, query) == [states]


async def test_what_nobody_collects_in_time_lapses(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        await people.says(LEA, (await people.asked(request)).approval)
        people.gateway.clock.advance(minutes=10)

        await people.gateway.ledger.sweep(people.gateway.clock.now())

        assert (await people.refused(request)).reason is Reason.APPROVAL_LAPSED
        assert (await people.gateway.trail())[-2:] == ["approval_closed", "request_refused"]


async def test_an_approval_that_ends_sooner_than_a_credential_can_is_not_collected(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        await people.says(LEA, (await people.asked(request)).approval)
        people.gateway.clock.advance(minutes=9, seconds=50)

        assert (await people.refused(request)).reason is Reason.GRANT_NOT_LIVE
        assert people.gateway.sts.orders == []


async def test_equal_requests_of_a_task_are_asked_once_and_issued_once(place: Place) -> None:
    async with approving(place) as people:
        first = people.gateway.request()
        pending = await people.asked(first)
        second = people.gateway.request(task_id=pending.grant.task_id)
        joined = await people.asked(second)
        await people.says(LEA, pending.approval)

        issued = await people.collected(second)
        error = await people.refused(first)

        assert joined.approval.approval_id == pending.approval.approval_id
        assert joined.grant.grant_id != pending.grant.grant_id
        assert issued.grant.grant_id == joined.grant.grant_id
        assert error.reason is Reason.APPROVAL_LAPSED
        assert look(people.gateway.database, "SELECT count(*) FROM approvals") == [(1,)]


async def test_an_approval_says_what_it_adds_to_what_the_task_has(place: Place) -> None:
    async with approving(place, READ_REPORTS, WRITE_DRAFTS) as people:
        reading = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
        has = await people.collected(people.gateway.request(reading))
        task = has.grant.task_id

        pending = await people.asked(people.gateway.request(reading, DRAFTS, task_id=task))

        assert [[str(action) for action in one.actions] for one in pending.approval.adds] == [["s3:PutObject"]]


async def test_every_entitlements_approvers_are_asked_and_the_shortest_time_counts(place: Place) -> None:
    drafts = replace(
        WRITE_DRAFTS, approval=ApprovalRule(("editors", "leads"), min_approvers=2, valid=timedelta(minutes=3))
    )
    async with approving(place, ASKING, drafts) as people:
        pending = await people.asked(people.gateway.request(LISTING, DRAFTS))

        need = pending.approval.need
        assert [(one.groups, one.min_approvers) for one in need.requirements] == [
            (("editors", "leads"), 2),
            (("leads",), 1),
        ]
        assert (need.min_approvers, need.valid) == (2, timedelta(minutes=3))


async def test_where_one_asks_others_and_one_the_subject_both_are_needed(place: Place) -> None:
    in_person = replace(WRITE_DRAFTS, approval=ApprovalRule((), by=ApprovedBy.SUBJECT))
    async with approving(place, ASKING, in_person) as people:
        pending = await people.asked(people.gateway.request(LISTING, DRAFTS))

        after = await people.says(LEA, pending.approval)

        assert (pending.approval.need.by_subject, pending.approval.need.groups) == (True, ("leads",))
        assert after.state is ApprovalState.PENDING


async def test_a_rule_that_now_asks_for_more_voids_what_was_said(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)
        people.policy(replace(ASKING, approval=replace(LEADS, min_approvers=2)))

        error = await people.refused(request)

        kept = await people.gateway.approvals.approval(pending.approval.approval_id)
        assert error.reason is Reason.APPROVAL_CHANGED
        assert kept is not None
        assert kept.state is ApprovalState.VOID
        assert people.gateway.sts.orders == []


async def test_a_rule_that_asks_for_nothing_any_more_still_takes_the_yes(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        await people.says(LEA, (await people.asked(request)).approval)
        people.policy(READ_REPORTS)

        issued = await people.collected(request)

        assert issued.grant.expire_time == NOON + timedelta(minutes=10)


async def test_a_policy_that_says_no_meanwhile_is_obeyed(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        await people.says(LEA, (await people.asked(request)).approval)
        people.policy(READ_ORDERS)

        assert (await people.refused(request)).reason is Reason.CEILING_EXCEEDED


async def test_an_outage_after_a_yes_leaves_the_grant_to_be_tried_again(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)
        people.gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer")
        failed = await people.refused(request)
        people.gateway.sts.failure = None

        issued = await people.collected(request)

        assert failed.reason is Reason.STS_UNAVAILABLE
        assert issued.grant.grant_id == pending.grant.grant_id


async def test_ending_the_task_closes_what_it_waits_for(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.gateway.end(people.gateway.admitted(), pending.grant.task_id)

        collecting = await people.refused(request)
        deciding = await people.not_taken(LEA, pending.approval)

        assert (collecting.reason, deciding.reason) == (Reason.APPROVAL_LAPSED, Reason.APPROVAL_LAPSED)
        assert "approval_closed" in await people.gateway.trail()


@pytest.mark.parametrize("kind", list(TargetKind))
async def test_a_revoke_closes_what_waits_of_its_target(place: Place, kind: TargetKind) -> None:
    async with approving(place) as people:
        pending = await people.asked()
        grant = pending.grant
        keys = {
            TargetKind.GRANT: Target(kind, grant.grant_id),
            TargetKind.TASK: Target(kind, grant.task_id),
            TargetKind.SUBJECT: Target(kind, "alice", "https://idp.example"),
            TargetKind.ACTOR: Target(kind, "corp:copilot"),
            TargetKind.REVISION: Target(kind, grant.policy_revision),
        }
        order = RevokeOrder("c" * 26, keys[kind], RevokeCause.REQUESTED, "corp:sam", "lost laptop")

        await DatabaseRevocations(people.gateway.ledger.store).revoke(order)

        states = look(people.gateway.database, "SELECT approvals.state, grants.state FROM approvals, grants")
        assert states == [("LAPSED", "LAPSED")]
        assert (await people.not_taken(LEA, pending.approval)).reason is Reason.APPROVAL_LAPSED


async def test_a_revoke_of_one_grant_leaves_what_another_waits_for(place: Place) -> None:
    async with approving(place) as people:
        pending = await people.asked()
        other = people.gateway.request(task_id=pending.grant.task_id)
        await people.asked(other)
        order = RevokeOrder(
            "c" * 26,
            Target(TargetKind.GRANT, pending.grant.grant_id),
            RevokeCause.REQUESTED,
            "corp:sam",
            "not this one",
        )
        await DatabaseRevocations(people.gateway.ledger.store).revoke(order)

        await people.says(LEA, pending.approval)

        assert (await people.collected(other)).grant.state is GrantState.ISSUED


async def test_a_preview_says_that_people_are_asked_and_asks_nobody(place: Place) -> None:
    async with approving(place) as people:
        outcome = await people.gateway.preview(people.gateway.ask())

        assert isinstance(outcome, WouldIssue)
        assert outcome.plan.approval is not None
        assert look(people.gateway.database, "SELECT count(*) FROM approvals") == [(0,)]


async def test_who_is_asked_very_often_is_asked_no_more(place: Place) -> None:
    async with approving(place) as people:
        for _ in range(20):
            await people.asked()

        error = await people.refused(people.gateway.request())

        assert error.reason is Reason.RATE_LIMITED
        assert look(people.gateway.database, "SELECT count(*) FROM approvals") == [(20,)]


async def test_asking_and_giving_up_again_and_again_does_not_ask_people_again_and_again(place: Place) -> None:
    async with approving(place) as people:
        for _ in range(60):
            pending = await people.asked()
            await people.gateway.end(people.gateway.admitted(), pending.grant.task_id)

        error = await people.refused(people.gateway.request())
        people.gateway.clock.advance(hours=1)

        assert error.reason is Reason.RATE_LIMITED
        assert (await people.asked()).approval.state is ApprovalState.PENDING


async def test_break_glass_issues_at_once_and_opens_a_review(place: Place) -> None:
    async with approving(place, BREAK_GLASS) as people:
        issued = await people.collected(people.gateway.request())

        review = await people.gateway.approvals.approval(str(issued.grant.approval_id))
        assert issued.grant.break_glass
        assert review is not None
        assert await authorized(people) == [(review.approval_id, True)]
        assert (review.kind, review.state) == (ApprovalKind.REVIEW, ApprovalState.PENDING)
        assert await people.gateway.trail() == [
            "task_started",
            "grant_authorized",
            "approval_asked",
            "credentials_issued",
        ]


async def test_break_glass_never_passes_the_ceilings(place: Place) -> None:
    wide = replace(BREAK_GLASS, permissions=(permission("dynamodb:*", "*"),))
    async with approving(place, wide, roles=ROLES) as people:
        error = await people.refused(people.gateway.request(permission("dynamodb:GetItem", "*")))

        assert error.reason is Reason.CEILING_EXCEEDED


async def test_a_free_entitlement_is_taken_before_break_glass_and_that_before_waiting(place: Place) -> None:
    glass = replace(BREAK_GLASS, entitlement_id="glass")
    async with approving(place, ASKING, glass) as people:
        skipped = await people.collected(people.gateway.request())
        people.policy(ASKING, glass, replace(READ_REPORTS, entitlement_id="free"))

        free = await people.collected(people.gateway.request())

        assert (skipped.grant.entitlements, skipped.grant.break_glass) == (("glass",), True)
        assert (free.grant.entitlements, free.grant.break_glass) == (("free",), False)


async def test_break_glass_waits_where_people_are_waited_for_anyway(place: Place) -> None:
    async with approving(place, BREAK_GLASS, WRITE_DRAFTS) as people:
        pending = await people.asked(people.gateway.request(LISTING, DRAFTS))

        assert pending.approval.kind is ApprovalKind.BEFORE
        assert pending.approval.need.groups == ("editors", "leads")


async def test_a_yes_in_review_closes_it(place: Place) -> None:
    async with approving(place, BREAK_GLASS) as people:
        issued = await people.collected(people.gateway.request())
        review = await people.show.one(LEO, str(issued.grant.approval_id))

        after = await people.says(LEO, review)

        assert after.state is ApprovalState.APPROVED
        assert look(people.gateway.database, "SELECT state FROM grants") == [("ISSUED",)]


async def test_a_no_in_review_revokes_the_grant(place: Place) -> None:
    async with approving(place, BREAK_GLASS) as people:
        request = people.gateway.request()
        issued = await people.collected(request)
        review = await people.show.one(LEO, str(issued.grant.approval_id))

        after = await people.says(LEO, review, yes=False)

        assert after.state is ApprovalState.REFUSED
        query = "SELECT state, revoke_cause FROM grants"
        assert look(people.gateway.database, query) == [("REVOKING", RevokeCause.REVIEW.value)]
        assert (await people.refused(request)).reason is Reason.GRANT_NOT_LIVE
        assert (await people.gateway.trail())[-3:] == ["approval_decided", "grants_revoked", "request_refused"]


async def test_a_review_that_nobody_does_is_told_of_each_day_and_never_lapses(place: Place) -> None:
    async with approving(place, BREAK_GLASS) as people:
        issued = await people.collected(people.gateway.request())
        for _ in range(3):
            people.gateway.clock.advance(days=1)
            await people.gateway.ledger.sweep(people.gateway.clock.now())
            await people.gateway.ledger.sweep(people.gateway.clock.now())

        review = await people.show.one(LEO, str(issued.grant.approval_id))

        assert review.state is ApprovalState.PENDING
        assert (await people.gateway.trail()).count("review_outstanding") == 3


async def test_a_break_glass_grant_that_is_tried_again_has_one_review(place: Place) -> None:
    async with approving(place, BREAK_GLASS) as people:
        request = people.gateway.request()
        people.gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer")
        await people.refused(request)
        people.gateway.sts.failure = None

        issued = await people.collected(request)

        assert look(people.gateway.database, "SELECT approval_id FROM approvals") == [(issued.grant.approval_id,)]


async def test_a_break_glass_that_was_refused_in_review_before_it_gave_anything_gives_nothing(place: Place) -> None:
    async with approving(place, BREAK_GLASS) as people:
        request = people.gateway.request()
        people.gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer")
        await people.refused(request)
        people.gateway.sts.failure = None
        ((review_id,),) = look(people.gateway.database, "SELECT approval_id FROM approvals")
        await people.says(LEO, await people.show.one(LEO, review_id), yes=False)

        error = await people.refused(request)

        assert error.reason is Reason.GRANT_NOT_LIVE
        assert look(people.gateway.database, "SELECT state FROM grants") == [("FAILED",)]


@pytest.mark.parametrize("kind", [TargetKind.SUBJECT, TargetKind.ACTOR])
async def test_a_yes_from_before_a_revoke_is_not_tried_again_after_the_next_login(
    place: Place, kind: TargetKind
) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)
        people.gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer")
        await people.refused(request)
        people.gateway.sts.failure = None
        key, issuer = pending.grant.actor_id, ""
        if kind is TargetKind.SUBJECT:
            key, issuer = pending.grant.subject_id, pending.grant.subject_issuer
        order = RevokeOrder("r" * 26, Target(kind, key, issuer), RevokeCause.REQUESTED, "acme:sam", "")
        await DatabaseRevocations(people.gateway.ledger.store).revoke(order)
        people.gateway.clock.advance(seconds=1)
        log_in_again(people)

        by_now = replace(request, ask=replace(request.ask, by=people.gateway.admitted()))
        error = await people.refused(by_now)

        assert error.reason is Reason.GRANT_NOT_LIVE


async def test_a_grant_tried_without_people_cannot_be_tried_again_past_a_rule_that_asks_them(place: Place) -> None:
    async with approving(place, READ_REPORTS) as people:
        request = people.gateway.request()
        people.gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer")
        await people.refused(request)
        people.gateway.sts.failure = None
        people.policy(ASKING)

        error = await people.refused(request)

        assert (error.reason, error.remedy) == (Reason.APPROVAL_CHANGED, Remedy.ASK_APPROVAL)


async def test_one_who_confirms_in_person_is_not_asked_by_a_group(place: Place) -> None:
    async with approving(place, IN_PERSON) as people:
        pending = await people.asked()

        assert pending.approval.need.groups == ()
        assert pending.approval.need.by_subject
