"""Agents that ask a gateway process for credentials, and what they hear."""

import asyncio
import json
import os
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from tests.e2e.gateways import OwnGateway
from tests.fake_sts import FakeSts
from tests.faults.rig.sinks import token_of
from tests.transport.gateway_server import failure_of

from remit.v1 import credential_service_pb2 as messages
from remit.v1.types_pb2 import Permission, TaskIntent

PATIENCE = 150.0  # of a test that waits for something; nothing is judged by it
PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller heard: a code, a reason, words, and the access key id where there were credentials."""

    code: str
    reason: str = ""
    words: str = ""
    access_key_id: str = ""

    @property
    def short(self) -> str:
        """The code and the reason as the tables write them."""
        return f"{self.code} {self.reason}".strip()


@dataclass
class Asked:
    """A gateway process that is asked by agents, with the STS behind it; `issuers` are those of users, by name."""

    gateway: OwnGateway
    stub: Any
    sts: FakeSts
    issuers: dict[str, str]
    answers: list[Answer] = field(default_factory=list, kw_only=True)

    @property
    def log(self) -> str:
        """What the gateway has said so far."""
        return self.gateway.log_path.read_text()

    @property
    def resident(self) -> int:
        """The bytes of the gateway's process that are in memory."""
        return resident(self.gateway.process.pid)

    async def ask(
        self,
        *,
        issuer: str = "issuer",
        kid: str = "rsa",
        action: str = "s3:GetObject",
        token: str | None = None,
        stub: Any = None,
    ) -> Answer:
        """Asks for credentials for the reports of a quarter, and returns what was heard."""
        intent = TaskIntent(
            purpose="summarise Q3",
            permissions=[Permission(actions=[action], resources=["arn:aws:s3:::reports/2026/q3/*"])],
        )
        request = messages.IssueCredentialsRequest(
            request_id=str(uuid.uuid4()),
            subject_token=token or token_of(self.issuers[issuer], kid=kid),
            intent=intent,
            requested_duration=Duration(seconds=900),
        )
        try:
            given = await (stub or self.stub).IssueCredentials(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            answer = Answer(error.code().name, _reason(error), str(error.details()))
        else:
            what = "" if given.HasField("credentials") else "PENDING"
            answer = Answer("OK", what, access_key_id=given.credentials.access_key_id)
        self.answers.append(answer)
        return answer

    async def until_ok(self, **question: Any) -> Answer:
        """Asks until there are credentials: a gateway recovers by itself."""

        async def is_ok() -> bool:
            return (await self.ask(**question)).short == "OK"

        await until(is_ok)
        return self.answers[-1]

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Returns what the ledger holds, read beside the gateway."""
        raise NotImplementedError

    async def records(self, after: int = 0) -> list[tuple[str, dict[str, Any]]]:
        """Returns kind and body of what is on record after the first so many."""
        statement = f"SELECT kind, body FROM audit_events WHERE sequence > {after} ORDER BY sequence"  # noqa: S608
        return [(kind, json.loads(body)) for kind, body in await self.rows(statement)]

    async def state(self, grant_id: str) -> str:
        """Returns the state of a grant."""
        ((found,),) = await self.rows(f"SELECT state FROM grants WHERE grant_id = '{grant_id}'")  # noqa: S608
        return str(found)

    async def recorded(self) -> int:
        """Returns how many records there are."""
        return len(await self.records())

    async def kinds(self, after: int) -> Counter[str]:
        """Returns how many records of each kind came after the first so many."""
        return Counter(kind for kind, _ in await self.records(after))

    async def has(self, after: int, kind: str) -> bool:
        """Says whether there is a record of this kind after the first so many."""
        return kind in await self.kinds(after)

    async def unrecorded(self) -> list[str]:
        """Returns the access keys that a caller was given and of which there is no record (promise 1)."""
        known = {body.get("access_key_id") for _, body in await self.records()}
        return [answer.access_key_id for answer in self.answers if answer.access_key_id not in {*known, ""}]


async def until(holds: Callable[[], Awaitable[object]], *, every: float = PAUSE) -> None:
    """Returns once it holds; raises TimeoutError when that takes very long."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await holds():
                return
            await asyncio.sleep(every)


def resident(pid: int) -> int:
    """Returns the bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _reason(error: grpc.aio.AioRpcError) -> str:
    """Returns the reason of a failed call; what the library itself says has none."""
    has_details = "grpc-status-details-bin" in dict(error.trailing_metadata() or ())
    return failure_of(error).info.reason if has_details else ""
