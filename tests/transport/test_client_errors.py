"""A failure becomes an exception that helps: what failed, why, what to ask for instead; and it never holds a secret."""

import pickle
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from tests.scripted_gateway import BEARER, CANARIES, REPORTS, SUBJECT_TOKEN, ScriptedGateway, issued, scripted_gateway

import remit
from remit.v1 import types_pb2
from remit_server.domain.errors import (
    Denied,
    FailedPermission,
    FieldViolation,
    InvalidRequest,
    Outage,
    Reason,
    Refusal,
    Remedy,
)
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, Condition, ResourcePattern

READ = ActionPattern.parse("s3:GetObject")
Q3 = ResourcePattern.parse("arn:aws:s3:::reports/2026/q3/*")
OFFERED = remit.Permission(
    ["s3:GetObject"], ["arn:aws:s3:::reports/2026/q3/*"], [remit.Condition("StringLike", "s3:prefix", ["2026/q3/*"])]
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def gateway(server: ScriptedGateway) -> Iterator[remit.Gateway]:
    with server.connect(bearer_token=BEARER) as gateway:
        yield gateway


def failing(gateway: remit.Gateway, *, subject_token: str = SUBJECT_TOKEN) -> remit.RemitError:
    with (
        pytest.raises(remit.RemitError) as raised,
        gateway.task("summarise Q3", subject_token=subject_token, allow=REPORTS),
    ):
        pytest.fail("the block ran")
    return raised.value


def too_wide() -> Denied:
    failure = FailedPermission("s3:GetObject", "arn:aws:s3:::reports/2025/*", "entitlements", "nobody delegated it")
    offer = Permission((READ,), (Q3,), (Condition("StringLike", "s3:prefix", ("2026/q3/*",)),))
    refusal = Refusal(Remedy.NARROW, failures=(failure,), offer=(offer,))
    return Denied(Reason.CEILING_EXCEEDED, "the intent is wider than what may be delegated", refusal)


def status(code: grpc.StatusCode, message: str, *details: Message) -> Status:
    packed = [AnyMessage() for _ in details]
    for holder, detail in zip(packed, details, strict=True):
        holder.Pack(detail)
    return Status(code=code.value[0], message=message, details=packed)


def test_a_refusal_says_what_was_stopped_and_what_could_be_had(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(too_wide())

    error = failing(gateway)

    assert isinstance(error, remit.Refused)
    assert (error.reason, error.remedy) == ("CEILING_EXCEEDED", remit.Remedy.NARROW)
    assert error.message == "the intent is wider than what may be delegated"
    assert error.failures == (
        remit.FailedPermission("s3:GetObject", "arn:aws:s3:::reports/2025/*", "entitlements", "nobody delegated it"),
    )
    assert error.offer == (OFFERED,)
    assert error.request_id == server.issues[0].request_id


def test_a_refusal_reads_like_help(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(too_wide())

    error = failing(gateway)

    assert str(error).splitlines() == [
        "CEILING_EXCEEDED: the intent is wider than what may be delegated",
        "  stopped: s3:GetObject on arn:aws:s3:::reports/2025/* by entitlements: nobody delegated it",
        f"  what to do: ask with allow=error.offer, which is {OFFERED}",
        f"  request id: {server.issues[0].request_id}",
    ]
    assert str(OFFERED) == "s3:GetObject on arn:aws:s3:::reports/2026/q3/* when StringLike s3:prefix 2026/q3/*"


def test_a_refusal_says_each_thing_once(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    told = "s3:GetObject on arn:aws:s3:::reports/* is more than what was delegated"
    other = "s3:PutObject on arn:aws:s3:::reports/* is more than what was delegated"
    failures = (
        FailedPermission("s3:GetObject", "arn:aws:s3:::reports/", "entitlements", told),
        FailedPermission("s3:PutObject", "arn:aws:s3:::reports/", "entitlements", other),
        FailedPermission("", "", "role_ceiling", "the intent could not be proven to fit"),
    )
    refusal = Refusal(Remedy.GIVE_UP, failures=failures)
    server.issue_answers.append(Denied(Reason.CEILING_EXCEEDED, f"{told}: no part of it can be had", refusal))

    error = failing(gateway)

    assert str(error).splitlines()[:3] == [
        f"CEILING_EXCEEDED: {told}: no part of it can be had",
        f"  stopped: by entitlements: {other}",
        "  stopped: by role_ceiling: the intent could not be proven to fit",
    ]


def test_an_offer_can_be_asked_for_as_it_is(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(too_wide())
    error = failing(gateway)
    assert isinstance(error, remit.Refused)

    with gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=error.offer):
        pass

    (asked,) = server.issues[1].intent.permissions
    assert list(asked.actions) == ["s3:GetObject"]
    assert list(asked.resources) == ["arn:aws:s3:::reports/2026/q3/*"]
    assert asked.conditions[0] == types_pb2.Condition(operator="StringLike", key="s3:prefix", values=["2026/q3/*"])


def test_an_intent_that_is_too_large_comes_with_its_parts(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    part = (Permission((READ,), (Q3,)),)
    refusal = Refusal(Remedy.SPLIT, split=(part, part))
    server.issue_answers.append(Denied(Reason.INTENT_TOO_LARGE, "2,600 of 2,048 characters", refusal))

    error = failing(gateway)

    assert isinstance(error, remit.Refused)
    assert error.split == ((remit.Permission(["s3:GetObject"], ["arn:aws:s3:::reports/2026/q3/*"]),),) * 2
    assert "ask in 2 requests, one with each part of error.split" in str(error)


def test_an_invalid_request_names_its_fields(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(InvalidRequest([FieldViolation("intent.purpose", "must not be empty")]))

    error = failing(gateway)

    assert isinstance(error, remit.InvalidRequest)
    assert error.violations == (remit.FieldViolation("intent.purpose", "must not be empty"),)
    assert str(error).splitlines()[:2] == [
        "INVALID_REQUEST: intent.purpose: must not be empty",
        "  what to do: correct the request and send it again",
    ]


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        (
            Reason.SUBJECT_TOKEN_REJECTED,
            ": what the sentence names has to change first, such as the token's audience",
        ),
        (Reason.TOKEN_NOT_BOUND, ""),
        (
            Reason.POLICY_DENIED,
            ": ask the security team for an entitlement; the request id leads them to the decision",
        ),
    ],
)
def test_advice_to_give_up_leaves_room_for_what_the_sentence_says(
    reason: Reason, more: str, gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers.append(Denied(reason, "it is the agent's own token; send the user's token"))

    error = failing(gateway)

    assert error.remedy is remit.Remedy.GIVE_UP
    assert str(error).splitlines()[1] == f"  what to do: asking again in the same way will not help{more}"


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (InvalidRequest([FieldViolation("intent.purpose", "must not be empty")]), remit.Remedy.CORRECT),
        (status(grpc.StatusCode.INVALID_ARGUMENT, "a proxy's"), remit.Remedy.CORRECT),
        (status(grpc.StatusCode.DEADLINE_EXCEEDED, "a proxy's"), remit.Remedy.RETRY_LATER),
        (status(grpc.StatusCode.RESOURCE_EXHAUSTED, "a proxy's"), remit.Remedy.RETRY_LATER),
        (Denied(Reason.GRANT_NOT_LIVE, "it is over"), remit.Remedy.GIVE_UP),
    ],
    ids=["invalid", "invalid to a proxy", "late", "too much", "over"],
)
def test_a_kind_of_failure_has_its_remedy_even_when_none_was_said(
    answer: object, remedy: remit.Remedy, gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers.append(answer)

    error = failing(gateway)

    assert error.remedy is remedy


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.SUBJECT_TOKEN_REJECTED, remit.Unauthenticated),
        (Reason.ACTOR_REJECTED, remit.Unauthenticated),
        (Reason.TOKEN_NOT_BOUND, remit.Refused),
        (Reason.TOKEN_REPLAYED, remit.Refused),
        (Reason.POLICY_DENIED, remit.Refused),
        (Reason.NEVER_ISSUABLE, remit.Refused),
        (Reason.INTENT_SPANS_ROLES, remit.Refused),
        (Reason.GRANT_NOT_LIVE, remit.TaskOver),
        (Reason.NOT_FOUND, remit.NotFound),
        (Reason.RATE_LIMITED, remit.RateLimited),
        (Reason.OVERLOADED, remit.RateLimited),
        (Reason.INTERNAL, remit.GatewayFailure),
    ],
)
def test_each_reason_has_its_exception(
    reason: Reason, kind: type[remit.RemitError], gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers.append(Denied(reason, "so it is"))

    error = failing(gateway)

    assert (type(error), error.reason, error.message) == (kind, reason.value, "so it is")
    assert len(server.issues) == 1


def test_an_agent_over_its_budget_is_told_how_long_to_wait(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(Outage(Reason.RATE_LIMITED, "60 calls a minute", retry_after=timedelta(seconds=3)))

    error = failing(gateway)

    assert isinstance(error, remit.RateLimited)
    assert error.retry_after == timedelta(seconds=3)
    assert "try again in 3 s" in str(error)
    assert len(server.issues) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (status(grpc.StatusCode.PERMISSION_DENIED, "no"), remit.Refused, "PERMISSION_DENIED"),
        (status(grpc.StatusCode.UNIMPLEMENTED, "no such method"), remit.GatewayFailure, "UNIMPLEMENTED"),
        (
            status(grpc.StatusCode.FAILED_PRECONDITION, "new", ErrorInfo(reason="TIDE_IS_OUT", domain="remit.dev")),
            remit.Refused,
            "TIDE_IS_OUT",
        ),
        (
            status(grpc.StatusCode.INTERNAL, "a proxy's", ErrorInfo(reason="GRANT_NOT_LIVE", domain="proxy.test")),
            remit.GatewayFailure,
            "INTERNAL",
        ),
        (status(grpc.StatusCode.NOT_FOUND, "odd", Struct()), remit.NotFound, "NOT_FOUND"),
    ],
    ids=["no details", "no such method", "unknown reason", "foreign domain", "unknown detail"],
)
def test_what_a_newer_gateway_says_degrades_cleanly(
    answer: Status, kind: type[remit.RemitError], reason: str, gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers.append(answer)

    error = failing(gateway)

    assert (type(error), error.reason, error.message) == (kind, reason, answer.message)
    assert error.remedy is remit.Remedy.UNKNOWN


def test_an_unknown_remedy_and_a_broken_detail_degrade_cleanly(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    told = status(
        grpc.StatusCode.PERMISSION_DENIED,
        "new",
        ErrorInfo(reason="POLICY_DENIED", domain="remit.dev", metadata={"remedy": "DANCE"}),
        types_pb2.Refusal(remedy=77),  # type: ignore[arg-type]
    )
    broken = Status.FromString(told.SerializeToString())
    broken.details[1].value = b"\xff\xff\xff"
    server.issue_answers += [told, broken]

    errors = [failing(gateway), failing(gateway)]

    assert [(type(error), error.reason, error.remedy) for error in errors] == [
        (remit.Refused, "POLICY_DENIED", remit.Remedy.UNKNOWN)
    ] * 2


@pytest.mark.parametrize("missing", ["credentials", "grant"])
def test_an_answer_that_is_not_whole_is_no_answer(
    missing: str, gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    answer = issued()
    answer.ClearField(missing)  # type: ignore[arg-type]
    server.issue_answers.append(answer)

    error = failing(gateway)

    assert (type(error), error.reason) == (remit.GatewayFailure, "ANSWER_NOT_UNDERSTOOD")


@pytest.mark.parametrize(
    "answer",
    [
        too_wide(),
        InvalidRequest([FieldViolation("intent", "is empty")]),
        Outage(Reason.INTERNAL, "internal error"),
        status(grpc.StatusCode.UNKNOWN, "unknown"),
    ],
    ids=["refused", "invalid", "internal", "unknown"],
)
def test_no_failure_holds_a_secret_even_in_a_traceback_with_its_variables(
    answer: object, gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers.append(answer)

    error = failing(gateway)

    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in frames.stack if "clients/python/remit" in frame.filename]
    told = "".join([str(error), repr(error), repr(error.__dict__), *(str(frame.locals) for frame in ours)])
    assert len(ours) >= 3
    assert not [canary for canary in CANARIES if canary in told]
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize("token", ["two words", "caf\u00e9", "line\nbreak", "\ud800"])
def test_a_token_that_is_none_is_refused_without_repeating_it(token: str, gateway: remit.Gateway) -> None:
    error = failing(gateway, subject_token=token)

    assert isinstance(error, remit.InvalidRequest)
    assert error.violations[0].path == "subject_token"
    assert error.remedy is remit.Remedy.CORRECT
    assert token not in repr(str(error))


def test_a_token_in_the_place_of_a_request_id_is_not_repeated(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(too_wide())
    block = gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS, request_id=SUBJECT_TOKEN)

    with pytest.raises(remit.Refused) as raised, block:
        pytest.fail("the block ran")

    error = raised.value
    assert server.issues[0].request_id == SUBJECT_TOKEN
    assert error.request_id is None
    assert SUBJECT_TOKEN not in f"{error} {error!r} {error.__dict__}"


@pytest.mark.parametrize("name", ["id", "grant", "credentials", "boto3_session", "end", "forget"])
def test_whoever_forgets_to_enter_a_task_is_told_to(name: str, gateway: remit.Gateway) -> None:
    block = gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS)

    with pytest.raises(AttributeError, match=r"enter the block first, `with gateway\.task\(\.\.\.\) as task:`"):
        getattr(block, name)
    with pytest.raises(AttributeError, match=r"'TaskBlock' object has no attribute 'token'$"):
        block.token  # type: ignore[attr-defined]  # noqa: B018 - looking it up is the claim


def test_no_value_prints_a_secret(server: ScriptedGateway) -> None:
    gateway = server.connect(bearer_token=BEARER)
    block = gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS)
    with block as task:
        credentials = task.credentials()
        live = [*map(repr, (gateway, block, task, task.grant, credentials)), str(credentials)]

    told = " ".join([*live, repr(task), repr(vars(block)), repr(vars(task)), repr(vars(gateway))])
    assert not [canary for canary in CANARIES if canary in told]
    assert "access_key_id='ASIAREMIT00000000001', secret_access_key='***', session_token='***'" in told


def test_an_exception_survives_pickling(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(too_wide())
    error = failing(gateway)

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert isinstance(copy, remit.Refused)
    assert (str(copy), copy.offer, copy.reason) == (str(error), (OFFERED,), "CEILING_EXCEEDED")


@pytest.mark.parametrize(
    ("cause", "is_another_one_advised"), [("LEASE_LOST", True), (None, True), ("REQUESTED", False)]
)
def test_a_task_that_somebody_ended_is_not_simply_to_be_started_again(
    cause: str | None, is_another_one_advised: bool
) -> None:
    over = str(remit.TaskOver("the task is over", reason="GRANT_NOT_LIVE", cause=cause))

    assert ("start another task" in over) is is_another_one_advised
    assert ("why it was revoked" in over) is not is_another_one_advised


def test_a_rule_that_the_sentence_tells_whole_is_not_told_again_cut_short(
    server: ScriptedGateway, gateway: remit.Gateway
) -> None:
    rule = "the catalogue has " + ", ".join(f"s3.capability_{number}" for number in range(40))
    server.issue_answers.append(InvalidRequest([FieldViolation("intent.capabilities[0].name", rule)]))

    error = failing(gateway)

    assert str(error).count("the catalogue has") == 1
    assert rule in str(error)
