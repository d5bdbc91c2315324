"""Section 3 at a gateway as it is shipped: what went wrong elsewhere on the wire, in ids and in what was handed out.

These are about Remit's own methods: another broker is asked the like by an adapter of its own.
"""

import json
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from tests.attack.black_box.broker import COPILOT, Ask, Broker, Given, Refused, Scene, Why
from tests.attack.black_box.remit_broker import RemitBroker
from tests.attack.black_box.wire import ASK
from tests.attack.raw_http2 import framed_message, headers, raw_connection

from remit.v1 import (
    approval_service_pb2,
    audit_service_pb2,
    credential_service_pb2,
    grant_service_pb2,
    policy_service_pb2,
)
from remit.v1.types_pb2 import Permission, Subject, TaskIntent
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.domain.audit import ChainIntact

FILES = (credential_service_pb2, grant_service_pb2, approval_service_pb2, audit_service_pb2, policy_service_pb2)
SERVICES: list[Any] = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
METHODS: list[str] = [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]
TASK, GRANT = "a" * 26, f"tasks/{'a' * 26}/grants/{'b' * 26}"
INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, UNAUTHENTICATED = "3", "5", "12", "16"


@pytest.fixture
def gateway(broker: Broker) -> RemitBroker:
    """The broker under attack, when it is Remit."""
    if not isinstance(broker, RemitBroker):
        pytest.skip("these are tried by Remit's own methods")
    return broker


class Reached:
    """Where raw calls go."""

    def __init__(self, gateway: RemitBroker) -> None:
        self.address = gateway.address
        self.roots = gateway.scene.authority.bundle_path.read_bytes()


async def statuses(gateway: RemitBroker, paths: list[str], authorization: tuple[str, ...] = ()) -> dict[str, str]:
    """Calls each path with an empty message, and returns the statuses."""
    found = {}
    async with raw_connection(Reached(gateway)) as connection:
        for path in paths:
            sent = headers(path, authorization=[value.encode() for value in authorization])
            found[path] = (await connection.call(sent, b"")).status
    return found


def kinds(gateway: RemitBroker) -> list[object]:
    """Returns the kinds of the audit trail's records, but for the counts of strangers' calls."""
    return [each.kind for each in gateway.audit() if each.kind != "callers_rejected"]


# --- the door ---


async def test_3_cve_2026_33186_no_path_without_its_slash_or_with_another_is_any_method(gateway: RemitBroker) -> None:
    """grpc-go let rules that deny a path be passed by the same path without its leading slash."""
    operator = f"Bearer {gateway.scene.of_operator('bob')}"
    before = kinds(gateway)
    paths = [each for path in METHODS for each in (path[1:], f"/{path}", f"{path}/", path.replace("/", "//"))]

    found = await statuses(gateway, paths, (operator,))

    assert found == dict.fromkeys(paths, UNIMPLEMENTED)
    assert kinds(gateway) == before


async def test_3_cve_2026_5807_no_method_of_any_service_does_anything_for_a_stranger(gateway: RemitBroker) -> None:
    """Vault's rekey and root generation took calls of nobody."""
    before = kinds(gateway)

    found = await statuses(gateway, METHODS)

    assert len(METHODS) > 30
    assert found == dict.fromkeys(METHODS, UNAUTHENTICATED)
    assert kinds(gateway) == before


def messages_of(scene: Scene) -> dict[str, Message]:
    """Returns an honest message of each method that an agent calls."""
    intent = TaskIntent(purpose="x", permissions=[Permission(actions=["s3:GetObject"], resources=["arn:aws:s3:::x"])])
    token, request_id = scene.of_user("alice"), "4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11"
    made = credential_service_pb2
    return {
        "IssueCredentials": made.IssueCredentialsRequest(request_id=request_id, subject_token=token, intent=intent),
        "PreviewCredentials": made.PreviewCredentialsRequest(subject_token=token, intent=intent),
        "RenewCredentials": made.RenewCredentialsRequest(name=GRANT, subject_token=token),
        "AttenuateCredentials": made.AttenuateCredentialsRequest(request_id=request_id, name=GRANT, intent=intent),
        "DelegateTask": made.DelegateTaskRequest(request_id=request_id, task_id=TASK, actor="home:crawler"),
        "EndTask": made.EndTaskRequest(task_id=TASK),
        "WatchTask": made.WatchTaskRequest(task_id=TASK),
        "GetDecision": made.GetDecisionRequest(request_id=request_id),
        "GetCallerIdentity": made.GetCallerIdentityRequest(subject_token=token),
    }


async def test_3_cve_2026_30836_a_message_that_is_parsed_as_another_passes_no_check(gateway: RemitBroker) -> None:
    """step-ca did not ask who may do it, for kinds of messages that it parsed and did not support."""
    made, sent = messages_of(gateway.scene), len(gateway.scene.sts_log())
    authorization = f"Bearer {gateway.scene.of_agent(COPILOT)}".encode()
    found = {}
    async with raw_connection(Reached(gateway)) as connection:
        for method in made:
            for other in made.keys() - {method}:
                call = headers(f"/remit.v1.CredentialService/{method}", authorization=(authorization,))
                raw = framed_message(made[other].SerializeToString())
                found[method, other] = (await connection.call(call, raw, framed=False)).status

    other_than_malformed = {key: status for key, status in found.items() if status != INVALID_ARGUMENT}
    assert other_than_malformed == {
        ("EndTask", "WatchTask"): NOT_FOUND,  # both are the id of a task, which is not there
        ("WatchTask", "EndTask"): NOT_FOUND,
        ("GetCallerIdentity", "EndTask"): UNAUTHENTICATED,  # an id is no token
        ("GetCallerIdentity", "WatchTask"): UNAUTHENTICATED,
        ("GetCallerIdentity", "GetDecision"): UNAUTHENTICATED,
    }
    assert len(gateway.scene.sts_log()) == sent


# --- ids that are paths, and ids that are SQL ---

PATHS = [
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "tasks/../grants",
    f"tasks/{TASK}/grants/../{TASK}",
    "/",
    "\\..\\x",
]


@pytest.mark.parametrize("text", PATHS)
def test_3_cve_2026_3605_no_name_is_a_path(gateway: RemitBroker, text: str) -> None:
    operator = (("authorization", f"Bearer {gateway.scene.of_operator('bob')}"),)
    made: list[tuple[Any, Message]] = [
        (gateway.policies.GetRevision, policy_service_pb2.GetRevisionRequest(revision=text)),
        (gateway.policies.ActivateRevision, policy_service_pb2.ActivateRevisionRequest(revision=text, why="x")),
        (gateway.grants.GetGrant, grant_service_pb2.GetGrantRequest(name=text)),
        (gateway.grants.RemoveBlock, grant_service_pb2.RemoveBlockRequest(name=text, why="x")),
    ]

    codes = [failure(call, message, operator).code() for call, message in made]
    downloaded = failure(
        lambda *args, **more: list(gateway.policies.DownloadRevision(*args, **more)),
        policy_service_pb2.DownloadRevisionRequest(revision=text),
        operator,
    )

    assert set(codes) == {grpc.StatusCode.INVALID_ARGUMENT}
    assert downloaded.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "root:" not in str(downloaded)


def failure(call: Any, message: Message, metadata: tuple[tuple[str, str], ...]) -> Any:
    """Makes a call, and returns how it failed."""
    with pytest.raises(grpc.RpcError) as raised:
        call(message, metadata=metadata, timeout=60)
    return raised.value


SQL = [
    "x' OR '1'='1",
    "x'; DROP TABLE grants; --",
    "x') UNION SELECT * FROM grants --",
    "%",
    "_",
    "home:copilot' --",
    "\\'",
]


@pytest.mark.parametrize("text", SQL)
def test_3_cve_2026_39946_what_a_revoke_names_is_a_name_and_no_sql(gateway: RemitBroker, text: str) -> None:
    """OpenBao wrote a role's name into the SQL of its revocation."""
    scene = gateway.scene
    given = gateway.exchange(COPILOT, scene.of_user("alice"), ASK)
    targets = [
        grant_service_pb2.RevokeTarget(actor=text),
        grant_service_pb2.RevokeTarget(subject=Subject(issuer=scene.issuers["home"], id=text)),
        grant_service_pb2.RevokeTarget(subject=Subject(issuer=text, id="alice")),
        grant_service_pb2.RevokeTarget(task_id=text),
        grant_service_pb2.RevokeTarget(grant=text),
        grant_service_pb2.RevokeTarget(policy_revision=text),
    ]

    revoked = [revoked_by(gateway, grant_service_pb2.RevokeGrantsRequest(target=each, why=text)) for each in targets]

    assert revoked == [0] * len(targets)
    assert isinstance(given, Given)
    assert isinstance(gateway.renew(COPILOT, scene.of_user("alice"), given.grant), Given)
    assert isinstance(verify(gateway.database), ChainIntact)


def revoked_by(gateway: RemitBroker, request: grant_service_pb2.RevokeGrantsRequest) -> int:
    """Returns how many grants a revoke ended; none when it is malformed."""
    operator = (("authorization", f"Bearer {gateway.scene.of_operator('bob')}"),)
    try:
        return int(gateway.grants.RevokeGrants(request, metadata=operator, timeout=60).grant_count)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return 0


# --- what was handed out, and what it could do ---


LASTING = [
    "sts:GetFederationToken",
    "sts:GetSessionToken",
    "sts:AssumeRole",
    "STS:getfederationtoken",
    "sts:Get*",
    "sts:*",
]


@pytest.mark.parametrize("action", LASTING)
def test_3_crowdstrike_no_session_makes_another_that_outlives_it(broker: Broker, scene: Scene, action: str) -> None:
    """Sessions of GetFederationToken went on after the key that had made them was gone."""
    sent = len(scene.sts_log())

    refused = broker.exchange(COPILOT, scene.of_user("alice"), Ask((*ASK.permissions, ((action,), ("*",)))))
    given = broker.exchange(COPILOT, scene.of_user("alice"), ASK)

    assert isinstance(refused, Refused)
    assert refused.why is Why.BEYOND
    assert isinstance(given, Given)
    (request,) = scene.sts_log()[sent:]
    allows = [each for each in json.loads(request.policy)["Statement"] if each["Effect"] == "Allow"]
    assert [each["Action"] for each in allows] == ["s3:GetObject"]
    guards = [each for each in json.loads(request.policy)["Statement"] if "NotAction" in each]
    assert [(each["Effect"], each["NotAction"], each["Resource"]) for each in guards] == [("Deny", "s3:GetObject", "*")]


DELETIONS = [
    (("s3:DeleteObject",), ("arn:aws:s3:::production/*",)),
    (("s3:DeleteBucket",), ("arn:aws:s3:::reports",)),
    (("s3:Delete*",), ("arn:aws:s3:::reports/*",)),
    (("dynamodb:DeleteTable", "dynamodb:DeleteBackup"), ("arn:aws:dynamodb:eu-central-1:111122223333:table/orders",)),
    (("rds:DeleteDBInstance", "rds:DeleteDBSnapshot"), ("*",)),
    (("backup:DeleteRecoveryPoint",), ("*",)),
    (("s3:*",), ("*",)),
]


@pytest.mark.parametrize("narrow", [False, True], ids=["as asked", "narrowed"])
def test_3_pocketos_an_agent_that_sets_out_to_delete_production_and_its_backups_deletes_nothing(
    broker: Broker, scene: Scene, narrow: bool
) -> None:
    """PocketOS 2026, Replit and Kiro 2025: a token that could do everything was at hand. `make demo` tells it."""
    sent = len(scene.sts_log())

    outcomes = [
        broker.exchange(COPILOT, scene.of_user("alice"), Ask((asked,), purpose="mend the mismatch", narrow=narrow))
        for asked in DELETIONS
    ]

    assert [outcome.why for outcome in outcomes if isinstance(outcome, Refused)] == [Why.BEYOND] * len(DELETIONS)
    assert len(scene.sts_log()) == sent
