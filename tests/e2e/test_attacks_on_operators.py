"""Every method of the security side, with every token that is not for it, at the real gateway, and the reverse."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from tests.e2e.gateways import Q3, client, issue_request
from tests.fakes import NOON

import remit
from remit.v1 import approval_service_pb2 as approvals
from remit.v1 import audit_service_pb2 as audit
from remit.v1 import grant_service_pb2 as grants
from remit.v1 import policy_service_pb2 as policies
from remit.v1 import types_pb2
from remit.v1.approval_service_pb2_grpc import ApprovalServiceStub
from remit.v1.audit_service_pb2_grpc import AuditServiceStub
from remit.v1.credential_service_pb2 import EndTaskRequest
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit.v1.grant_service_pb2_grpc import GrantServiceStub
from remit.v1.policy_service_pb2_grpc import PolicyServiceStub
from remit_sandbox.certificates import KeyPair
from remit_sandbox.sandbox import Sandbox
from remit_server.application.oversight.paging import list_digest, token_of
from remit_server.application.oversight.ports import Place

CALLS: dict[str, tuple[Any, Any]] = {
    "GetGrant": (GrantServiceStub, grants.GetGrantRequest(name=f"tasks/{'a' * 26}/grants/{'b' * 26}")),
    "ListGrants": (GrantServiceStub, grants.ListGrantsRequest()),
    "RevokeGrants": (
        GrantServiceStub,
        grants.RevokeGrantsRequest(target=grants.RevokeTarget(actor="spiffe://remit.sandbox/agent/copilot"), why="x"),
    ),
    "ListBlocks": (GrantServiceStub, grants.ListBlocksRequest()),
    "RemoveBlock": (GrantServiceStub, grants.RemoveBlockRequest(name=f"blocks/{'a' * 26}", why="x")),
    "WatchGrants": (GrantServiceStub, grants.WatchGrantsRequest()),
    "ListEvents": (AuditServiceStub, audit.ListEventsRequest()),
    "WatchEvents": (AuditServiceStub, audit.WatchEventsRequest()),
    "VerifyChain": (AuditServiceStub, audit.VerifyChainRequest()),
    "ListApprovals": (ApprovalServiceStub, approvals.ListApprovalsRequest()),
    "GetApproval": (ApprovalServiceStub, approvals.GetApprovalRequest(name=f"approvals/{'a' * 26}")),
    "DecideApproval": (
        ApprovalServiceStub,
        approvals.DecideApprovalRequest(name=f"approvals/{'a' * 26}", digest="0" * 64, approve=True),
    ),
    "WatchApprovals": (ApprovalServiceStub, approvals.WatchApprovalsRequest()),
    "CheckRevision": (PolicyServiceStub, policies.CheckRevisionRequest(chunk=b"x")),
    "PublishRevision": (PolicyServiceStub, policies.PublishRevisionRequest(chunk=b"x")),
    "ListRevisions": (PolicyServiceStub, policies.ListRevisionsRequest()),
    "GetRevision": (PolicyServiceStub, policies.GetRevisionRequest()),
    "DownloadRevision": (PolicyServiceStub, policies.DownloadRevisionRequest()),
    "ActivateRevision": (PolicyServiceStub, policies.ActivateRevisionRequest(revision="0" * 64, why="x")),
    "SimulateDecision": (
        PolicyServiceStub,
        policies.SimulateDecisionRequest(
            claims="{}",
            agent="copilot",
            intent=types_pb2.TaskIntent(
                purpose="x", permissions=[types_pb2.Permission(actions=["s3:GetObject"], resources=["*"])]
            ),
        ),
    ),
    "ReplayRevision": (PolicyServiceStub, policies.ReplayRevisionRequest(revision="0" * 64)),
    "StartShadow": (PolicyServiceStub, policies.StartShadowRequest(revision="0" * 64)),
    "StopShadow": (PolicyServiceStub, policies.StopShadowRequest()),
    "GetShadow": (PolicyServiceStub, policies.GetShadowRequest()),
}
UPLOADS = {"CheckRevision", "PublishRevision"}
STREAMS = {"WatchGrants", "WatchEvents", "WatchApprovals", "DownloadRevision", "ReplayRevision"}
# Anybody who signs in as an operator may look whether somebody asked them: what did not is not there.
OPEN = {"ListApprovals": "OK", "GetApproval": "NOT_FOUND", "DecideApproval": "NOT_FOUND"}
WRONG: dict[str, tuple[Callable[[Sandbox], str], str]] = {
    "an agent's own token": (lambda sandbox: sandbox.issuer.agent_token("reporter"), "ACTOR_REJECTED"),
    "an agent's, made for operators": (
        lambda sandbox: sandbox.issuer.agent_token("reporter", audience="remit-operators"),
        "NOT_AUTHORIZED",
    ),
    "a user's token that an agent holds": (
        lambda sandbox: sandbox.issuer.token("bob", client_id="copilot"),
        "ACTOR_REJECTED",
    ),
    "an operator's, given to an agent's client": (
        lambda sandbox: sandbox.issuer.operator_token("bob", client_id="copilot"),
        "NOT_AUTHORIZED",
    ),
    "an operator's, for an agent to act by": (
        lambda sandbox: sandbox.issuer.operator_token("bob", act={"sub": "copilot"}),
        "ACTOR_REJECTED",
    ),
    "one for both": (
        lambda sandbox: sandbox.issuer.operator_token("bob", audience=["remit", "remit-operators"]),
        "ACTOR_REJECTED",
    ),
    "a stranger's": (lambda sandbox: sandbox.issuer.operator_token("mallory"), "NOT_AUTHORIZED"),
    "somebody's who says to be of security by another claim": (
        lambda sandbox: sandbox.issuer.operator_token("mallory", roles=["security"], entitlements=["security"]),
        "NOT_AUTHORIZED",
    ),
    "an unsigned one": (
        lambda sandbox: f"{sandbox.issuer.operator_token('bob').rpartition('.')[0]}.",
        "ACTOR_REJECTED",
    ),
}


@contextmanager
def channel_to(sandbox: Sandbox, address: str, pair: KeyPair | None = None) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(
        sandbox.authority.bundle_path.read_bytes(),
        pair.key_path.read_bytes() if pair else None,
        pair.certificate_path.read_bytes() if pair else None,
    )
    with grpc.secure_channel(address, credentials) as channel:
        yield channel


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def outcome(channel: grpc.Channel, method: str, metadata: Any = (), request: Any = None) -> str:
    """Returns the reason of a refusal, or OK."""
    make, usual = CALLS[method]
    call = getattr(make(channel), method)
    try:
        given = request or usual
        answer = call(iter([given]) if method in UPLOADS else given, metadata=metadata, timeout=30)
        if method in STREAMS:
            next(iter(answer))
    except grpc.RpcError as error:
        return reason_of(error)
    return "OK"


def reason_of(error: Any) -> str:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    for detail in Status.FromString(details).details:
        info = ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return str(error.code().name)


@pytest.mark.parametrize("who", WRONG)
def test_no_method_of_the_security_side_takes_a_token_that_is_not_for_it(sandbox: Sandbox, who: str) -> None:
    token, reason = WRONG[who]
    admitted = who.startswith(("a stranger", "somebody"))  # with a sound token, and no right whatever
    wanted = dict.fromkeys(CALLS, reason) | (OPEN if admitted else {})
    if admitted:
        del wanted["WatchApprovals"]  # says nothing, for as long as nobody asks them anything
    with channel_to(sandbox, sandbox.bearer) as channel:
        outcomes = {method: outcome(channel, method, bearer(token(sandbox))) for method in wanted}

    assert outcomes == wanted


def test_no_method_of_the_security_side_is_left_out_here() -> None:
    services = [approvals, audit, grants, policies]
    defined = {
        method.name
        for messages in services
        for service in messages.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }

    assert set(CALLS) == defined


def test_no_method_takes_an_agents_certificate_or_nothing(sandbox: Sandbox) -> None:
    with channel_to(sandbox, sandbox.mtls, sandbox.agents["copilot"]) as channel:
        by_certificate = {method: outcome(channel, method) for method in CALLS}
        both = {method: outcome(channel, method, bearer(sandbox.issuer.operator_token("bob"))) for method in CALLS}
    with channel_to(sandbox, sandbox.bearer) as channel:
        by_nothing = {method: outcome(channel, method) for method in CALLS}

    assert by_certificate == dict.fromkeys(CALLS, "NOT_AUTHORIZED")
    assert both == by_nothing == dict.fromkeys(CALLS, "ACTOR_REJECTED")


def test_an_operators_token_gets_no_credentials(sandbox: Sandbox) -> None:
    operator = sandbox.issuer.operator_token("bob")
    with channel_to(sandbox, sandbox.bearer) as channel:
        stub = CredentialServiceStub(channel)
        as_agent = []
        for method, request in (
            ("EndTask", EndTaskRequest(task_id="a" * 26)),
            ("IssueCredentials", issue_request(operator)),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                getattr(stub, method)(request, metadata=bearer(operator), timeout=30)
            as_agent.append(reason_of(refused.value))
    with client(sandbox, sandbox.mtls) as gateway, pytest.raises(remit.Unauthenticated) as as_subject:
        gateway.task("summarise Q3", subject_token=operator, allow=Q3).__enter__()

    assert as_agent == ["ACTOR_REJECTED", "ACTOR_REJECTED"]
    assert as_subject.value.reason == "SUBJECT_TOKEN_REJECTED"


def test_a_forged_place_in_a_list_shows_nobody_elses_grants(sandbox: Sandbox, alice_token: str) -> None:
    with client(sandbox, sandbox.mtls) as gateway, gateway.task("Q3", subject_token=alice_token, allow=Q3):
        staff = bearer(sandbox.issuer.operator_token("mallory", groups=["staff"]))
        with channel_to(sandbox, sandbox.bearer) as channel:
            stub = GrantServiceStub(channel)
            own = stub.ListGrants(grants.ListGrantsRequest(page_size=500), metadata=staff, timeout=30)
            digest = list_digest("sandbox:mallory", "GrantService.ListGrants", "")
            forged = token_of(Place(NOON.replace(year=2099), "z" * 26), digest)
            request = grants.ListGrantsRequest(page_size=500, page_token=forged)
            by_forged = stub.ListGrants(request, metadata=staff, timeout=30)

    assert list(own.grants) == list(by_forged.grants) == []


@pytest.mark.parametrize("method", ["RevokeGrants", "GetGrant"])
def test_what_others_hold_is_not_there_for_the_staff(sandbox: Sandbox, alice_token: str, method: str) -> None:
    with client(sandbox, sandbox.mtls) as gateway, gateway.task("Q3", subject_token=alice_token, allow=Q3) as task:
        name = task.grant.name
        request = {
            "GetGrant": grants.GetGrantRequest(name=name),
            "RevokeGrants": grants.RevokeGrantsRequest(target=grants.RevokeTarget(grant=name), why="x"),
        }[method]
        staff = bearer(sandbox.issuer.operator_token("mallory", groups=["staff"]))
        with channel_to(sandbox, sandbox.bearer) as channel:
            refused = outcome(channel, method, staff, request)
            seen = outcome(
                channel, "GetGrant", bearer(sandbox.issuer.operator_token("bob")), grants.GetGrantRequest(name=name)
            )

    assert (refused, seen) == ("NOT_FOUND", "OK")


def test_each_call_of_an_operator_is_on_record_with_its_outcome(sandbox: Sandbox) -> None:
    with channel_to(sandbox, sandbox.bearer) as channel:
        outcome(channel, "VerifyChain", bearer(sandbox.issuer.operator_token("mallory")))
        answer = AuditServiceStub(channel).ListEvents(
            audit.ListEventsRequest(kind="operator_called", page_size=5),
            metadata=bearer(sandbox.issuer.operator_token("bob")),
            timeout=30,
        )

    records = [json.loads(event.body) for event in answer.events]
    assert records[0]["method"] == "AuditService.ListEvents"
    assert (records[1]["method"], records[1]["allowed"], records[1]["reason"]) == (
        "AuditService.VerifyChain",
        False,
        "not_an_administrator",
    )
