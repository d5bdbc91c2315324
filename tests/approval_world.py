"""A gateway whose policy asks people, and the people: what tests of approvals have in common."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import NOON, READ_REPORTS, World, entitlement, given, permission, world

from remit_server.application.approvals.ask_approval import Pending
from remit_server.application.approvals.decide_approval import DecideApproval, Decision
from remit_server.application.approvals.show_approvals import ShowApprovals
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.requests import IssueRequest
from remit_server.domain.approval import Approval
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import ApprovalRule, ApprovedBy, Entitlement, EntitlementKind
from remit_server.domain.errors import RemitError
from remit_server.domain.operator import Operator, OperatorKind

LEADS = ApprovalRule(("leads",), valid=timedelta(minutes=10))
ASKING = replace(READ_REPORTS, approval=LEADS)
IN_PERSON = replace(READ_REPORTS, approval=ApprovalRule((), by=ApprovedBy.SUBJECT))
BREAK_GLASS = replace(READ_REPORTS, kind=EntitlementKind.BREAK_GLASS, approval=LEADS)
WRITE_DRAFTS = entitlement(
    "drafts-writer", permission("s3:PutObject", "arn:aws:s3:::reports/drafts/*"), approval=ApprovalRule(("editors",))
)
ISSUER, PARTNER = "https://idp.example", "https://partner.example"


def person(name: str, *groups: str, **more: Any) -> Operator:
    """Returns a person with a login of their own, as the door lets them in."""
    values: dict[str, Any] = {
        "issuer": ISSUER,
        "alias": "corp",
        "subject": name,
        "kind": OperatorKind.PERSON,
        "peer": "127.0.0.1",
        "groups": groups,
        "email": f"{name}@example.com",
        "token_issue_time": NOON,
    }
    return Operator(**{**values, **more})


LEA = person("lea", "leads")
LEO = person("leo", "leads", "editors")
ALICE = person("alice", "analysts")  # the subject of every request


@dataclass
class Approving:
    """The world, and what people do in it. `everything` names who sees all approvals."""

    gateway: World
    show: ShowApprovals
    decide: DecideApproval
    everything: set[str]

    async def asked(self, request: IssueRequest | None = None) -> Pending:
        """Asks for credentials; fails when they are issued at once."""
        outcome = await self.gateway.issue(request or self.gateway.request())
        assert isinstance(outcome, Pending), outcome
        return outcome

    async def collected(self, request: IssueRequest) -> Issued:
        """Repeats a request that was approved."""
        return given(await self.gateway.issue(request))

    async def says(
        self, operator: Operator, approval: Approval, *, yes: bool = True, digest: str | None = None
    ) -> Approval:
        """Has a person decide, by the digest of what they were shown."""
        decision = Decision(approval.approval_id, digest or approval.digest, yes, "as agreed")
        return await self.decide(operator, decision)

    async def refused(self, request: IssueRequest) -> RemitError:
        """Returns why a request is refused."""
        with pytest.raises(RemitError) as raised:
            await self.gateway.issue(request)
        return raised.value

    async def not_taken(self, operator: Operator, approval: Approval, **more: Any) -> RemitError:
        """Returns why a decision is not taken."""
        with pytest.raises(RemitError) as raised:
            await self.says(operator, approval, **more)
        return raised.value

    def policy(self, *entitlements: Entitlement) -> None:
        """Activates a policy that allows these."""
        self.gateway.policy.answer = Allow(entitlements)


@asynccontextmanager
async def approving(place: Place, *entitlements: Entitlement, **more: Any) -> AsyncIterator[Approving]:
    """Builds it, in a folder or on a database; leads approve reading reports unless other entitlements are given."""
    is_folder = isinstance(place, Path) and place.is_dir()
    where: dict[str, Any] = {} if is_folder else {"place": place}
    folder = place if isinstance(place, Path) else Path()
    async with world(folder, *(entitlements or (ASKING,)), **where, **more) as gateway:
        everything: set[str] = set()

        async def may_see_all(operator: Operator, rpc: str) -> bool:
            assert rpc.startswith("ApprovalService.")
            return operator.subject in everything

        show = ShowApprovals(gateway.approvals, may_see_all, gateway.clock)
        decide = DecideApproval(gateway.approvals, show, gateway.clock)
        yield Approving(gateway, show, decide, everything)


def request_id() -> str:
    """Returns a fresh id."""
    return secrets.token_hex(16)
