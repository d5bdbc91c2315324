"""G8 and G11: what a string holds stays in its one record and its one line, and causes stay in the log."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from tests.attack.raw_http2 import ISSUE, headers, raw_connection
from tests.configuration_folder import ConfigurationFolder
from tests.e2e.watched import BIN
from tests.fakes import NOON, FakeClock, world
from tests.identity_world import identity_world, refusal
from tests.ledger_values import a_key, asked, refused_record
from tests.token_forge import user_token
from tests.transport.gateway_server import Served, as_agent, issue_message, served

from remit.v1.credential_service_pb2 import EndTaskRequest, PreviewCredentialsRequest
from remit.v1.types_pb2 import Capability, Condition, Permission, TaskIntent
from remit_server.adapters.aws.keys import AmbientKeys
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.config.loading import ConfigurationError, load
from remit_server.domain.audit import CallersRejected, ChainIntact, RequestRefused, TaskStarted, Who
from remit_server.domain.errors import Denied, Outage, Reason

PREVIEW, END = ISSUE.replace("Issue", "Preview"), "/remit.v1.CredentialService/EndTask"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path) as made, served(made, tmp_path) as running:
        yield running


# G11: one record, whatever a string holds

INJECTIONS = [
    '\n{"forged":true}',
    '"}\r\n{"kind":"credentials_issued"}',
    "\x00\x01\x1b[2J\x7f",
    "'; DROP TABLE audit_events; --",
    "\u2028\u2029\u202e\ufeff",
    "%s %(x)s {0} ${jndi:ldap://x}",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_g11_a_string_never_makes_more_than_its_one_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.db"
    who = Who(text, text, text, text, text)
    record = RequestRefused(who, text, text, text, text, text, text, text, text, ((text, text, text),))

    async with open_ledger(path, FakeClock()) as ledger:
        await ledger.record(record)
        await ledger.record(refused_record("the next"))

    bodies = [body for (body,) in asked(path, "SELECT body FROM audit_events ORDER BY sequence")]
    assert len(bodies) == 2
    assert all(body.isascii() and body.isprintable() and len(body) < 70_000 for body in bodies)
    kept = json.loads(bodies[0])["message"]
    assert kept[:4096] == text[:4096]
    assert isinstance(verify(path), ChainIntact)


async def test_g11_half_a_surrogate_pair_is_kept_escaped_or_refused_as_a_whole(tmp_path: Path) -> None:
    path, half = tmp_path / "ledger.db", "\ud800"

    async with open_ledger(path, FakeClock()) as ledger:
        await ledger.record(refused_record(half))
        with pytest.raises(Outage) as raised:  # its task is also a column, which holds text only
            await ledger.record(RequestRefused(Who(), "", "", "", "", half))

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    (body,) = (body for (body,) in asked(path, "SELECT body FROM audit_events"))
    assert '"message":"\\ud800"' in body
    assert isinstance(verify(path), ChainIntact)


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_g11_a_string_in_a_remembered_refusal_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    async with open_ledger(tmp_path / "ledger.db", FakeClock()) as ledger:
        await ledger.refuse(a_key("r", actor_id="a"), Denied(Reason.POLICY_DENIED, text), refused_record(text))

        known = await ledger.remembered("a", "r")

    assert known is not None
    assert known.refusal is not None
    assert known.refusal.message == text


HOSTILE = '\n{"forged":true}\x1b[2J\x1b]0;owned\x07\u2028\u2029\x85\u202e\r\x00'
PATTERNS = Permission(actions=["s3:GetObject"], resources=["arn:aws:s3:::reports/2026/q3/*"])


def hostile_intents() -> list[TaskIntent]:
    """Returns an intent for each string of an intent, with the hostile text in it."""
    condition: dict[str, Any] = {"operator": "StringLike", "key": "s3:prefix", "values": ["2026"]}
    permissions = [
        Permission(actions=[f"s3:GetObject{HOSTILE}"], resources=PATTERNS.resources),
        Permission(actions=PATTERNS.actions, resources=[f"arn:aws:s3:::reports/{HOSTILE}"]),
        *(
            Permission(
                actions=PATTERNS.actions,
                resources=PATTERNS.resources,
                conditions=[Condition(**{**condition, name: [HOSTILE] if name == "values" else HOSTILE})],
            )
            for name in condition
        ),
    ]
    capabilities = [
        Capability(name=HOSTILE),
        Capability(name="s3.read_prefix", parameters={HOSTILE: "x"}),
        Capability(name="s3.read_prefix", parameters={"bucket": HOSTILE}),
    ]
    return [
        TaskIntent(purpose=HOSTILE, permissions=[PATTERNS]),
        TaskIntent(purpose="x", permissions=[PATTERNS], labels={HOSTILE: "x"}),
        TaskIntent(purpose="x", permissions=[PATTERNS], labels={"key": HOSTILE}),
        *(TaskIntent(purpose="x", permissions=[one]) for one in permissions),
        *(TaskIntent(purpose="x", capabilities=[one]) for one in capabilities),
    ]


def hostile_calls() -> list[tuple[str, bytes]]:
    """Returns a call for each string of each request, with the hostile text in it."""
    usual = issue_message()
    fields: list[dict[str, Any]] = [{"request_id": HOSTILE}, {"subject_token": HOSTILE}, {"task_id": HOSTILE}]
    issue = [issue_message(**one) for one in (*fields, *({"intent": one} for one in hostile_intents()))]
    preview = [
        PreviewCredentialsRequest(**{"subject_token": usual.subject_token, "intent": usual.intent, **one})
        for one in (*fields[1:], *({"intent": one} for one in hostile_intents()))
    ]
    calls = [(ISSUE, one.SerializeToString()) for one in issue]
    calls += [(PREVIEW, one.SerializeToString()) for one in preview]
    return [*calls, (END, EndTaskRequest(task_id=HOSTILE).SerializeToString())]


def is_one_clean_line(text: str) -> bool:
    """Says whether nothing in the text ends a line or steers a terminal."""
    return not any(unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Cs"} for character in text)


async def test_g11_a_hostile_string_in_any_field_of_any_request_makes_one_record_and_one_line(
    gateway: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="remit_server")
    path, counts, calls = gateway.world.database, [], hostile_calls()

    for method, raw in calls:
        async with raw_connection(gateway) as connection:
            await connection.call(headers(method, more=((b"user-agent", HOSTILE.encode()),)), raw)
        counts += asked(path, "SELECT count(*) FROM audit_events WHERE kind = 'request_refused'")

    assert counts == [(number,) for number in range(1, len(calls) + 1)]
    assert gateway.world.sts.orders == []
    bodies = [body for (body,) in asked(path, "SELECT body FROM audit_events")]
    assert len(bodies) == len(calls)
    assert all(body.isascii() and is_one_clean_line(body) for body in bodies)
    assert isinstance(verify(path), ChainIntact)
    assert all(is_one_clean_line(record.getMessage()) for record in caplog.records)


def _refused(who: Who) -> RequestRefused:
    failures = ((HOSTILE, HOSTILE, HOSTILE),)
    return RequestRefused(who, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, failures)


async def write_hostile_records(path: Path) -> None:
    who = Who(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    async with open_ledger(path, FakeClock()) as ledger:
        await ledger.record(_refused(who))
        await ledger.record(TaskStarted(who, HOSTILE, HOSTILE, NOON))
        await ledger.record(CallersRejected(HOSTILE, HOSTILE, 3, NOON))


@pytest.mark.parametrize(("options", "count"), [((), 4), (("--json",), 3)], ids=["table", "json"])
def test_g11_listing_hostile_records_shows_a_line_each_that_steers_no_terminal(
    tmp_path: Path, options: tuple[str, ...], count: int
) -> None:
    path = tmp_path / "ledger.db"
    asyncio.run(write_hostile_records(path))

    done = subprocess.run(  # noqa: S603 - the program under test
        [str(BIN / "remit-server"), "audit", "list", "--database", str(path), *options],
        capture_output=True,
        timeout=60,
        check=True,
    )

    lines = done.stdout.decode().removesuffix("\n").split("\n")
    assert len(lines) == count
    assert all(is_one_clean_line(line) for line in lines)
    assert done.stderr == b""


LOGGED = """
import logging, sys
from remit_server.adapters.logs import configure_logs
configure_logs(logging.DEBUG)
hostile = sys.stdin.read()
log = logging.getLogger("remit_server.x")
log.info("%s", hostile)
log.warning(hostile)
log.error("with more", extra={"field": hostile, hostile: 1, "event": hostile})
try:
    raise ValueError(hostile + "\\ud800")
except ValueError:
    log.exception("a failure")
"""


def test_g11_a_hostile_string_in_a_log_record_is_one_line_of_json() -> None:
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", LOGGED], input=HOSTILE.encode(), capture_output=True, timeout=60, check=True
    )

    lines = done.stderr.decode().removesuffix("\n").split("\n")
    assert len(lines) == 4
    assert all(isinstance(json.loads(line), dict) and is_one_clean_line(line) for line in lines)


@pytest.mark.parametrize("claim", ["sub", "jti", "azp", "aud", "iss", "act", "may_act"])
async def test_g11_a_hostile_claim_is_refused_and_not_repeated(claim: str) -> None:
    value: Any = {"sub": HOSTILE, "iss": HOSTILE} if claim.endswith("act") else HOSTILE

    denied = await refusal(identity_world().delegate(user_token(**{claim: value})))

    assert "forged" not in f"{denied.message} {denied.__cause__!r}"
    assert is_one_clean_line(denied.message)


@pytest.mark.parametrize("hostile", [HOSTILE, "%0a%7b", "/../root", "\x1b[2J"], ids=ascii)
async def test_g11_a_hostile_spiffe_id_is_refused_and_not_repeated(hostile: str) -> None:
    name = f"spiffe://example.org/agents/{hostile}".encode("ascii", "ignore").decode()

    denied = await refusal(identity_world().by_certificate(name))

    assert denied.reason is Reason.ACTOR_REJECTED
    assert "forged" not in denied.message
    assert is_one_clean_line(denied.message)


async def test_g11_a_stranger_cannot_fill_the_log_with_refusals(
    gateway: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="remit_server")

    for message, agent in ((issue_message(), "stranger"), (issue_message("arn:aws:s3"), "copilot")):
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.stub.IssueCredentials(message, metadata=as_agent(agent))

    assert caplog.records == []


# G8: the cause of a failure is the log's


class Panic(BaseException):
    """What a library written in Rust raises when it panics: no Exception."""


@pytest.mark.parametrize("failure", [Panic("the secret cause"), ZeroDivisionError("the secret cause")], ids=repr)
async def test_g8_what_nobody_thought_of_is_an_internal_error_and_nothing_else(
    gateway: Served, failure: BaseException
) -> None:
    gateway.world.policy.answer = failure

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent(), timeout=60)

    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    assert "secret cause" not in str(await gateway.world.events())


async def test_g8_what_a_credential_process_printed_is_not_in_the_failure() -> None:
    def resolve() -> SimpleNamespace:
        raise ValueError("aws_secret_access_key=canary")

    with pytest.raises(Outage) as raised:
        await AmbientKeys(monotonic=lambda: 0.0, resolve=resolve)()

    assert "canary" not in f"{raised.value.__cause__!r} {raised.value}"
    assert "ValueError" in str(raised.value.__cause__)


@pytest.mark.parametrize("name", ["SSLKEYLOGFILE", "GRPC_TRACE"])
def test_g8_an_environment_that_would_print_or_keep_secrets_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(ConfigurationFolder.create(tmp_path).write(), {name: os.devnull})

    assert f"environment {name}" in {mistake.place for mistake in raised.value.mistakes}
