"""The law of approvals: nothing is issued without enough different people's yes to the very thing that is issued."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.approval_world import ALICE, ASKING, Approving, approving, person
from tests.fakes import READ_REPORTS, permission

from remit_server.application.approvals.ask_approval import Pending
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.requests import IssueRequest
from remit_server.domain.approval import Approval
from remit_server.domain.entitlement import ApprovalRule
from remit_server.domain.errors import RemitError
from remit_server.domain.operator import Operator, OperatorKind

# Time is no part of these laws: the machine that runs them may be busy.
law = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TWO = replace(ASKING, approval=ApprovalRule(("leads",), min_approvers=2, valid=timedelta(minutes=10)))
EDITORS = replace(ASKING, entitlement_id="edited", approval=ApprovalRule(("editors",), valid=timedelta(minutes=5)))
POLICIES = (TWO, EDITORS, replace(TWO, permissions=(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),)))
# Who is who: only these are people whom somebody asks; lea has two accounts.
PEOPLE: tuple[tuple[Operator, str | None], ...] = (
    (person("lea", "leads"), "lea"),
    (person("lea2", "leads", issuer="https://partner.example", alias="partner", email="lea@example.com"), "lea"),
    (person("leo", "leads", "editors"), "leo"),
    (person("eve", "editors"), "eve"),
    (ALICE, None),
    (person("alice2", "leads", email="Alice@example.com"), None),
    (person("mallory", "analysts"), None),
    (person("bot", "leads", kind=OperatorKind.WORKLOAD), None),
)
GROUPS = {"lea": {"leads"}, "leo": {"leads", "editors"}, "eve": {"editors"}}

asks = st.tuples(st.just("ask"), st.integers(0, 1))
votes = st.tuples(st.just("vote"), st.integers(0, 3), st.integers(0, len(PEOPLE) - 1), st.booleans(), st.booleans())
collects = st.tuples(st.just("collect"), st.integers(0, 3))
passes = st.tuples(st.just("pass"), st.sampled_from([30, 240, 700]))
changes = st.tuples(st.just("change"), st.integers(0, len(POLICIES) - 1))
steps = st.lists(st.one_of(asks, votes, votes, votes, collects, collects, passes, changes), min_size=4, max_size=25)


@dataclass
class Witness:
    """What happened, by the test's own account: which people said yes to which digest, and under which policy."""

    people: Approving
    policy: Any = TWO
    asked: list[tuple[IssueRequest, Approval]] = field(default_factory=list)
    yes: dict[str, set[str]] = field(default_factory=dict)
    no: set[str] = field(default_factory=set)
    issued: int = 0

    async def take(self, step: Sequence[Any]) -> None:
        """Does one step; a refusal is as good as an answer."""
        match step:
            case ("ask", number):
                resource = ("arn:aws:s3:::reports/2026/q3/*", "arn:aws:s3:::reports/2026/q4/*")[number]
                task = self.asked[-1][1].task_id if self.asked else None
                await self.call(self.people.gateway.request(permission("s3:GetObject", resource), task_id=task))
            case ("collect", number) if self.asked:
                await self.call(self.asked[number % len(self.asked)][0])
            case ("vote", number, who, yes, honest) if self.asked:
                await self.vote(self.asked[number % len(self.asked)][1], *PEOPLE[who], yes=yes, honest=honest)
            case ("pass", seconds):
                self.people.gateway.clock.advance(seconds=seconds)
                await self.people.gateway.ledger.sweep(self.people.gateway.clock.now())
            case ("change", number):
                self.policy = POLICIES[number]
                self.people.policy(self.policy)
            case _:
                pass  # nobody has asked yet

    async def call(self, request: IssueRequest) -> None:
        """Asks or collects."""
        try:
            outcome = await self.people.gateway.issue(request)
        except RemitError:
            return
        match outcome:
            case Pending(approval=approval):
                self.asked.append((request, approval))
            case Issued(grant=grant):
                assert grant.approval_id is not None
                self.check(grant.approval_id, grant.session_policy)

    def check(self, approval_id: str, session_policy: str) -> None:
        """Holds what was issued to what people said."""
        repeats = len(self.people.gateway.sts.orders) - self.issued
        self.issued += repeats
        (approval,) = {one.approval_id: one for _, one in self.asked if one.approval_id == approval_id}.values()
        shown, sent = json.loads(approval.session_policy)["Statement"], json.loads(session_policy)["Statement"]
        assert [one for one in sent if one in shown] == shown
        assert len(sent) == len(shown) + 1
        wanted = set(approval.need.groups)
        agreeing = [who for who in self.yes.get(approval_id, ()) if GROUPS[who] & wanted]
        assert len(agreeing) >= approval.need.min_approvers
        assert approval_id not in self.no

    async def vote(self, approval: Approval, operator: Operator, who: str | None, *, yes: bool, honest: bool) -> None:
        """Says yes or no, maybe by the digest of something else."""
        digest = approval.digest if honest else "0" * 64
        try:
            await self.people.says(operator, approval, yes=yes, digest=digest)
        except RemitError:
            return
        assert honest
        if yes:
            assert who is not None
            self.yes.setdefault(approval.approval_id, set()).add(who)
        else:
            self.no.add(approval.approval_id)


@law
@given(steps)
def test_no_sequence_of_calls_issues_without_enough_people_who_said_yes_to_it(taken: list[Sequence[Any]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with approving(Path(folder), TWO) as people:
                people.gateway.mail("alice", "alice@example.com")
                witness = Witness(people)
                for step in taken:
                    await witness.take(step)

    asyncio.run(run())


def test_the_law_would_notice_an_issue_without_a_yes(tmp_path: Path) -> None:
    async def run() -> None:
        async with approving(tmp_path, TWO) as people:
            witness = Witness(people)
            await witness.take(("ask", 0))
            people.policy(READ_REPORTS)
            _, approval = witness.asked[0]

            try:
                witness.check(approval.approval_id, (await people.asked(witness.asked[0][0])).grant.session_policy)
            except AssertionError:
                return
            raise RuntimeError("the law holds of what nobody agreed to")

    asyncio.run(run())
