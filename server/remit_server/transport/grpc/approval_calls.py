"""The calls behind `remit-server approvals`, each with what it asks for and answers."""

from collections.abc import Iterator

from remit.v1 import approval_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.types_pb2 import Approval
from remit_server.transport.grpc.operator_calls import as_json, streamed
from remit_server.transport.grpc.operator_client import CallFailed, OperatorClient

__all__ = ["Approval", "as_json", "decide", "get", "is_review", "list_approvals", "state_name", "watch"]

_MOST_ON_A_PAGE = 100


def list_approvals(client: OperatorClient, limit: int, *, all_states: bool) -> Iterator[Approval]:
    """Yields approvals, newest first, at most so many."""
    token = ""
    while limit > 0:
        request = messages.ListApprovalsRequest(
            all_states=all_states, page_size=min(limit, _MOST_ON_A_PAGE), page_token=token
        )
        page = client.call(client.approvals.ListApprovals, request)
        yield from page.approvals
        limit -= len(page.approvals)
        token = page.next_page_token
        if not token:
            return


def get(client: OperatorClient, name: str) -> Approval:
    """Returns one approval."""
    return client.call(client.approvals.GetApproval, messages.GetApprovalRequest(name=name)).approval


def decide(client: OperatorClient, name: str, digest: str, comment: str, *, approve: bool) -> Approval:
    """Says yes or no to what was shown under this digest."""
    request = messages.DecideApprovalRequest(name=name, digest=digest, approve=approve, comment=comment)
    try:
        return client.call(client.approvals.DecideApproval, request).approval
    except CallFailed as failed:
        # A right would not help whom the approval itself does not take.
        if (
            failed.reason != "NOT_AUTHORIZED"
            or failed.message.startswith("policy refuses")
            or "sign in" in failed.message
        ):
            raise
        remedy = "leave it to somebody who may decide it: `remit-server approvals show` says who"
        raise CallFailed(failed.reason, failed.message, remedy, is_no=failed.is_no) from None


def watch(client: OperatorClient) -> Iterator[Approval]:
    """Yields approvals as they are asked for and decided, over as many streams as it takes."""
    for answer in streamed(lambda: client.stream(client.approvals.WatchApprovals, messages.WatchApprovalsRequest())):
        yield answer.approval


def state_name(approval: Approval) -> str:
    """Returns where an approval stands, in a word; one that this version does not know by number."""
    try:
        return types_pb2.ApprovalState.Name(approval.state).removeprefix("APPROVAL_STATE_")
    except ValueError:
        return f"state {approval.state}"


def is_review(approval: Approval) -> bool:
    """Says whether it is about credentials that exist already."""
    return approval.kind == types_pb2.APPROVAL_KIND_REVIEW
