"""Measures replays: inputs a second and a core, by worker processes, on the default policy and on an edit of it.

`python -m benchmarks.replay` records 100,000 decisions by the ledger's own operations, which takes some minutes: the
requests are verified by a fake, planned and recorded for real; policy is asked once for each kind of request, and every
thousandth time again, which must give the same. Then it replays them. `--decisions N` records fewer. CPU is of this
process and of its workers together, without their start.
"""

import argparse
import asyncio
import os
import resource
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.rig.accounting import calibration
from tests.fakes import NOON, permission
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import DRAFT, ORDER, REPORT, Recorded, edited, known, known_archive, recording

from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import own_reader
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.issuing.grants import authorization_of
from remit_server.application.issuing.hearing import Case, Hearing
from remit_server.application.issuing.refusals import refusal_record
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.running import Run
from remit_server.application.ports import RequestKey
from remit_server.domain.decision import Decision
from remit_server.domain.errors import Denied
from remit_server.domain.permission import Permission
from remit_server.domain.task import GrantId, opaque_id

LANES = 8  # as many hard intents of one agent as are proven at a time
one_at_a_time = asyncio.Lock()
CHECKED_EVERY = 1_000
USERS = 500


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request: who of which group asks for what, and how many in a hundred are so."""

    group: str
    share: int
    permissions: Callable[[int], tuple[Permission, ...]]
    narrow: bool = False


def _report(number: int) -> tuple[Permission, ...]:
    return (permission("s3:GetObject", f"arn:aws:s3:::reports/2026/q{number % 4}/{number}.csv"),)


KINDS = (
    Kind("analysts", 55, _report),
    Kind(
        "engineers",
        20,
        lambda number: (permission(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::reports/drafts/{number}.md"),),
    ),
    Kind("engineers", 10, lambda _: (ORDER,)),
    Kind("analysts", 5, lambda number: (*_report(number), DRAFT), narrow=True),
    Kind("analysts", 5, lambda _: (DRAFT,)),
    Kind("guests", 5, lambda _: (REPORT,)),
)


def kinds() -> Iterator[tuple[int, Kind]]:
    """Yields kinds of requests in their shares, mixed, without end."""
    placed = [((place + 0.5) / kind.share, number) for number, kind in enumerate(KINDS) for place in range(kind.share)]
    mixed = [KINDS[number] for _, number in sorted(placed)]
    count = 0
    while True:
        for kind in mixed:
            yield count, kind
            count += 1


async def recorded(gateway: Recorded, decisions: int) -> float:
    """Records so many decisions; returns how long that took."""
    hearing, ledger = gateway.world.issue.hearing, gateway.world.ledger
    for kind in {kind.group for kind in KINDS}:
        for number in range(USERS):
            known(gateway.world, f"{kind}-{number}", kind, "copilot", "spiffe://remit.sandbox/agent/copilot")
    answers: dict[int, Decision] = {}
    wanted = kinds()

    async def lane() -> None:
        for number, kind in wanted:
            if number >= decisions:
                return
            await one(number, kind)

    async def one(number: int, kind: Kind) -> None:
        request = gateway.world.request(
            *kind.permissions(number), user=f"{kind.group}-{number % USERS}", narrow=kind.narrow
        )
        time = NOON + timedelta(seconds=number / 10)
        case = await _decided(hearing, Case(request.ask, time), answers, kind, check=number % CHECKED_EVERY == 0)
        key = RequestKey(case.actor.actor_id, request.request_id, secrets.token_hex(32))
        try:
            plan = await hearing.planned(case)
        except Denied as denied:
            record = refusal_record(
                denied,
                case,
                request_id=request.request_id,
                method="IssueCredentials",
                ceiling_digest=gateway.kept.digest,
            )
            await ledger.refuse(key, denied, record, kept=case.basis.texts if case.basis else ())
            return
        grant_id = GrantId(opaque_id(secrets.token_bytes(17)))
        await ledger.authorize(authorization_of(case, key, plan, grant_id, secrets.token_bytes))

    begun = perf_counter()
    await asyncio.gather(*(lane() for _ in range(LANES)))
    return perf_counter() - begun


async def _decided(hearing: Hearing, case: Case, answers: dict[int, Decision], kind: Kind, *, check: bool) -> Case:
    """Returns the case with policy's answer: asked for the first of its kind, and again where it is to be checked."""
    case = hearing.questioned(await hearing.verified(case))
    known_answer = answers.get(id(kind))
    if known_answer is not None and not check:
        return replace(case, decision=known_answer)
    async with one_at_a_time:
        case = await hearing.decided(case)
    if case.decision is None:
        raise AssertionError("policy was not asked")
    if known_answer is not None and known_answer.kept.text != case.decision.kept.text:
        raise AssertionError("policy answers this kind of request in two ways")
    answers[id(kind)] = case.decision
    return case


async def replayed(place: Path, policies: Path, jobs: int) -> tuple[Report, float, float]:
    """Returns the report of a replay, how long it took without the start of its workers, and the CPU time of all."""
    async with own_reader(place) as reader, OpenTeam(jobs)(known_archive(policies)) as team:
        wall, cpu = perf_counter(), _cpu() + _cpu_with(team.pids)
        outcomes = [
            one
            async for one in Run(DatabaseHistory(reader), team)(datetime.min.replace(tzinfo=NOON.tzinfo), most=10**6)
        ]
        wall, cpu = perf_counter() - wall, _cpu_with(team.pids) + _cpu() - cpu
    report = outcomes[-1]
    if not isinstance(report, Report):
        raise TypeError("a replay ends with its report")
    return report, wall, cpu


def _cpu() -> float:
    """Returns the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_with(pids: frozenset[int]) -> float:
    """Returns the CPU seconds of these processes and the Rego processes that they started."""
    ticks = os.sysconf("SC_CLK_TCK")
    stats = [
        entry.joinpath("stat").read_text().rpartition(")")[2].split()
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_of(int(entry.name), pids)
    ]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / ticks


def _is_of(pid: int, pids: frozenset[int]) -> bool:
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return pid in pids or parent in pids


def widened(folder: Path) -> Path:
    """Returns policies by which analysts may write reports: a difference for most of the inputs."""
    more: dict[str, Any] = {"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::reports/2026/*"], "conditions": []}
    return edited(folder, catalogue=lambda tree: tree["entitlements"]["reports-reader"]["permissions"].append(more))


async def main() -> None:
    """Records, then replays with one worker and with one on each core."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--decisions", type=int, default=100_000)
    decisions = parser.parse_args().decisions
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"
    print(f"calibration {calibration():.1f} ms, load {os.getloadavg()[0]:.1f}, {machine}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / "ledger.db"
        async with recording(place) as gateway:
            took = await recorded(gateway, decisions)
        size = place.stat().st_size / decisions / 1024
        print(f"recorded {decisions:,} decisions in {took:.0f} s, {size:.1f} KiB each on disk")
        for label, policies in (("itself", DEFAULT_POLICIES), ("an edit", widened(folder / "wider"))):
            for jobs in (1, os.cpu_count() or 1):
                report, wall, cpu = await replayed(place, policies, jobs)
                if report.decisions != decisions:
                    raise AssertionError(f"{report.decisions} of {decisions} were replayed")
                told = ", ".join(f"{count:,} {verdict}" for verdict, count in report.verdicts.items())
                print(
                    f"on {label}, {jobs} worker(s): {decisions / wall:,.0f} inputs/s, {cpu / decisions * 1000:.2f} "
                    f"ms CPU each ({decisions / cpu:,.0f} per CPU second); {told}"
                )
        print(f"resident at most, this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
        print(f"calibration {calibration():.1f} ms, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main())
