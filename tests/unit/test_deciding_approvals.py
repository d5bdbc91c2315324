"""Who may decide an approval and who may see it; each of them once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.approval_world import (
    ALICE,
    ASKING,
    IN_PERSON,
    ISSUER,
    LEA,
    LEADS,
    LEO,
    PARTNER,
    Approving,
    approving,
    person,
)
from tests.fakes import NOON

from remit_server.application.approvals.eligibility import known_as
from remit_server.application.approvals.ports import Place
from remit_server.domain.approval import Approval, ApprovalState
from remit_server.domain.errors import Reason, Remedy, RemitError
from remit_server.domain.operator import Operator, OperatorKind

SECONDS = int(NOON.timestamp())
TWO = replace(ASKING, approval=replace(LEADS, min_approvers=2))


async def waiting(people: Approving) -> Approval:
    return (await people.asked()).approval


async def test_one_yes_of_a_lead_approves(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        after = await people.says(LEA, await waiting(people))

        assert after.state is ApprovalState.APPROVED
        assert after.valid_until == NOON + timedelta(minutes=10)
        assert [(vote.approver_id, vote.approved, vote.comment) for vote in after.votes] == [("lea", True, "as agreed")]


async def test_several_approvers_are_several_people(tmp_path: Path) -> None:
    async with approving(tmp_path, TWO) as people:
        approval = await waiting(people)
        first = await people.says(LEA, approval)
        again = await people.not_taken(LEA, approval)

        after = await people.says(LEO, approval)

        assert (first.state, after.state) == (ApprovalState.PENDING, ApprovalState.APPROVED)
        assert again.reason is Reason.APPROVAL_DECIDED


async def test_one_no_refuses_whatever_the_others_said(tmp_path: Path) -> None:
    async with approving(tmp_path, TWO) as people:
        approval = await waiting(people)
        await people.says(LEA, approval)

        assert (await people.says(LEO, approval, yes=False)).state is ApprovalState.REFUSED
        assert (await people.not_taken(person("lou", "leads"), approval)).reason is Reason.APPROVAL_REFUSED


@pytest.mark.parametrize(
    "operator",
    [
        person("mallory", "analysts"),
        replace(LEA, kind=OperatorKind.WORKLOAD),
        replace(LEA, groups=()),
    ],
    ids=["of other groups", "a workload in the group", "of no group"],
)
async def test_who_is_not_asked_does_not_even_learn_that_it_is_there(tmp_path: Path, operator: Operator) -> None:
    async with approving(tmp_path) as people:
        assert (await people.not_taken(operator, await waiting(people))).reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    "operator",
    [
        person("alice", "leads"),
        person("Alice", "leads", email=None),
        person("al1ce", "leads", email="ALICE@Example.com"),
        person("alice-admin", "leads", email="alice+ops@example.com"),
        person("4711", "leads", issuer=PARTNER, alias="partner", email="alice@example.com"),
        person("alice@example.com", "leads", issuer=PARTNER, alias="partner", email=None),
    ],
    ids=["herself", "her name in capitals", "her mailbox", "a tagged mailbox", "another issuer", "a mailbox as name"],
)
async def test_nobody_approves_what_is_done_in_their_own_name(tmp_path: Path, operator: Operator) -> None:
    async with approving(tmp_path) as people:
        people.gateway.mail("alice", "alice@example.com")

        error = await people.not_taken(operator, await waiting(people))

        assert error.reason is Reason.NOT_AUTHORIZED


async def test_the_subject_may_always_refuse_what_is_done_in_their_name(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        after = await people.says(ALICE, await waiting(people), yes=False)

        assert after.state is ApprovalState.REFUSED


async def test_one_who_sees_everything_decides_nothing_for_that(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        people.everything.add("olga")

        error = await people.not_taken(person("olga", "security"), await waiting(people))

        assert error.reason is Reason.NOT_AUTHORIZED


async def test_an_agent_by_the_name_of_the_actor_is_refused_though_the_door_let_it_in(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        agent = person("copilot", "leads")

        assert (await people.not_taken(agent, await waiting(people))).reason is Reason.NOT_AUTHORIZED


@pytest.mark.parametrize(
    ("signed_in", "taken"),
    [
        ({"auth_time": SECONDS + 60}, True),
        ({"auth_time": SECONDS}, True),
        ({"auth_time": SECONDS - 1}, False),
        ({"auth_time": SECONDS - 3600, "token_issue_time": NOON + timedelta(seconds=60)}, False),
        ({"token_issue_time": NOON + timedelta(seconds=60)}, True),
        ({"token_issue_time": NOON - timedelta(seconds=1)}, False),
        ({"token_issue_time": None}, False),
        ({"auth_time": SECONDS + 3600}, False),
    ],
    ids=[
        "afterwards",
        "then",
        "before",
        "a fresh token of an old login",
        "a fresh token",
        "an old token",
        "no token",
        "in the future",
    ],
)
async def test_the_subject_confirms_by_a_login_that_is_younger_than_the_request(
    tmp_path: Path, signed_in: dict[str, object], *, taken: bool
) -> None:
    async with approving(tmp_path, IN_PERSON) as people:
        approval = await waiting(people)
        people.gateway.clock.advance(minutes=2)
        alice = person("alice", "analysts", **signed_in)

        if taken:
            assert (await people.says(alice, approval)).state is ApprovalState.APPROVED
        else:
            error = await people.not_taken(alice, approval)
            assert (error.reason, error.remedy) == (Reason.NOT_AUTHORIZED, Remedy.REAUTHENTICATE)


async def test_a_login_of_five_minutes_ago_confirms_nothing(tmp_path: Path) -> None:
    async with approving(tmp_path, IN_PERSON) as people:
        approval = await waiting(people)
        people.gateway.clock.advance(minutes=5, seconds=1)

        error = await people.not_taken(person("alice", auth_time=SECONDS), approval)

        assert error.reason is Reason.NOT_AUTHORIZED


async def test_nobody_else_confirms_for_the_subject(tmp_path: Path) -> None:
    async with approving(tmp_path, IN_PERSON) as people:
        people.everything.add("lea")

        assert (await people.not_taken(LEA, await waiting(people))).reason is Reason.NOT_AUTHORIZED


async def test_the_same_name_at_another_issuer_is_somebody_else(tmp_path: Path) -> None:
    async with approving(tmp_path, IN_PERSON) as people:
        other = person("alice", issuer=PARTNER, alias="partner", email=None)

        assert (await people.not_taken(other, await waiting(people))).reason is Reason.NOT_FOUND


async def test_a_vote_is_about_the_digest_that_was_shown(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        error = await people.not_taken(LEA, await waiting(people), digest="0" * 64)

        assert (error.reason, error.remedy) == (Reason.APPROVAL_CHANGED, Remedy.ASK_APPROVAL)


async def test_a_decided_one_is_decided(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        approval = await waiting(people)
        await people.says(LEA, approval)

        assert (await people.not_taken(LEO, approval)).reason is Reason.APPROVAL_DECIDED


async def test_a_list_holds_what_the_caller_may_decide_or_asked_for_newest_first(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        names = []
        for _ in range(3):
            names.append((await waiting(people)).approval_id)
            people.gateway.clock.advance(seconds=1)

        seen = {
            operator.subject: [one.approval_id for one in page.approvals]
            for operator in (LEA, ALICE, person("mallory"))
            for page in [await people.show.listed(operator, waiting=True, after=None, at_most=50)]
        }

        assert seen == {"lea": names[::-1], "alice": names[::-1], "mallory": []}


async def test_a_list_goes_on_where_the_page_before_ended(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        names = {(await waiting(people)).approval_id for _ in range(5)}  # all of one time

        found: list[str] = []
        after: Place | None = None
        for _ in range(3):
            page = await people.show.listed(LEA, waiting=True, after=after, at_most=2)
            found, after = [*found, *(one.approval_id for one in page.approvals)], page.after

        assert set(found) == names
        assert (len(found), after) == (5, None)


async def test_what_is_decided_is_listed_only_when_all_are_asked_for(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        approval = await waiting(people)
        await people.says(LEA, approval)

        waits = await people.show.listed(LEA, waiting=True, after=None, at_most=50)
        every = await people.show.listed(LEA, waiting=False, after=None, at_most=50)

        assert (waits.approvals, [one.state for one in every.approvals]) == ((), [ApprovalState.APPROVED])


async def test_whom_the_policy_lets_see_all_sees_all(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        approval = await waiting(people)
        people.everything.add("olga")

        page = await people.show.listed(person("olga"), waiting=True, after=None, at_most=50)

        assert [one.approval_id for one in page.approvals] == [approval.approval_id]
        with pytest.raises(RemitError):
            await people.show.one(person("mallory"), approval.approval_id)


async def test_who_watches_hears_what_waits_and_what_becomes_of_it(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        show = replace(people.show, look_every=timedelta(0))
        approval = await waiting(people)
        heard = show.watched(LEO)
        first = await anext(heard)
        await people.says(LEA, approval)

        then = await anext(heard)

        assert [one.state for one in (first, then)] == [ApprovalState.PENDING, ApprovalState.APPROVED]
        assert then.approval_id == approval.approval_id
        await heard.aclose()


def test_names_of_one_issuer_are_not_those_of_another() -> None:
    mine, theirs = person("alice", email=None), person("alice", issuer=PARTNER, email=None)

    assert known_as(mine).isdisjoint(known_as(theirs))
    assert known_as(mine) == known_as(person("ALICE", issuer=ISSUER.upper(), email=None))
