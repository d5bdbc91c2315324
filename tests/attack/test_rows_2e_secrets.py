"""G8: every way a call can end, with every logger at DEBUG: no token and no key is said anywhere.

`tests/e2e/canaries` does the same through a whole gateway, with real tokens, STS and files.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.fakes import World, world
from tests.transport.gateway_server import Served, as_agent, failure_of, issue_message, served

from remit.v1.credential_service_pb2 import EndTaskRequest, IssueCredentialsRequest, PreviewCredentialsRequest
from remit.v1.types_pb2 import Capability, TaskIntent
from remit_server.adapters.database.engine import DatabaseRefused, open_database
from remit_server.adapters.logs import PINNED
from remit_server.config.loading import ConfigurationError, load
from remit_server.domain.decision import Deny, PolicyReason
from remit_server.domain.errors import Denied, Outage, Reason, Remedy

BEARER = "canary-bearer-0123456789-abcdefghij"
SUBJECT = "canary-subject-0123456789-abcdefghij"
AS_A_NAME = SUBJECT.replace("-", "_")
SECRETS = (BEARER, SUBJECT, AS_A_NAME, "secret-ASIA", "token-ASIA")


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Keeps what every logger says at DEBUG, with those pinned that the gateway pins."""
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, handler = logging.getLogger(), Keeping(logging.DEBUG)
    before = root.level, {name: logging.getLogger(name).level for name in PINNED}
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in PINNED:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        for name, level in before[1].items():
            logging.getLogger(name).setLevel(level)


def with_canaries(made: World) -> None:
    """Makes the copilot and alice known by tokens that are not to be seen again."""
    copilot = made.identity.actors[BEARER] = made.copilot
    made.user("alice", copilot)
    made.identity.subjects[SUBJECT] = made.identity.subjects["alice@copilot"]
    made.identity.actors[f"stranger-{BEARER}"] = replace(copilot, actor_id="corp:other", agent="other")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path, per_minute=40, per_actor=1) as made, served(made, tmp_path) as running:
        with_canaries(made)
        yield running


class Journey:
    """Calls a gateway in every way and keeps what it answers to failures."""

    def __init__(self, gateway: Served) -> None:
        self.gateway = gateway
        self.reasons: set[str] = set()
        self.told: list[str] = []
        self._number = 0

    def message(self, **fields: Any) -> IssueCredentialsRequest:
        """Returns a request of its own."""
        self._number += 1
        usual = {"request_id": f"4c1b7d52-3f0e-4a4e-9a3a-{self._number:012d}", "subject_token": SUBJECT}
        return issue_message(**{**usual, **fields})

    async def issue(self, message: IssueCredentialsRequest | None = None, bearer: str = BEARER) -> None:
        """Asks for credentials."""
        await self._kept(self.gateway.stub.IssueCredentials(message or self.message(), metadata=as_agent(bearer)))

    async def failing(self, failure: Exception) -> None:
        """Asks for credentials while STS fails so."""
        self.gateway.world.sts.failure = failure
        await self.issue()
        self.gateway.world.sts.failure = None

    async def _kept(self, call: Any) -> None:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            failure = failure_of(error)
            self.reasons.add(failure.info.reason)
            self.told += [repr(failure), repr(error)]
        else:
            self.reasons.add("OK")

    async def everywhere(self) -> None:
        """Goes through every way."""
        made, stub = self.gateway.world, self.gateway.stub
        await self.issue()
        await self.issue(self.message(subject_token=f"{SUBJECT}x"))
        await self.issue(self.message(), bearer=f"{BEARER}x")
        await self.issue(self.message(), bearer=f"{BEARER} {SUBJECT}")
        await self.issue(self.message(), bearer=f"stranger-{BEARER}")
        for fields in ({"request_id": SUBJECT}, {"task_id": SUBJECT}, {"intent": _misplaced("name")}):
            await self.issue(self.message(**fields))
        await self.issue(self.message(intent=_misplaced("value")))
        await self.issue(self.message(intent=TaskIntent(purpose=f"{SUBJECT}\n")))
        await self.issue(issue_message("arn:aws:s3:::payroll/*", subject_token=SUBJECT))
        await self._kept(stub.EndTask(EndTaskRequest(task_id="a" * 26), metadata=as_agent(BEARER)))
        preview = PreviewCredentialsRequest(subject_token=SUBJECT, intent=self.message().intent)
        await self._kept(stub.PreviewCredentials(preview, metadata=as_agent(BEARER)))
        await self.failing(Outage(Reason.STS_UNAVAILABLE, "AWS did not answer"))
        await self.failing(Denied(Reason.INTENT_TOO_LARGE, "AWS says that it is too large"))
        allowed = made.policy.answer
        for answer in (Outage(Reason.POLICY_UNAVAILABLE, "no answer"), ZeroDivisionError("no token")):
            made.policy.answer = answer
            await self.issue()
        made.policy.answer = Deny((PolicyReason("no", "policy says no", Remedy.GIVE_UP),))
        await self.issue()
        made.policy.answer = allowed
        await self._overloaded()
        for _ in range(40):
            await self.issue()

    async def _overloaded(self) -> None:
        """Asks while the agent's one place is taken, whose call then hangs up."""
        sts = self.gateway.world.sts
        sts.gate = asyncio.Event()
        sts.called.clear()
        running = asyncio.ensure_future(self.issue())
        await sts.called.wait()
        await self.issue()
        sts.gate.set()
        await running


def _misplaced(what: str) -> TaskIntent:
    """Returns an intent with a token where none belongs."""
    if what == "name":
        return TaskIntent(purpose="x", capabilities=[Capability(name=AS_A_NAME)])
    return TaskIntent(purpose="x", capabilities=[Capability(name="s3.read", parameters={"bucket": SUBJECT})])


async def test_g8_no_way_that_a_call_can_end_says_a_token_or_a_key(gateway: Served) -> None:
    journey = Journey(gateway)

    with everything_logged() as lines:
        await journey.everywhere()
        await gateway.world.rejections.write()

    assert journey.reasons >= {
        *("OK", "ACTOR_REJECTED", "SUBJECT_TOKEN_REJECTED", "TOKEN_NOT_BOUND", "INVALID_REQUEST", "CEILING_EXCEEDED"),
        *("NOT_FOUND", "STS_UNAVAILABLE", "INTENT_TOO_LARGE", "POLICY_UNAVAILABLE", "INTERNAL", "POLICY_DENIED"),
        *("OVERLOADED", "RATE_LIMITED"),
    }
    assert lines
    database = b"".join(file.read_bytes() for file in gateway.world.database.parent.glob("remit.sqlite3*"))
    said = "\n".join([*lines, *journey.told, database.decode("latin-1")])
    assert [secret for secret in SECRETS if secret in said] == []


CANARY = "canary-of-a-secret-0123456789"
MISTAKES = [
    ("[aws]", f'[aws]\nsecret_access_key = "{CANARY}"'),
    ("[aws]", f'[aws]\nexternal_id = "{CANARY}"'),
    ("sqlite:///data/remit.db", f"postgresql://remit:{CANARY}@db/remit"),
    ("sqlite:///data/remit.db", f"sqlite://remit:{CANARY}@host/remit.db"),
    ("https://login.acme.example", f"https://user:{CANARY}@login.acme.example"),
    ('region = "eu-central-1"', f'region = "{CANARY}'),
]


@pytest.mark.parametrize(("place", "mistake"), MISTAKES)
def test_g8_a_mistake_of_the_configuration_never_repeats_what_was_written_as_a_value(
    tmp_path: Path, place: str, mistake: str
) -> None:
    config = ConfigurationFolder.create(tmp_path).write(TEXT.replace(place, mistake))

    with pytest.raises((ConfigurationError, DatabaseRefused)) as raised:
        open_database(load(config, {}).database_url)

    assert CANARY not in f"{raised.value} {raised.value.__cause__!r}"
