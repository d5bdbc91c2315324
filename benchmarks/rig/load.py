"""The load generator, as a process of its own: `python -m benchmarks.rig.load PLAN` prints a run as JSON.

Closed loop: so many callers, each of whom asks again once answered. Open loop: calls fall due as in a Poisson process,
whatever became of those before, and a call's time counts from when it was due. Only gRPC's OK is an answer.
"""

import asyncio
import itertools
import json
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import uvloop
from benchmarks.rig.accounting import Run, Window, cpu_seconds

from remit.v1.credential_service_pb2 import (
    AttenuateCredentialsRequest,
    IssueCredentialsRequest,
    IssueCredentialsResponse,
    PreviewCredentialsRequest,
)
from remit.v1.types_pb2 import Capability, TaskIntent

SERVICE = "/remit.v1.CredentialService"
WARM_SECONDS = 1.5
DISTINCT_PREFIXES = 5000
CHANNELS = 4
GRANTS = 64  # of each of which a hundred parts may live at a time
KINDS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be asked of whom. `rate` None is the closed loop of `callers`; `pid` is whose CPU is counted."""

    what: str
    address: str
    authority: str
    certificate: str
    key: str
    tokens: str
    pid: int
    windows: int
    callers: int = 16
    rate: float | None = None

    def to_json(self) -> str:
        """Returns the plan as the argument of the process."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Tally:
    """Counts what came back."""

    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    answer_bytes: int = 0


class Callers:
    """Asks over a few connections."""

    def __init__(self, plan: Plan, channels: list[grpc.aio.Channel], grants: list[str]) -> None:
        method, self._messages = _asked(plan, grants)
        self._calls: Iterator[Any] = itertools.cycle([channel.unary_unary(method) for channel in channels])
        self.tally = Tally()

    async def ask(self, due: float) -> None:
        """Asks once and counts the answer."""
        try:
            answer: bytes = await next(self._calls)(self._messages(), timeout=20)
        except grpc.aio.AioRpcError as error:
            self.tally.failures[f"{error.code().name}: {error.details()}"] += 1
        else:
            self.tally.answers += 1
            self.tally.latencies.append(time.monotonic() - due)
            self.tally.answer_bytes = len(answer)

    async def closed(self) -> None:
        """Asks again and again."""
        while True:
            await self.ask(time.monotonic())

    async def opened(self, rate: float) -> None:
        """Lets calls fall due at random, so many a second on average."""
        chance = random.Random(7)  # noqa: S311 - arrivals, not secrets
        due = time.monotonic()
        async with asyncio.TaskGroup() as calls:
            while True:
                due += chance.expovariate(rate)
                if (pause := due - time.monotonic()) > 0:
                    await asyncio.sleep(pause)
                calls.create_task(self.ask(due))


def _asked(plan: Plan, grants: list[str]) -> tuple[str, Callable[[], bytes]]:
    """Returns the method, and a maker of messages: each with a request id of its own, tokens and intents in turn."""
    tokens = _tokens(plan)
    numbers = itertools.count()

    def intent(number: int) -> TaskIntent:
        prefix = f"2026/q{number % 4 + 1}/part-{number % DISTINCT_PREFIXES}/"
        reading = Capability(name="s3.read_prefix", parameters={"bucket": "reports", "prefix": prefix})
        return TaskIntent(purpose="summarise the quarter", capabilities=[reading])

    def issuing() -> bytes:
        number = next(numbers)
        token = tokens[number % len(tokens)]
        request_id = str(uuid.uuid4())
        return IssueCredentialsRequest(
            request_id=request_id, subject_token=token, intent=intent(number)
        ).SerializeToString()

    def previewing() -> bytes:
        number = next(numbers)
        token = tokens[number % len(tokens)]
        return PreviewCredentialsRequest(subject_token=token, intent=intent(number)).SerializeToString()

    def attenuating() -> bytes:
        number = next(numbers)
        bucket = {"bucket": "reports", "key": f"2026/q{number % 4 + 1}/part-{number % DISTINCT_PREFIXES}/report.csv"}
        reading = TaskIntent(purpose="read one", capabilities=[Capability(name="s3.read_object", parameters=bucket)])
        message = AttenuateCredentialsRequest(
            request_id=str(uuid.uuid4()), name=grants[number % len(grants)], intent=reading
        )
        message.requested_duration.FromSeconds(15)
        return message.SerializeToString()

    match plan.what:
        case "attenuate":
            return f"{SERVICE}/AttenuateCredentials", attenuating
        case "issue":
            return f"{SERVICE}/IssueCredentials", issuing
        case "preview":
            return f"{SERVICE}/PreviewCredentials", previewing
        case _:
            return "/bench.Echo/Echo", issuing


def _tokens(plan: Plan) -> list[str]:
    """Returns the users' tokens, which are used in turn."""
    return Path(plan.tokens).read_text(encoding="ascii").split()


async def measured(plan: Plan) -> Run:
    """Warms up, then measures windows of one second."""
    channels = _channels(plan)
    grants = [await _grant(plan, channels[0]) for _ in range(GRANTS)] if plan.what == "attenuate" else []
    callers = Callers(plan, channels, grants)
    loops = [callers.closed() for _ in range(plan.callers)] if plan.rate is None else [callers.opened(plan.rate)]
    tasks = [asyncio.create_task(loop) for loop in loops]
    await asyncio.sleep(WARM_SECONDS)
    callers.tally.latencies.clear()
    windows = [await _window(plan.pid, callers.tally) for _ in range(plan.windows)]
    latencies = tuple(callers.tally.latencies)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for channel in channels:
        await channel.close()
    seen = tuple(f"{count} x {kind[:200]}" for kind, count in callers.tally.failures.most_common(KINDS_SHOWN))
    return Run(tuple(windows), latencies, seen, callers.tally.answer_bytes)


async def _grant(plan: Plan, channel: grpc.aio.Channel) -> str:
    """Has a grant issued of which parts are to be asked for: all that the analysts may read."""
    token = _tokens(plan)[0]
    reading = Capability(name="s3.read_prefix", parameters={"bucket": "reports", "prefix": "2026/"})
    intent = TaskIntent(purpose="summarise the year", capabilities=[reading])
    request = IssueCredentialsRequest(request_id=str(uuid.uuid4()), subject_token=token, intent=intent)
    issue: Any = channel.unary_unary(f"{SERVICE}/IssueCredentials")
    return IssueCredentialsResponse.FromString(await issue(request.SerializeToString(), timeout=20)).grant.name


def _channels(plan: Plan) -> list[grpc.aio.Channel]:
    """Opens a few connections with the agent's certificate."""
    files = (Path(name).read_bytes() for name in (plan.authority, plan.key, plan.certificate))
    credentials = grpc.ssl_channel_credentials(*files)
    options = [("grpc.use_local_subchannel_pool", 1)]
    return [grpc.aio.secure_channel(plan.address, credentials, options) for _ in range(CHANNELS)]


async def _window(pid: int, tally: Tally) -> Window:
    """Returns what happened within the next second."""
    answers, failures = tally.answers, tally.failures.total()
    cpu, start = cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(1)
    wall, spent = time.monotonic() - start, cpu_seconds(pid) - cpu
    return Window(tally.answers - answers, tally.failures.total() - failures, spent, wall)


if __name__ == "__main__":
    print(uvloop.run(measured(Plan(**json.loads(sys.argv[1])))).to_json())
