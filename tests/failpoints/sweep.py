"""Sweeps one use case: an error out of its first point, its second, and so on until there are no more."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Container, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.crash.caller import Caller
from tests.crash.extent import EXTENDED
from tests.crash.gateway import Gateway, opened_gateway
from tests.crash.judge import Judge
from tests.crash.judge_revokes import CHECKS
from tests.crash.snapshot import Snapshot, snapshot
from tests.crash.steps import Stepped
from tests.failpoints.boundaries import boundaries
from tests.failpoints.points import WAITING, Fault, Kind, Points, When, swept, task_factory
from tests.failpoints.real_sts import asking
from tests.failpoints.scripts import SCRIPTS
from tests.fake_sts import FakeSts, Request
from tests.fakes import ROLES

from remit_server.application.admission import Admission, Budget, Places, Rejections
from remit_server.application.ports import AssumeRole
from remit_server.domain.entitlement import AssumedBy
from remit_server.domain.errors import RemitError
from remit_server.domain.grant import GrantState
from remit_server.domain.identity import Actor, ActorKind
from remit_server.domain.identity import Caller as Called

PATIENCE: Final = 30.0
_AT_A_WAIT: Final = tuple((kind, when) for kind in Kind for when in When)
_AT_AN_EDGE: Final = tuple((kind, When.BEFORE) for kind in Kind)  # nothing is awaited there: one time is as the other
Mutant = Callable[[Gateway], Gateway]


@dataclass
class Swept:
    """What a sweep of one use case found."""

    faults: int = 0
    given: int = 0
    wrong: list[str] = field(default_factory=list)
    passed: set[tuple[str, int]] = field(default_factory=set)
    places: list[str] = field(default_factory=list)


@dataclass
class Ground:
    """A gateway in this process, and the judge of its database."""

    gateway: Gateway
    sts: FakeSts
    place: Path
    points: Points
    admit: Admission
    judge: Judge = field(default_factory=lambda: Judge(CHECKS))
    found: Swept = field(default_factory=Swept)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _asked_for: dict[str, str] = field(default_factory=dict)

    async def sweep(self, name: str, known: Container[str] = (), *, at: str = "") -> Swept:
        """Puts errors out of the points, and then looks at all that came of it.

        One error a point, by turns, and none out of a point that is `known` from another use case; in the extended
        tests every error out of every point. With `at` only out of points whose place begins so.
        """
        waits, edges = itertools.cycle(_AT_A_WAIT), itertools.cycle(_AT_AN_EDGE)
        await self._play(name, None)
        places = list(self.points.met)
        self.found.places = places
        for number, place in enumerate(places):
            every, turns = (_AT_A_WAIT, waits) if place.startswith(WAITING) else (_AT_AN_EDGE, edges)
            if not place.startswith(at) or (place in known and not EXTENDED):
                continue
            for kind, when in every if EXTENDED else itertools.islice(turns, 1):
                await self._play(name, Fault(place, places[: number + 1].count(place), kind, when))
        await self._reckon(name)
        return self.found

    async def _play(self, name: str, fault: Fault | None) -> None:
        """Plays the script with one fault, or with none."""
        points, caller = self.points, Caller(self.gateway, f"f{next(self._numbers)}a")
        points.fault, points.count, points.hit, points.is_armed = fault, 0, "", False
        points.met.clear()
        script = SCRIPTS[name](caller)
        await anext(script)
        began, asked = len(points.lines), len(self.sts.requests)
        points.is_armed = True
        task = asyncio.create_task(swept(points, self._through_the_door(anext(script, None))))
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        points.is_armed = False
        where = f"{name}: {fault and (fault.kind.value, fault.when.value)} at point {points.count}: {points.hit}"
        if not done:
            task.cancel()
            self.found.wrong.append(f"{where}: it hangs")
        await self._judge(where, task, began)
        self._asked_for |= {_grant_of(one): where for one in self.sts.requests[asked:] if one.tags}

    async def _through_the_door(self, call: Any) -> None:
        """Calls as the interceptor does: admitted, in one of the caller's places."""
        async with self.admit(Called("127.0.0.1"), "IssueCredentials"):
            await call

    async def _judge(self, where: str, task: asyncio.Task[None], began: int) -> None:
        """Looks whether anything is still held and whether the next call works; what is on record is judged later."""
        points = self.points
        await asyncio.wait_for(self.gateway.issue.to_the_end.settled(), PATIENCE)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            points.note_passed(error)
        points.note_all()
        self.sts._faults.clear()
        self.found.passed |= points.passed
        self.found.faults += bool(points.hit)
        self.found.given += any(line["what"] == "given" for line in points.lines[began:])
        self.found.wrong.extend(f"{where}: {held} is still held" for held in self._held())
        if EXTENDED or self.found.faults % 3 == 1:
            await self._next_works(where)

    def _held(self) -> Iterator[str]:
        """Yields what a call should have given back."""
        gateway = self.gateway
        for name, case in (("issue", gateway.issue), ("renew", gateway.renew), ("attenuate", gateway.attenuate)):
            if case.flights._flights:
                yield f"a flight of {name}"
        if self.admit.places._taken:
            yield "a place of its caller"
        if gateway.issue.to_the_end._running:
            yield "work"

    async def _next_works(self, where: str) -> None:
        """Asks again, as the next caller does."""
        caller = Caller(self.gateway, f"f{next(self._numbers)}a")
        try:
            async with asyncio.timeout(PATIENCE), self.admit(Called("127.0.0.1"), "IssueCredentials"):
                given = await caller.ask(caller.login())
        except (RemitError, TimeoutError) as error:
            self.found.wrong.append(f"{where}: the next call fails: {error}")
        else:
            if given is None:
                self.found.wrong.append(f"{where}: the next call is refused")

    async def _reckon(self, name: str) -> None:
        """Two minutes later the sweeper has been: whatever STS made and nobody was given is on record as that."""
        points, caller = self.points, Caller(self.gateway, f"f{next(self._numbers)}a")
        asked = [{"what": "sts", "child": 0, "form": _tagged(one), "time": ""} for one in self.sts.requests]
        self.judge.hear([*asked, *points.lines], snapshot(self.place))
        points.lines.clear()
        self.gateway.clock.move(seconds=120)
        await caller.sweep()
        self.judge.hear(points.lines, after := snapshot(self.place, self.judge.latest))
        self.found.wrong.extend(f"{name}: {one.rule}: {one.where}" for one in self.judge.found)
        for grant_id, told in _unaccounted(self.sts.requests, after):
            self.found.wrong.append(f"{self._asked_for.get(grant_id, name)}: {told}")


def _unaccounted(requests: Sequence[Request], after: Snapshot) -> Iterator[tuple[str, str]]:
    """Yields the grants for which STS made a session, and of which the ledger says that there is none."""
    kept = {row["access_key_id"] for row in after.tables["issuances"]}
    for request in requests:
        if request.issued is None or request.issued.access_key_id in kept:
            continue
        grant_id = _grant_of(request)
        state = after.grants[grant_id]["state"]
        if state in {GrantState.AUTHORIZED, GrantState.FAILED}:
            yield grant_id, f"STS made credentials for {grant_id}, which is {state}"


def _tagged(request: Request) -> dict[str, str]:
    """Returns the form of a request with its session tags, which came in a token where there is one."""
    form = dict(request.form)
    if "WebIdentityToken" in form:
        for number, (key, value) in enumerate(request.tags.items(), 1):
            form |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value}
    return form


def _grant_of(request: Request) -> str:
    """Returns the id of the grant that a request is tagged with."""
    return request.tags["remit:grant"].split(".")[2]


async def _anybody(_caller: Called) -> Actor:
    """Knows everybody as one agent (implements `Authenticate`)."""
    return Actor("corp:door", ActorKind.OIDC, "https://idp.example", agent="door")


@asynccontextmanager
async def ground(
    place: Path, mutant: Mutant = lambda gateway: gateway, *, by: AssumedBy = AssumedBy.ROLE_CHAINING
) -> AsyncIterator[Ground]:
    """Opens a gateway on an empty ledger, before a strict STS, with every await of its calls a point."""
    points = Points(out=-1)
    loop = asyncio.get_running_loop()
    roles = tuple(replace(role, assumed_by=by) for role in ROLES)
    async with (
        asking(roles, place.parent, by) as (sts, adapter),
        opened_gateway(str(place), datetime.now(UTC), "f" * 64, points, roles) as opened,
    ):
        gateway = mutant(_with_real_sts(opened, adapter, points, f"STS by {by}"))
        admit = Admission(
            Stepped(_anybody, "authenticate", points),
            Rejections(gateway.ledger, gateway.clock),
            gateway.ledger,
            {"IssueCredentials": Budget(gateway.clock, 10_000_000)},
            Places(1),
        )
        loop.set_task_factory(task_factory(points))
        told: Any = sts
        gateway.sts = told  # scripts tell it what goes wrong
        try:
            with boundaries(points):
                yield Ground(gateway, sts, place, points, admit)
        finally:
            loop.set_task_factory(None)


def _with_real_sts(gateway: Gateway, adapter: AssumeRole, points: Points, name: str) -> Gateway:
    """Has the use cases ask a real adapter, and identity and policy in points."""
    asked: Any = Stepped(adapter, name, points)
    hearing = gateway.issue.hearing
    policy: Any = Stepped(hearing.policy, "policy", points)
    verify: Any = Stepped(hearing.verify, "verify", points)
    hearing = replace(hearing, policy=policy, verify=verify)
    gateway.issue = replace(gateway.issue, assume_role=asked, hearing=hearing)
    gateway.renew = replace(gateway.renew, assume_role=asked, hearing=hearing)
    gateway.attenuate = replace(gateway.attenuate, assume_role=asked, hearing=hearing)
    return gateway
