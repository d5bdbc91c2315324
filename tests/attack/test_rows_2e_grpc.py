"""G1 to G5: what HTTP/2 lets a stranger write, on the wire, where a gRPC client would refuse to send it."""

import base64
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from tests.attack.raw_http2 import ISSUE, Headers, framed_message, headers, raw_connection
from tests.fakes import world
from tests.transport.gateway_server import Served, as_agent, failure_of, issue_message, served

from remit.v1 import types_pb2
from remit.v1.credential_service_pb2 import IssueCredentialsRequest, PreviewCredentialsRequest
from remit_server.domain.decision import Deny, PolicyReason
from remit_server.domain.errors import Denied, FailedPermission, FieldViolation, InvalidRequest, Reason, Refusal, Remedy
from remit_server.transport.grpc.server import MAX_MESSAGE, MAX_METADATA
from remit_server.transport.grpc.status import MOST_DETAIL_BYTES, status_of

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = "0", "3", "8", "12", "13", "16"
MESSAGE = issue_message().SerializeToString()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path) as made, served(made, tmp_path) as running:
        yield running


async def called(gateway: Served, sent: Headers, message: bytes | None = MESSAGE, *, framed: bool = True) -> str:
    """Makes one raw call and returns its status."""
    async with raw_connection(gateway) as connection:
        return (await connection.call(sent, message, framed=framed)).status


async def nothing_happened(gateway: Served) -> bool:
    """Says whether nothing was decided, recorded or asked of STS."""
    return not (gateway.world.policy.questions or gateway.world.sts.orders or await gateway.world.trail())


# G1: a method is its full name, and nothing else (grpc-go CVE-2026-33186)

OTHER_PATHS = [
    ISSUE[1:],
    f"/{ISSUE}",
    f"{ISSUE}/",
    ISSUE.replace("/Issue", "//Issue"),
    ISSUE.replace("remit", "%72emit"),
    ISSUE.replace("/Issue", "%2FIssue"),
    ISSUE.replace("Issue", "%49ssue"),
    ISSUE.lower(),
    ISSUE.upper(),
    f"{ISSUE}?x=1",
    f"{ISSUE}#x",
    f"{ISSUE};x",
    f"{ISSUE} ",
    f"{ISSUE}\t",
    f"{ISSUE}\0",
    f"{ISSUE}\n",
    f"{ISSUE}\r\nx: y",
    f"https://localhost{ISSUE}",
    f"/.{ISSUE}",
    f"/x/..{ISSUE}",
    ISSUE.replace("/", "\\"),
    ISSUE.replace("Issue", "\u0399ssue"),
    ISSUE.rpartition("/")[0],
    "/remit.v1.CredentialService/ActivateRevision",
    "/admin.Admin/Delete",
    "/",
    "*",
    "",
]


async def test_g1_a_path_that_is_not_exactly_a_listed_method_reaches_nothing(gateway: Served) -> None:
    statuses = {path: await called(gateway, headers(path)) for path in OTHER_PATHS}

    assert statuses == dict.fromkeys(OTHER_PATHS, UNIMPLEMENTED)
    assert await nothing_happened(gateway)
    assert await called(gateway, headers(ISSUE)) == OK


@pytest.mark.parametrize("paths", [(ISSUE, "/x/y"), ("/x/y", ISSUE)], ids=["first", "last"])
async def test_g1_of_two_paths_the_one_that_is_checked_is_the_one_that_runs(
    gateway: Served, paths: tuple[str, str]
) -> None:
    first, second = paths

    status = await called(gateway, headers(first, more=((b":path", second.encode()),)))

    assert (status == OK) == bool(gateway.world.sts.orders)
    assert status in {OK, UNIMPLEMENTED, INTERNAL}


async def test_g1_only_a_post_is_a_call(gateway: Served) -> None:
    methods = (b"GET", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"post", b"")

    statuses = [await called(gateway, headers(method=method)) for method in methods]

    assert OK not in statuses
    assert await nothing_happened(gateway)


# G2: one authorization value, of printable ASCII

WRONG_AUTHORIZATIONS: list[tuple[bytes, ...]] = [
    (),
    (b"Bearer copilot", b"Bearer root"),
    (b"Bearer root", b"Bearer copilot"),
    (b"Bearer copilot", b"Bearer copilot"),
    (b"", b"Bearer copilot"),
    (b"Bearer copilot", b""),
    (b"Bearer copilot, Bearer root",),
    (b"Bearer copilot,Bearer copilot",),
    (b"",),
    (b"Bearer",),
    (b"Bearer ",),
    (b" Bearer copilot",),
    (b"Bearer  copilot",),
    (b"Bearer copilot ",),
    (b"Bearer\tcopilot",),
    (b"Bearer copilot\t",),
    (b"Bearer copilot\0",),
    (b"Bearer \0copilot",),
    (b"Bearer copilot\x7f",),
    (b"Bearer copilot\r\nx: y",),
    (b"Bearer copilot\n",),
    ("Bearer cop\u0131lot".encode(),),
    (b"Bearer \xffcopilot",),
    (b"Bearer \xed\xa0\x80",),
    (b"Basic copilot",),
    (b"copilot",),
    (b"Bearer " + b"x" * (16 * 1024 + 1),),
]


async def test_g2_several_or_malformed_authorization_values_are_refused_on_the_wire(gateway: Served) -> None:
    statuses = {values: await called(gateway, headers(authorization=values)) for values in WRONG_AUTHORIZATIONS}

    assert statuses == dict.fromkeys(WRONG_AUTHORIZATIONS, UNAUTHENTICATED)
    assert await nothing_happened(gateway)
    await gateway.world.rejections.write()
    (record,) = await gateway.world.events()
    assert f'"count":{len(WRONG_AUTHORIZATIONS)}' in record.body_text
    assert await called(gateway, headers()) == OK


LOOKALIKES = (b"Authorization", b"authorization ", b"authorization-bin", b"proxy-authorization", b"cookie", b"x-actor")


async def test_g2_nothing_that_looks_like_authorization_is_taken_for_it(gateway: Served) -> None:
    values = {name: b"QmVhcmVyIGNvcGlsb3Q" if name.endswith(b"-bin") else b"Bearer copilot" for name in LOOKALIKES}

    statuses = {await called(gateway, headers(authorization=(), more=(header,))) for header in values.items()}

    assert statuses == {UNAUTHENTICATED, INTERNAL}  # the latter: what is no header name at all
    assert await nothing_happened(gateway)


# G3: sizes, and what is no gRPC at all


@pytest.mark.parametrize(("size", "status"), [(MAX_MESSAGE, INVALID_ARGUMENT), (MAX_MESSAGE + 1, RESOURCE_EXHAUSTED)])
async def test_g3_a_message_of_64_kib_is_read_and_one_byte_more_is_not(gateway: Served, size: int, status: str) -> None:
    field = b"\xba\x3e"  # 999, of bytes
    padding = size - len(MESSAGE) - len(field) - 3
    message = MESSAGE + field + bytes([padding & 127 | 128, padding >> 7 & 127 | 128, padding >> 14]) + b"\0" * padding

    assert len(message) == size
    assert await called(gateway, headers(), message) == status
    assert gateway.world.policy.questions == []


@pytest.mark.parametrize(("size", "status"), [(MAX_METADATA - 1, OK), (MAX_METADATA, RESOURCE_EXHAUSTED)])
async def test_g3_metadata_up_to_24_kib_are_read_and_one_byte_more_is_not(
    gateway: Served, size: int, status: str
) -> None:
    taken = sum(len(name) + len(value) + 32 for name, value in headers(more=((b"x-padding", b""),)))  # RFC 9113 6.5.2
    padding = (b"x-padding", b"x" * (size - taken))

    assert await called(gateway, headers(more=(padding,))) == status
    assert len(gateway.world.sts.orders) == (status == OK)


async def test_g3_a_small_message_that_unpacks_to_a_large_one_is_refused(gateway: Served) -> None:
    bomb = gzip.compress(MESSAGE + b"\0" * 30_000_000)
    message = b"\1" + len(bomb).to_bytes(4) + bomb

    status = await called(gateway, headers(more=((b"grpc-encoding", b"gzip"),)), message, framed=False)

    assert len(bomb) < MAX_MESSAGE
    assert status in {RESOURCE_EXHAUSTED, UNIMPLEMENTED}
    assert gateway.world.policy.questions == []


async def test_g3_what_is_not_framed_as_grpc_is_never_read_as_a_request(gateway: Served) -> None:
    """The library takes any content type, and reads what follows as gRPC or not at all."""
    types = (None, b"", b"text/plain", b"application/json", b"application/grpc-web-text")
    bodies = (MESSAGE, b'{"request_id":"x"}', b"", b"\0", b"\0\0\0", base64.b64encode(framed_message(MESSAGE)))

    statuses = [
        await called(gateway, headers(content_type=content_type), body, framed=False)
        for content_type in types
        for body in bodies
    ]

    assert OK not in statuses
    assert gateway.world.policy.questions == []
    assert gateway.world.sts.orders == []


async def test_g3_a_frame_that_announces_four_gigabytes_is_refused_unread(gateway: Served) -> None:
    status = await called(gateway, headers(), b"\0\xff\xff\xff\xff" + MESSAGE, framed=False)

    assert status == RESOURCE_EXHAUSTED


async def test_g3_a_long_refusal_of_policy_reaches_a_caller_with_grpcs_own_limits(gateway: Served) -> None:
    gateway.world.policy.answer = Deny(tuple(PolicyReason(f"reason_{n}", "ü" * 500, Remedy.GIVE_UP) for n in range(32)))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert failure_of(raised.value).info.reason == "POLICY_DENIED"


_FAILURE = FailedPermission("s3:GetObject", "arn:aws:s3:::" + "r" * 1000, "role_ceiling", "m" * 3000)


@pytest.mark.parametrize(
    "error",
    [
        Denied(Reason.CEILING_EXCEEDED, "m" * 20_000),
        Denied(Reason.CEILING_EXCEEDED, "日" * 6_000, Refusal(Remedy.NARROW, (_FAILURE,) * 30)),
        InvalidRequest([FieldViolation("intent.capabilities[0].parameters.bucket", "is required: " + "x" * 400)] * 99),
    ],
    ids=["long message", "long everything", "many violations"],
)
def test_g3_no_failure_is_larger_than_what_every_peer_takes(error: Denied | InvalidRequest) -> None:
    status = status_of(error)

    sent_twice = len(status.message.encode()) * 3  # percent-encoded in `grpc-message`, and once more in the details
    assert status.ByteSize() + sent_twice <= MOST_DETAIL_BYTES
    assert status.details


def test_g3_a_refusal_that_is_too_long_keeps_its_remedy() -> None:
    error = Denied(Reason.CEILING_EXCEEDED, "too much", Refusal(Remedy.NARROW, (_FAILURE,) * 30))

    refusal = types_pb2.Refusal()
    (found,) = (detail for detail in status_of(error).details if detail.Unpack(refusal))

    assert found.ByteSize() < MOST_DETAIL_BYTES
    assert refusal.remedy == types_pb2.REMEDY_NARROW


# G4: a message that is understood only in part is not decided on (step-ca CVE-2026-30836)

PREVIEW, END = ISSUE.replace("Issue", "Preview"), "/remit.v1.CredentialService/EndTask"
FIELD_999 = b"\xb8\x3e\x01"
STATE_99 = b"\x28\x63"  # an enum of 99 where `Grant.state` is: in a request, a field that is not there


def deeper(change: Callable[[IssueCredentialsRequest], Message]) -> bytes:
    """Returns the usual message with field 999 put into one of its parts."""
    message = issue_message()
    message.intent.permissions[0].conditions.add(operator="StringLike", key="s3:prefix", values=["2026/q3/*"])
    message.intent.capabilities.add(name="s3.read_prefix", parameters={"bucket": "reports"})
    message.requested_duration.seconds = 900
    change(message).MergeFromString(FIELD_999)
    return message.SerializeToString()


PARTLY_UNDERSTOOD = {
    "999": deeper(lambda message: message),
    "intent.999": deeper(lambda message: message.intent),
    "permission.999": deeper(lambda message: message.intent.permissions[0]),
    "condition.999": deeper(lambda message: message.intent.permissions[0].conditions[0]),
    "capability.999": deeper(lambda message: message.intent.capabilities[0]),
    "duration.999": deeper(lambda message: message.requested_duration),
    "enum": MESSAGE + STATE_99,
    "greatest number": MESSAGE + b"\xf8\xff\xff\xff\x0f\x01",
    "number zero": MESSAGE + b"\x00\x01",
    "number beyond 2^29": MESSAGE + b"\xf8\xff\xff\xff\x1f\x01",
    "group": MESSAGE + b"\xbb\x3e\xbc\x3e",
    "unended group": MESSAGE + b"\xbb\x3e",
    "wire type 7": MESSAGE + b"\xbf\x3e\x01",
    "wrong wire type": MESSAGE + b"\x08\x01",
    "cut": MESSAGE[:-1],
    "endless varint": MESSAGE + b"\x80" * 11,
    "no UTF-8": MESSAGE + b"\x12\x02\xff\xfe",
    "surrogate": MESSAGE + b"\x12\x03\xed\xa0\x80",
    "second request_id": MESSAGE + b"\x0a\x01x",
    "nothing": b"",
    "no message": b"\xff\xff",
    "nested 5,000 deep": MESSAGE + b"\xbb\x3e" * 5000 + b"\xbc\x3e" * 5000,
}


@pytest.mark.parametrize("method", [ISSUE, PREVIEW, END])
async def test_g4_what_is_understood_only_in_part_is_refused_and_nothing_is_decided(
    gateway: Served, method: str
) -> None:
    statuses = {name: await called(gateway, headers(method), raw) for name, raw in PARTLY_UNDERSTOOD.items()}

    assert statuses == dict.fromkeys(PARTLY_UNDERSTOOD, INVALID_ARGUMENT)
    assert gateway.world.policy.questions == []
    assert gateway.world.sts.orders == []
    assert await gateway.world.trail() == ["request_refused"] * len(PARTLY_UNDERSTOOD)


async def test_g4_a_call_of_two_messages_is_refused(gateway: Served) -> None:
    status = await called(gateway, headers(), framed_message(MESSAGE) * 2, framed=False)

    assert status == INVALID_ARGUMENT
    assert gateway.world.sts.orders == []


async def test_g4_a_repeated_message_field_is_read_as_protobuf_merges_it_and_judged_as_a_whole(
    gateway: Served,
) -> None:
    """Intents merge: what is decided on is the one message that the proto's rules were held to."""
    wider = issue_message("arn:aws:s3:::payroll/*", request_id="", subject_token="").SerializeToString()

    status = await called(gateway, headers(), MESSAGE + wider)

    assert status == "7"
    (question,) = gateway.world.policy.questions
    assert "payroll" in str(question)
    assert gateway.world.sts.orders == []


async def test_g4_an_empty_outcome_is_never_sent(gateway: Served) -> None:
    request = PreviewCredentialsRequest(subject_token="alice@copilot", intent=issue_message().intent)

    answer = await gateway.stub.PreviewCredentials(request, metadata=as_agent())

    assert answer.WhichOneof("outcome") == "would_issue"


# G5: what servers often show besides

OTHER_SERVICES = [
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.channelz.v1.Channelz/GetServers",
    "/grpc.channelz.v1.Channelz/GetTopChannels",
    "/grpc.health.v1.Health/Watch",
    "/grpc.health.v1.Health/List",
    "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
    "/grpc.lb.v1.LoadReporter/ReportLoad",
    "/remit.v1.PolicyService/ActivateRevision",
    "/remit.v1.GrantService/RevokeGrants",
    "/remit.v1.ApprovalService/DecideApproval",
    "/remit.v1.AuditService/ListEvents",
]


@pytest.mark.parametrize("authorization", [(b"Bearer copilot",), ()], ids=["an agent", "a stranger"])
async def test_g5_nothing_but_the_credential_service_and_health_check_is_there(
    gateway: Served, authorization: tuple[bytes, ...]
) -> None:
    sent = {path: headers(path, authorization=authorization) for path in OTHER_SERVICES}

    statuses = {path: await called(gateway, sent[path], b"") for path in OTHER_SERVICES}

    assert statuses == dict.fromkeys(OTHER_SERVICES, UNIMPLEMENTED)
    assert await called(gateway, headers("/grpc.health.v1.Health/Check", authorization=()), b"") == OK
