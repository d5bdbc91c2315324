"""ApprovalService over real gRPC and TLS: asked by an agent, decided by people, collected by the agent."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from tests.approval_world import ALICE, LEA, Approving, approving, person
from tests.operator_world import SEES_ALL, OperatorWorld
from tests.transport.gateway_server import Served, as_agent, failure_of, issue_message, served

from remit.v1 import approval_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.approval_service_pb2_grpc import ApprovalServiceStub
from remit.v1.credential_service_pb2 import PreviewCredentialsRequest
from remit_server.application.approvals.decide_approval import DecideApproval
from remit_server.application.approvals.show_approvals import ShowApprovals
from remit_server.cli.approval_words import told_approval
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.approval_calls import decide
from remit_server.transport.grpc.approval_service import ApprovalService
from remit_server.transport.grpc.operator_client import CallFailed, Connection, OperatorClient

if TYPE_CHECKING:
    from remit.v1.approval_service_pb2_grpc import ApprovalServiceAsyncStub


@dataclass(frozen=True)
class Desk:
    """A gateway that serves agents and approvers."""

    people: Approving
    served: Served
    stub: "ApprovalServiceAsyncStub"

    async def asked(self) -> types_pb2.Approval:
        answer = await self.served.stub.IssueCredentials(issue_message(), metadata=as_agent())
        assert not answer.HasField("credentials")
        assert answer.grant.state == types_pb2.GRANT_STATE_PENDING_APPROVAL
        return answer.approval

    async def decide(self, approval: types_pb2.Approval, *, who: str = "lea", **more: object) -> types_pb2.Approval:
        values = {"name": approval.name, "digest": approval.digest, "approve": True, **more}
        request = messages.DecideApprovalRequest(**values)  # type: ignore[arg-type] # a test's own words
        return (await self.stub.DecideApproval(request, metadata=as_agent(f"ops-{who}"))).approval


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with approving(tmp_path) as people:
        house = OperatorWorld(people.gateway)
        for one in (LEA, ALICE, person("mallory"), person("olga")):
            house.operators[f"ops-{one.subject}"] = one
        house.policy.answers["olga"] = SEES_ALL
        show = ShowApprovals(
            people.gateway.approvals, house.authorize.sees_everything, people.gateway.clock, timedelta(seconds=0.01)
        )
        admit = replace(house.admission("ApprovalService"), streams=frozenset({"WatchApprovals"}))
        service = ApprovalService(admit, show, DecideApproval(people.gateway.approvals, show, people.gateway.clock))
        async with served(people.gateway, tmp_path, also=[service.offered]) as running:
            yield Desk(people, running, ApprovalServiceStub(running.channel))


async def refusal(call: object) -> tuple[str, grpc.StatusCode]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc] # a call of any method
    failure = failure_of(raised.value)
    return failure.info.reason, failure.code


async def test_what_a_lead_approved_is_collected_by_repeating_the_request(desk: Desk) -> None:
    approval = await desk.asked()
    decided = await desk.decide(approval, comment="for the board")

    issued = await desk.served.stub.IssueCredentials(issue_message(), metadata=as_agent())

    assert decided.state == types_pb2.APPROVAL_STATE_APPROVED
    assert [(vote.approver.id, vote.comment) for vote in decided.votes] == [("lea", "for the board")]
    assert issued.credentials.secret_access_key
    assert issued.grant.approval == approval.name


async def test_an_approver_is_shown_all_that_is_decided_about(desk: Desk) -> None:
    asked = await desk.asked()

    request = messages.GetApprovalRequest(name=asked.name)
    shown = (await desk.stub.GetApproval(request, metadata=as_agent("ops-lea"))).approval

    assert shown == asked
    assert (shown.kind, shown.state) == (types_pb2.APPROVAL_KIND_BEFORE, types_pb2.APPROVAL_STATE_PENDING)
    assert (shown.subject.id, shown.actor, shown.purpose) == ("alice", "corp:copilot", "summarise Q3")
    assert json.loads(shown.session_policy)["Statement"]
    assert [list(one.actions) for one in shown.adds] == [["s3:GetObject"]]
    assert (list(shown.groups), shown.min_approvers, shown.by_subject) == (["leads"], 1, False)
    assert [(list(one.groups), one.min_approvers) for one in shown.requirements] == [(["leads"], 1)]
    assert shown.duration_seconds == 900
    told = dict(told_approval(shown))
    assert told["ends"] == f"{shown.valid_seconds} seconds after the yes at the latest, whenever the agent collects it"
    assert shown.valid_seconds == 600


async def test_who_approves_their_own_request_is_advised_to_leave_it_to_somebody_else(desk: Desk) -> None:
    asked = await desk.asked()

    def decided() -> None:
        (desk.people.gateway.database.parent / "roots.pem").write_bytes(desk.served.roots)
        roots = desk.people.gateway.database.parent / "roots.pem"
        with OperatorClient(Connection(desk.served.address, roots, token=lambda: Secret("ops-alice"))) as client:
            decide(client, asked.name, asked.digest, "", approve=True)

    with pytest.raises(CallFailed, match="NOT_AUTHORIZED: nobody says yes to what is done in their own name") as failed:
        await asyncio.to_thread(decided)

    assert failed.value.remedy.startswith("leave it to somebody who may decide it")


async def test_a_list_is_paged_and_holds_what_the_caller_may_see(desk: Desk) -> None:
    approval = await desk.asked()
    request = messages.ListApprovalsRequest(page_size=1)

    pages = {
        who: await desk.stub.ListApprovals(request, metadata=as_agent(f"ops-{who}"))
        for who in ("lea", "alice", "olga", "mallory")
    }
    rest = await desk.stub.ListApprovals(
        messages.ListApprovalsRequest(page_token=pages["lea"].next_page_token), metadata=as_agent("ops-lea")
    )

    names = {who: [one.name for one in page.approvals] for who, page in pages.items()}
    assert names == {"lea": [approval.name], "alice": [approval.name], "olga": [approval.name], "mallory": []}
    assert (list(rest.approvals), rest.next_page_token) == ([], "")


@pytest.mark.parametrize("token", ["x", "!!", "bm8gdGltZQ==", "AAAA" * 20])
async def test_a_page_token_of_somebody_elses_is_malformed(desk: Desk, token: str) -> None:
    request = messages.ListApprovalsRequest(page_token=token)

    reason = await refusal(desk.stub.ListApprovals(request, metadata=as_agent("ops-lea")))

    assert reason == ("INVALID_REQUEST", grpc.StatusCode.INVALID_ARGUMENT)


async def test_refusals_have_a_reason_each(desk: Desk) -> None:
    approval = await desk.asked()
    nobodys = types_pb2.Approval(name=f"approvals/{'a' * 26}", digest=approval.digest)

    reasons = [
        await refusal(desk.decide(nobodys)),
        await refusal(desk.decide(approval, who="mallory")),
        await refusal(desk.decide(approval, who="alice")),
        await refusal(desk.decide(approval, who="olga")),
        await refusal(desk.decide(approval, digest="0" * 64)),
        await refusal(desk.decide(approval, comment="two\nlines")),
        await refusal(desk.stub.DecideApproval(messages.DecideApprovalRequest(), metadata=as_agent())),
    ]

    assert [reason for reason, _ in reasons] == [
        "NOT_FOUND",
        "NOT_FOUND",
        "NOT_AUTHORIZED",
        "NOT_AUTHORIZED",
        "APPROVAL_CHANGED",
        "INVALID_REQUEST",
        "NOT_AUTHORIZED",
    ]


async def test_every_call_of_an_approver_is_on_record(desk: Desk) -> None:
    approval = await desk.asked()
    await desk.stub.ListApprovals(messages.ListApprovalsRequest(), metadata=as_agent("ops-lea"))
    await desk.stub.GetApproval(messages.GetApprovalRequest(name=approval.name), metadata=as_agent("ops-lea"))
    await refusal(desk.decide(approval, who="alice"))
    await desk.decide(approval)

    events = [
        event for event in await desk.people.gateway.events() if event.kind in {"operator_called", "approval_decided"}
    ]
    told = [json.loads(event.body_text) for event in events]
    assert [(one["method"], one["caller_id"], one["reason"]) for one in told[:3]] == [
        ("ApprovalService.ListApprovals", "lea", ""),
        ("ApprovalService.GetApproval", "lea", ""),
        ("ApprovalService.DecideApproval", "alice", "NOT_AUTHORIZED"),
    ]
    assert (told[3]["approver_id"], told[3]["approved"], told[3]["state"]) == ("lea", True, "APPROVED")


async def test_who_watches_hears_of_what_is_asked_and_decided(desk: Desk) -> None:
    watch = desk.stub.WatchApprovals(messages.WatchApprovalsRequest(), metadata=as_agent("ops-lea"))
    approval = await desk.asked()
    heard = [(await anext(aiter(watch))).approval]
    await desk.decide(approval)

    heard.append((await anext(aiter(watch))).approval)

    watch.cancel()
    assert [one.name for one in heard] == [approval.name] * 2
    assert [one.state for one in heard] == [types_pb2.APPROVAL_STATE_PENDING, types_pb2.APPROVAL_STATE_APPROVED]


async def test_a_preview_says_that_people_would_be_asked(desk: Desk) -> None:
    asked = issue_message()
    request = PreviewCredentialsRequest(subject_token=asked.subject_token, intent=asked.intent)

    answer = await desk.served.stub.PreviewCredentials(request, metadata=as_agent())

    assert answer.would_issue.needs_approval


async def test_an_agent_cannot_call_what_approvers_call(desk: Desk) -> None:
    calls = [
        desk.stub.ListApprovals(messages.ListApprovalsRequest(), metadata=as_agent()),
        desk.stub.GetApproval(messages.GetApprovalRequest(name=f"approvals/{'a' * 26}"), metadata=as_agent()),
    ]

    assert [await refusal(call) for call in calls] == [("NOT_AUTHORIZED", grpc.StatusCode.PERMISSION_DENIED)] * 2
