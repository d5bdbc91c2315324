"""What breaks: STS, the ledger, the policy's workers, the transmitter's push, and at last the gateway itself."""

import asyncio
import os
import signal
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from tests.e2e.canaries.agents import AN_ANSWER
from tests.e2e.canaries.journey import CANARY, Journey
from tests.e2e.gateways import Q3, issue_request, raw_stub
from tests.event_world import ACCOUNT_ENABLED

import remit


def _denied(content: bytes) -> tuple[int, bytes]:
    """Refuses, and says in the refusal what it would have given."""
    told = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>" + content.replace(b"<", b"(") + b"</Message>"
    return 403, told + b"</Error><RequestId>1</RequestId></ErrorResponse>"


def of_sts(journey: Journey, gateway: remit.Gateway) -> None:
    """STS's answers are lost, cut, of another kind; it throttles; it refuses and repeats what is secret."""
    relay = journey.relay
    relay.lose_answers = True
    journey.fails(gateway.task("x", subject_token=journey.token(), allow=Q3).__enter__)
    relay.lose_answers = False
    throttled = b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
    garbled = (
        lambda content: (200, content[: len(content) * 2 // 3]),
        lambda content: (200, b"<html>" + content + b"</html>"),
        lambda content: (200, content.replace(b"</SessionToken>", b"&nothing;</SessionToken>")),
        lambda content: (500, content),
        lambda _: (400, throttled),
        _denied,
    )
    for garble in garbled:
        relay.garble = garble
        journey.fails(gateway.task("x", subject_token=journey.token(), allow=Q3).__enter__)
    relay.garble = None


def of_the_ledger(journey: Journey, _: remit.Gateway) -> None:
    """The ledger cannot be written."""
    with closing(sqlite3.connect(journey.own.log_path.with_name("ledger.sqlite3"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
            journey.fails(partial(stub.IssueCredentials, issue_request(journey.token()), timeout=AN_ANSWER))
        other.execute("ROLLBACK")


def of_the_policy(journey: Journey, gateway: remit.Gateway) -> None:
    """The processes that decide are killed, once without and once with a request on the way."""
    for process_id in _children(journey.own.process.pid):
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
        try:
            with gateway.task("x", subject_token=journey.token(), allow=Q3) as task:
                journey.holds(task.credentials())
        except remit.RemitError as error:
            journey.shows_failure(error)


def _children(process_id: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def over_http(journey: Journey, _: remit.Gateway) -> None:
    """Events are pushed, with and without the right to; pages are asked for that there are and are not."""
    users, (transmitter, loop) = journey.sandbox.issuer.url, journey.transmitter
    subject = {"format": "iss_sub", "iss": users, "sub": "nobody"}
    _, event = transmitter.event(ACCOUNT_ENABLED, sub_id=subject)
    url, right = f"https://{journey.own.http}/ssf/acme", journey.canaries.of_kind("a transmitter's authorization")
    for token, authorization in (
        (event, f"Bearer {right}"),
        (event, f"Bearer {journey.secret(CANARY, 'a canary')}"),
        (event, ""),
        (event[:-9] + "AAAAAAAAA", f"Bearer {right}"),
        (journey.token(), f"Bearer {right}"),
    ):
        push = transmitter.push(url, token, authorization, journey.sandbox.authority.bundle_path)
        journey.shows(asyncio.run_coroutine_threadsafe(push, loop).result(30))
    trust = journey.sandbox.authority.trust()
    for path in ("/metrics", "/.well-known/openid-configuration", f"/{journey.token()[:200]}", "/ssf/acme"):
        request = urllib.request.Request(f"https://{journey.own.http}{path}")
        request.add_header("Authorization", f"Bearer {journey.token()}")
        try:
            with urllib.request.urlopen(request, timeout=30, context=trust) as answer:  # noqa: S310 - the same
                journey.shown.append(f"{answer.headers} {answer.read().decode()}")
        except urllib.error.HTTPError as error:
            journey.shown.append(f"{error.headers} {error.read().decode()}")


def of_the_gateway(journey: Journey, _: remit.Gateway) -> None:
    """It is aborted in the middle of a call, and dumps its stacks."""
    journey.relay.hold_after(0)
    with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
        running = stub.IssueCredentials.future(issue_request(journey.token()), timeout=AN_ANSWER)
        journey.relay.wait_until_held(1)
        journey.own.process.send_signal(signal.SIGABRT)
        journey.own.process.wait(30)
        journey.relay.release()
        journey.fails(running.result)
