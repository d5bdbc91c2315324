"""A part of a task for one call, who is calling, and what a request came to: the Python client's side."""

import asyncio
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import permission
from tests.scripted_gateway import (
    AGENT,
    BEARER,
    CANARIES,
    GRANT,
    REPORTS,
    SECRET_KEY,
    SUBJECT_TOKEN,
    TASK_ID,
    ScriptedGateway,
    Stream,
    event,
    issued,
    renewed,
    scripted_gateway,
)
from tests.waiting import until

import remit
from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit_server.domain.errors import Denied, Outage, Reason, Refusal, Remedy

PART = f"tasks/{TASK_ID}/grants/{'c' * 26}"
ONE_REPORT = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.md")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def gateway(server: ScriptedGateway) -> Iterator[remit.Gateway]:
    with server.connect() as gateway:
        yield gateway


def begin(gateway: remit.Gateway, **options: Any) -> remit.TaskBlock:
    return gateway.task("summarise Q3", **{"subject_token": SUBJECT_TOKEN, "allow": [REPORTS], **options})


def part(number: int = 7, lifetime: timedelta = timedelta(seconds=60)) -> messages.AttenuateCredentialsResponse:
    answer = issued(number, lifetime=lifetime)
    answer.grant.name, answer.grant.parent = PART, GRANT
    return messages.AttenuateCredentialsResponse(grant=answer.grant, credentials=answer.credentials)


def asked(server: ScriptedGateway) -> messages.AttenuateCredentialsRequest:
    (request,) = [one for one in server.requests if isinstance(one, messages.AttenuateCredentialsRequest)]
    return request


def test_a_part_is_asked_of_the_tasks_own_grant_and_holds_its_own_credentials(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.attenuations.append(part())

    with begin(gateway) as task, task.attenuate([ONE_REPORT], duration=30, narrow=True) as narrower:
        credentials, grant = narrower.credentials(), narrower.grant
        whole = task.credentials()

    request = asked(server)
    assert (request.name, request.narrow, request.requested_duration.ToSeconds()) == (GRANT, True, 30)
    assert request.intent.purpose == "summarise Q3"
    assert list(request.intent.permissions[0].resources) == ["arn:aws:s3:::reports/2026/q3/summary.md"]
    assert (grant.name, grant.parent) == (PART, GRANT)
    assert (credentials.access_key_id, whole.access_key_id) == ("ASIAREMIT00000000007", "ASIAREMIT00000000001")
    assert credentials.secret_access_key == SECRET_KEY


def test_no_duration_leaves_it_to_the_gateway_and_texts_are_read_as_elsewhere(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.attenuations.append(part())

    with begin(gateway) as task:
        task.attenuate("s3:GetObject=arn:aws:s3:::reports/2026/q3/summary.md", purpose="read one report")

    request = asked(server)
    assert not request.HasField("requested_duration")
    assert request.intent.purpose == "read one report"
    assert list(request.intent.permissions[0].actions) == ["s3:GetObject"]


async def test_event_loops_attenuate_as_well(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.attenuations.append(part())

    async with begin(gateway) as task, await task.attenuate([ONE_REPORT]) as narrower:
        credentials = narrower.credentials()

    assert credentials.access_key_id == "ASIAREMIT00000000007"
    with pytest.raises(remit.TaskOver):
        narrower.credentials()


def test_leaving_its_block_forgets_the_keys_and_leaves_the_task_alone(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.attenuations.append(part())

    with begin(gateway) as task:
        with task.attenuate([ONE_REPORT]) as narrower:
            pass
        with pytest.raises(remit.TaskOver, match="block was left"):
            narrower.credentials()
        still = task.credentials()

    assert still.secret_access_key == SECRET_KEY


def test_it_ends_by_itself_is_not_renewed_and_says_what_to_do(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.attenuations.append(part(lifetime=timedelta(seconds=0)))

    with begin(gateway) as task:
        narrower = task.attenuate([ONE_REPORT])
        with pytest.raises(remit.TaskOver, match="attenuate the task again"):
            narrower.credentials()

    assert server.renewals == []


def test_the_end_of_the_task_is_the_end_of_its_parts_in_sessions_too(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.attenuations.append(part())

    with begin(gateway) as task:
        narrower = task.attenuate([ONE_REPORT])
        session = narrower.boto3_session()
        before = session.get_credentials()

    with pytest.raises(remit.TaskOver, match="it was ended"):
        narrower.credentials()
    assert before is not None
    with pytest.raises(remit.TaskOver):
        before.get_frozen_credentials()


async def test_a_revoked_task_drops_its_parts_and_a_revoked_part_leaves_the_task(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    stream = Stream()
    server.streams.append(stream)
    server.attenuations.append(part())

    async with begin(gateway) as task:
        narrower = await task.attenuate([ONE_REPORT])
        stream.tell(event("REVOKED", grants=[PART], cause=types_pb2.REVOKE_CAUSE_SECURITY_EVENT))
        stream.tell(event("REVOKED", grants=[GRANT], cause=types_pb2.REVOKE_CAUSE_REQUESTED))
        await until(lambda: "over" in repr(task))
        with pytest.raises(remit.TaskOver) as raised:
            narrower.credentials()

    assert raised.value.cause == "REQUESTED"


async def test_a_part_that_is_revoked_alone_drops_its_keys_and_no_others(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    stream = Stream()
    server.streams.append(stream)
    other = part(8)
    other.grant.name = PART.replace("c" * 26, "d" * 26)
    server.attenuations += [part(), other]

    async with begin(gateway) as task:
        revoked, kept = await task.attenuate([ONE_REPORT]), await task.attenuate([ONE_REPORT])
        stream.tell(event("REVOKED", grants=[PART]))
        await until(lambda: "over" in repr(revoked))
        with pytest.raises(remit.TaskOver, match="it was revoked"):
            revoked.credentials()

        assert kept.credentials().access_key_id == "ASIAREMIT00000000008"
        assert (await task.credentials()).secret_access_key == SECRET_KEY


def test_credentials_that_are_nearly_over_are_renewed_before_a_part_is_taken(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers.append(issued(1, lifetime=timedelta(seconds=900), left=timedelta(seconds=20)))
    server.renew_answers.append(renewed(2))
    server.attenuations.append(part())

    with begin(gateway) as task:
        task.attenuate([ONE_REPORT])

    assert len(server.renewals) == 1


def test_a_refusal_says_what_the_task_does_hold_and_asking_for_that_works(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    offer = (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),)
    server.attenuations += [
        Denied(Reason.CEILING_EXCEEDED, "that is more than the grant may do", Refusal(Remedy.NARROW, offer=offer)),
        part(),
    ]

    with begin(gateway) as task:
        with pytest.raises(remit.Refused) as raised:
            task.attenuate([remit.Permission("s3:GetObject", "*")])
        narrower = task.attenuate(raised.value.offer)

    assert raised.value.reason == "CEILING_EXCEEDED"
    assert raised.value.request_id
    assert narrower.grant.name == PART


def test_what_is_too_deep_says_what_to_do_instead(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.attenuations.append(Denied(Reason.DELEGATION_TOO_DEEP, "this is an attenuated grant itself"))

    with begin(gateway) as task, pytest.raises(remit.Refused) as raised:
        task.attenuate([ONE_REPORT])

    assert "attenuate the task itself" in raised.value.advice
    assert "attenuate the task itself" in str(pickle.loads(pickle.dumps(raised.value)))  # noqa: S301 - its own


def test_a_repeat_after_an_outage_is_the_same_request(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.attenuations += [Outage(Reason.LEDGER_UNAVAILABLE, "busy", retry_after=timedelta(seconds=0.01)), part()]

    with begin(gateway) as task:
        task.attenuate([ONE_REPORT])

    ids = [one.request_id for one in server.requests if isinstance(one, messages.AttenuateCredentialsRequest)]
    assert (len(ids), len(set(ids))) == (2, 1)


def test_no_text_of_a_part_shows_a_key(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.attenuations.append(part())

    with begin(gateway) as task:
        narrower = task.attenuate([ONE_REPORT])
        texts = [repr(narrower), str(narrower), repr(narrower.grant), repr(narrower.credentials())]

    assert not [canary for canary in CANARIES for text in texts if canary in text]
    assert GRANT in texts[0]


def identified() -> messages.GetCallerIdentityResponse:
    answer = messages.GetCallerIdentityResponse(
        actor=AGENT,
        subject=types_pb2.Subject(issuer="https://issuer.test", id="alice"),
        groups=["analysts"],
        policy_revision="5" * 64,
    )
    answer.time.FromDatetime(datetime(2026, 11, 23, 12, tzinfo=UTC))
    answer.subject_token_expire_time.FromDatetime(datetime(2026, 11, 23, 13, tzinfo=UTC))
    return answer


def test_an_agent_asks_who_it_is_and_for_whom(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.identities += [messages.GetCallerIdentityResponse(actor=AGENT), identified(), identified()]

    alone = gateway.whoami()
    for_alice = gateway.whoami(lambda: SUBJECT_TOKEN)
    again = asyncio.run(gateway.whoami_async(SUBJECT_TOKEN))

    assert (alone.actor, alone.subject, alone.subject_token_expire_time) == (AGENT, None, None)
    assert for_alice == again
    assert (for_alice.subject, for_alice.groups) == (remit.Subject("https://issuer.test", "alice"), ("analysts",))
    assert for_alice.subject_token_expire_time == datetime(2026, 11, 23, 13, tzinfo=UTC)
    assert [one.subject_token for one in server.requests] == ["", SUBJECT_TOKEN, SUBJECT_TOKEN]
    assert SUBJECT_TOKEN not in repr(for_alice)


def test_one_source_of_both_tokens_is_asked_once(server: ScriptedGateway) -> None:
    given = iter(range(9))

    def both() -> str:
        return f"{BEARER}{next(given)}"

    server.identities.append(identified())
    with server.connect(bearer_token=both) as gateway:
        gateway.whoami(both)

    (request,) = server.requests
    assert server.authorizations[-1] == [f"Bearer {request.subject_token}"]


def test_what_a_request_came_to_is_a_grant_or_the_refusal_that_it_was(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    refusal = messages.PreviewedRefusal(reason="POLICY_DENIED", message="alice is no analyst")
    server.decisions += [
        messages.GetDecisionResponse(grant=issued().grant),
        messages.GetDecisionResponse(refusal=refusal),
        messages.GetDecisionResponse(refusal=refusal),
        Denied(Reason.NOT_FOUND, "nothing is remembered of this request"),
    ]

    grant = gateway.explain("4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11")
    refused = gateway.explain("4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b12")
    again = asyncio.run(gateway.explain_async("4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b12"))

    assert isinstance(grant, remit.Grant)
    assert grant.name == GRANT
    assert isinstance(refused, remit.WouldRefuse)
    assert (refused.reason, refused) == ("POLICY_DENIED", again)
    with pytest.raises(remit.NotFound):
        gateway.explain("4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b13")


def test_an_answer_of_a_later_gateway_is_told_as_such(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.decisions.append(messages.GetDecisionResponse())

    with pytest.raises(remit.GatewayFailure):
        gateway.explain("4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11")
