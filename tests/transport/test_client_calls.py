"""Calls are always TLS, repeated only where that is safe, and made as whoever the agent is at that moment."""

import itertools
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from google.rpc.status_pb2 import Status
from tests.scripted_gateway import (
    AGENT,
    BEARER,
    REPORTS,
    SUBJECT_TOKEN,
    TASK_ID,
    Held,
    ScriptedGateway,
    issued,
    scripted_gateway,
)
from tests.waiting import ever_more

import remit
from remit_sandbox.certificates import Authority
from remit_server.domain.errors import Denied, Outage, Reason

AWAY = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="no server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


def work(gateway: remit.Gateway) -> None:
    with gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS):
        pass


async def work_async(gateway: remit.Gateway) -> None:
    async with gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS):
        pass


def outage(
    retry_after: timedelta | None = timedelta(milliseconds=1), *, reason: Reason = Reason.STS_UNAVAILABLE
) -> Outage:
    return Outage(reason, "it does not answer", retry_after=retry_after)


def test_a_request_that_found_nobody_is_repeated_under_its_request_id(server: ScriptedGateway) -> None:
    server.issue_answers += [AWAY, outage(), issued()]

    work(server.connect())

    ids = [request.request_id for request in server.issues]
    assert ids == [ids[0]] * 3
    assert UUID(ids[0]).version == 4
    assert server.ends == [TASK_ID]


def test_an_outage_that_cost_the_request_its_grant_is_told_as_the_outage(server: ScriptedGateway) -> None:
    over = Denied(Reason.GRANT_NOT_LIVE, "the grant of this request_id is over: ask with a new one")
    server.issue_answers += [outage(), over]

    with pytest.raises(remit.Unavailable) as raised:
        work(server.connect())

    assert raised.value.reason == "STS_UNAVAILABLE"


def test_a_repeat_that_runs_out_of_time_tells_what_went_wrong_before(server: ScriptedGateway) -> None:
    held = Held(AWAY)

    def in_time(seconds: float) -> remit.Unavailable:
        server.issue_answers.clear()
        server.issue_answers += [outage(), held]
        with pytest.raises(remit.Unavailable) as raised:
            work(server.connect(timeout=seconds))
        return raised.value

    told = next(told for told in map(in_time, ever_more(1)) if held.arrived.is_set())
    held.release.set()

    assert told.reason == "STS_UNAVAILABLE"


async def test_an_event_loops_request_that_found_nobody_is_repeated_too(server: ScriptedGateway) -> None:
    server.issue_answers += [AWAY, outage(), issued()]
    server.end_answers.append(AWAY)

    await work_async(server.connect())

    ids = [request.request_id for request in server.issues]
    assert ids == [ids[0]] * 3
    assert server.ends == [TASK_ID, TASK_ID]


def test_each_task_is_a_request_of_its_own(server: ScriptedGateway) -> None:
    gateway = server.connect()

    work(gateway)
    work(gateway)

    assert len({request.request_id for request in server.issues}) == 2


def test_repeats_come_to_an_end(server: ScriptedGateway) -> None:
    server.issue_answers += [outage()] * 10

    with pytest.raises(remit.Unavailable) as raised:
        work(server.connect())

    assert raised.value.reason == "STS_UNAVAILABLE"
    assert raised.value.retry_after == timedelta(milliseconds=1)
    assert len(server.issues) == 5


@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        (AWAY, 5),
        (outage(None), 2),
        (outage(None, reason=Reason.POLICY_UNAVAILABLE), 3),
        (outage(None, reason=Reason.LEDGER_UNAVAILABLE), 3),
        (outage(reason=Reason.ISSUER_UNAVAILABLE), 3),
    ],
    ids=["nobody", "STS", "policy", "ledger", "issuer"],
)
def test_what_costs_the_gateway_more_is_repeated_less(failure: Any, attempts: int, server: ScriptedGateway) -> None:
    server.issue_answers += [failure] * 10

    with pytest.raises(remit.Unavailable):
        work(server.connect())

    assert len(server.issues) == attempts


def test_an_outage_at_sts_has_its_repeat_also_after_nobody_was_there(server: ScriptedGateway) -> None:
    server.issue_answers += [AWAY, AWAY, outage(None), issued()]

    work(server.connect())

    assert len(server.issues) == 4


def test_a_wait_longer_than_the_deadline_is_left_to_the_caller(server: ScriptedGateway) -> None:
    server.issue_answers.append(outage(timedelta(seconds=60)))

    with pytest.raises(remit.Unavailable, match="try again in 60 s"):
        work(server.connect())

    assert len(server.issues) == 1


@pytest.mark.parametrize("reason", [Reason.POLICY_DENIED, Reason.INVALID_REQUEST, Reason.RATE_LIMITED, Reason.INTERNAL])
def test_a_decision_is_never_asked_for_twice(reason: Reason, server: ScriptedGateway) -> None:
    server.issue_answers.append(Denied(reason, "so it is"))

    with pytest.raises(remit.RemitError):
        work(server.connect())

    assert len(server.issues) == 1


def test_a_gateway_that_is_full_for_the_moment_is_asked_again_when_it_says_so(server: ScriptedGateway) -> None:
    full = Outage(Reason.OVERLOADED, "8 calls of this agent are running", retry_after=timedelta(milliseconds=10))
    server.issue_answers += [full, issued()]

    work(server.connect())

    assert len({request.request_id for request in server.issues}) == 1
    assert len(server.issues) == 2


@pytest.mark.parametrize(
    "busy",
    [
        Outage(Reason.OVERLOADED, "too many calls"),
        Outage(Reason.RATE_LIMITED, "120 calls a minute", retry_after=timedelta(milliseconds=10)),
    ],
)
def test_an_agent_over_its_budget_does_not_ask_again_by_itself(busy: Outage, server: ScriptedGateway) -> None:
    server.issue_answers.append(busy)

    with pytest.raises(remit.RateLimited):
        work(server.connect())

    assert len(server.issues) == 1


def test_a_gateway_that_does_not_answer_in_time_is_unavailable(server: ScriptedGateway) -> None:
    silent = Held(issued())
    server.issue_answers += [silent] * 5

    def in_time(seconds: float) -> remit.Unavailable:
        with pytest.raises(remit.Unavailable) as raised:
            work(server.connect(timeout=seconds))
        return raised.value

    def is_heard(told: remit.Unavailable) -> bool:
        return told.request_id in {request.request_id for request in server.issues}

    told = next(filter(is_heard, map(in_time, ever_more(0.2))))

    silent.release.set()
    assert told.reason == "DEADLINE_EXCEEDED"
    assert "did not answer in time" in str(told)


def test_a_gateway_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with scripted_gateway(tmp_path) as server:
        gateway = server.connect()

    with pytest.raises(remit.Unavailable, match="cannot be reached") as raised:
        work(gateway)

    assert (raised.value.reason, raised.value.remedy) == ("UNAVAILABLE", remit.Remedy.RETRY_LATER)


def test_a_bearer_function_is_asked_at_every_call(server: ScriptedGateway) -> None:
    asked = itertools.count(1)
    server.issue_answers += [AWAY, issued()]

    work(server.connect(bearer_token=lambda: f"token-{next(asked)}\n"))

    first, second, third = server.authorizations  # watching the task takes one of its own
    assert (first, second) == (["Bearer token-1"], ["Bearer token-2"])
    assert third in (["Bearer token-3"], ["Bearer token-4"])


async def test_a_bearer_function_may_block_without_holding_up_the_loop(server: ScriptedGateway) -> None:
    threads: list[threading.Thread] = []

    def token() -> str:
        threads.append(threading.current_thread())
        return BEARER

    await work_async(server.connect(bearer_token=token))

    assert server.authorizations == [[f"Bearer {BEARER}"]] * 2
    assert threading.main_thread() not in threads


def test_an_agent_is_who_its_certificate_says(server: ScriptedGateway) -> None:
    work(server.connect())

    assert set(server.peers) == {AGENT}
    assert server.authorizations == [[], []]


def test_a_certificate_that_is_replaced_is_used_from_the_next_call_on(server: ScriptedGateway) -> None:
    first = server.authority.issue_client(AGENT)
    second = server.authority.issue_client(f"{AGENT}/renewed")
    gateway = server.connect(certificate_file=first.certificate_path, key_file=first.key_path)

    with gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS):
        first.certificate_path.write_bytes(second.certificate_path.read_bytes())
        first.key_path.write_bytes(second.key_path.read_bytes())

    assert server.peers == [AGENT, f"{AGENT}/renewed"]


def test_files_that_cannot_be_read_for_a_moment_change_nothing(server: ScriptedGateway) -> None:
    pair = server.authority.issue_client(AGENT)
    gateway = server.connect(certificate_file=pair.certificate_path, key_file=pair.key_path)

    pair.key_path.unlink()
    work(gateway)

    assert set(server.peers) == {AGENT}


def test_a_gateway_of_a_strange_authority_is_not_talked_to(server: ScriptedGateway, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "stranger")

    with pytest.raises(remit.Unavailable, match=r"ca_file \S+ does not vouch for its certificate"):
        work(server.connect(ca_file=stranger.bundle_path))

    assert server.issues == []


def test_the_authority_may_be_given_as_bytes(server: ScriptedGateway) -> None:
    work(server.connect(ca_file=None, root_certificates=server.authority.bundle_path.read_bytes()))

    assert server.ends == [TASK_ID]


@pytest.mark.parametrize(
    ("target", "options", "told"),
    [
        ("https://gateway.test:8443", {"bearer_token": BEARER}, "host:port"),
        ("gateway.test", {"bearer_token": BEARER}, "host:port"),
        ("gateway.test:8443", {}, "say who this agent is"),
        ("gateway.test:8443", {"certificate_file": "a.pem", "key_file": "a.key", "bearer_token": "t"}, "either"),
        ("gateway.test:8443", {"certificate_file": "a.pem"}, "belong together"),
        ("gateway.test:8443", {"bearer_token": BEARER, "ca_file": "a", "root_certificates": b"b"}, "not both"),
        ("gateway.test:8443", {"bearer_token": BEARER, "timeout": 0}, "more than 0 seconds"),
    ],
)
def test_options_that_contradict_each_other_are_refused(target: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        remit.Gateway(target, **options)

    assert BEARER not in str(raised.value)


def test_a_missing_file_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ca\.pem"):
        remit.Gateway("gateway.test:8443", bearer_token=BEARER, ca_file=tmp_path / "ca.pem")


@pytest.mark.parametrize("argument", ["ca_file", "certificate_file", "key_file"])
def test_a_file_that_is_missing_is_told_with_the_argument_that_names_it(
    argument: str, server: ScriptedGateway, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        server.connect(**{argument: tmp_path / "gone.pem"})

    assert str(raised.value) == f"[Errno 2] No such file or directory (the {argument}): '{tmp_path / 'gone.pem'}'"


def test_files_that_no_connection_can_be_made_with_are_named_at_once(server: ScriptedGateway, tmp_path: Path) -> None:
    pair, other = server.authority.issue_client(AGENT), server.authority.issue_client(f"{AGENT}/other")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no PEM")

    strange = f"key_file {other.key_path} does not belong to certificate_file {pair.certificate_path}"
    with pytest.raises(ValueError, match=re.escape(strange)):
        server.connect(certificate_file=pair.certificate_path, key_file=other.key_path)
    with pytest.raises(ValueError, match=rf"key_file {garbage} is not a private key"):
        server.connect(certificate_file=pair.certificate_path, key_file=garbage)
    with pytest.raises(ValueError, match=rf"certificate_file {garbage} is not a file of certificates"):
        server.connect(certificate_file=garbage, key_file=pair.key_path)
    with pytest.raises(ValueError, match=rf"ca_file {garbage} is not a file of certificates"):
        server.connect(ca_file=garbage)
    with pytest.raises(ValueError, match="root_certificates"):
        server.connect(ca_file=None, root_certificates=b"")


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(server: ScriptedGateway, tmp_path: Path) -> None:
    pair = server.authority.issue_client(AGENT)
    encrypted = tmp_path / "encrypted.key"
    key = serialization.load_pem_private_key(pair.key_path.read_bytes(), password=None)
    passphrase = serialization.BestAvailableEncryption(b"passphrase")
    encrypted.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, passphrase))

    with pytest.raises(ValueError, match=rf"key_file {encrypted} is encrypted"):
        server.connect(certificate_file=pair.certificate_path, key_file=encrypted)


def test_a_rotation_that_is_half_done_changes_nothing(server: ScriptedGateway) -> None:
    first = server.authority.issue_client(AGENT)
    second = server.authority.issue_client(f"{AGENT}/renewed")
    gateway = server.connect(certificate_file=first.certificate_path, key_file=first.key_path)

    first.certificate_path.write_bytes(second.certificate_path.read_bytes())
    work(gateway)
    first.key_path.write_bytes(second.key_path.read_bytes())
    work(gateway)

    assert server.peers == [AGENT, AGENT, f"{AGENT}/renewed", f"{AGENT}/renewed"]


def test_an_agent_without_a_certificate_is_told_that_the_port_may_want_one(server: ScriptedGateway) -> None:
    gateway = remit.Gateway(server.mtls, bearer_token=BEARER, ca_file=server.authority.bundle_path)

    with pytest.raises(
        remit.Unavailable, match="as a gateway does that wants a client certificate at this port"
    ) as raised:
        work(gateway)

    assert "what to do: use the gateway's port for bearer tokens" in str(raised.value)


def test_a_closed_gateway_says_so(server: ScriptedGateway) -> None:
    with server.connect() as gateway:
        pass

    with pytest.raises(RuntimeError, match="this gateway is closed"):
        work(gateway)


async def test_a_gateway_is_an_async_context_manager_too(server: ScriptedGateway) -> None:
    async with server.connect() as gateway:
        await work_async(gateway)

    with pytest.raises(RuntimeError, match="this gateway is closed"):
        await work_async(gateway)
