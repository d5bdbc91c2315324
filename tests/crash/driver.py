"""Runs crash rounds: imports everything once, then forks a process of a gateway for each round, which is killed.

One job a line comes in on stdin. What the gateways of a round tell goes to stdout as it happens, and a line "over" with
what became of them ends it. No thread lives here when it forks.
"""

import asyncio
import gc
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.crash.caller import Caller
from tests.crash.gateway import Gateway, Login, opened_gateway
from tests.crash.mutants import LATE, MUTANTS
from tests.crash.scripts import SCRIPTS
from tests.crash.steps import Steps, hook_databases

Job = Mapping[str, Any]
FINISHED, FAILED = 0, 1
STUCK_AFTER = 60.0


async def serve(job: Job, steps: Steps, armed: int) -> None:
    """Starts as a gateway does after a crash: sweeps, is asked again what was not answered, then plays its script."""
    async with opened_gateway(job["place"], datetime.fromisoformat(job["time"]), job["revision"], steps) as opened:
        caller = Caller(_mutated(opened, job), job["round"])
        if not job["repeats_first"]:
            await caller.sweep()
        await _repeat(caller, job["repeats"])
        if job["repeats_first"]:
            await caller.sweep()
        script = SCRIPTS[job["script"]](caller)
        await anext(script)
        steps.tell("armed")
        os.write(armed, b"!")
        steps.is_armed, began = True, time.monotonic()
        await anext(script, None)
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == LATE))
        steps.is_armed = False
        steps.tell("finished", steps=steps.count, seconds=time.monotonic() - began)
        opened.sts.gate.set()
        await asyncio.gather(*caller.asking)


def _mutated(gateway: Gateway, job: Job) -> Gateway:
    return MUTANTS[job["mutant"]](gateway) if job["mutant"] else gateway


async def _repeat(caller: Caller, asked: Sequence[Job]) -> None:
    """Asks again, with a new login of the same user: what came of it is for the judge."""
    for one in asked:
        if "renews" in one:  # a renewal is not remembered
            continue
        login = Login(one["user"], one["agent"], caller.gateway.clock.now(), one["jti"])
        await caller.ask(login, request_id=one["request"], task=one["task"])


def play(job: Job, child: int, armed: int) -> None:
    """Plays one child of a round, in a process of its own."""
    steps = Steps(sys.stdout.fileno(), child, job["kill_at"] if child == job["killed"] else None)
    try:
        hook_databases(steps)
        own = {**job, "script": job["scripts"][child], "round": f"{job['round']}{'abcdef'[child]}"}
        if child:
            own["repeats"] = ()
        asyncio.run(serve(own, steps, armed))
    except BaseException:  # noqa: BLE001 - whoever judges has to know
        steps.tell("broken", why=traceback.format_exc()[-3000:])
        os._exit(FAILED)
    os._exit(FINISHED)


def run(job: Job) -> None:
    """Forks the children of a round, kills the one that is to be killed from outside, and waits for all."""
    assert threading.active_count() == 1
    told, armed = os.pipe()
    children = []
    for number in range(len(job["scripts"])):
        pid = os.fork()
        if pid == 0:
            os.close(told)
            play(job, number, armed)
        children.append(pid)
    os.close(armed)
    if job["kill_after"] is not None:
        _kill_later(children[job["killed"]], told, len(children), job["kill_after"])
    ends = [_end_of(pid) for pid in children]
    os.close(told)
    Steps(sys.stdout.fileno()).tell("over", ends=ends)


def _kill_later(pid: int, told: int, children: int, seconds: float) -> None:
    """Kills a child so many seconds after all of them are at it."""
    for _ in range(children):
        select.select([told], [], [], STUCK_AFTER)
        os.read(told, 1)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # not waited for yet, so the id is its own, also when it has ended


def _end_of(pid: int) -> int:
    """Returns how a child ended: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def rehearse(place: str) -> None:
    """Plays every script once without a kill, in this process: what is compiled and imported then, each child has.

    Its threads end with it.
    """
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a file that is none
        for number, name in enumerate(sorted(SCRIPTS)):
            job = {
                "place": place,
                "script": name,
                "round": f"rehearsal{number}a",
                "time": datetime.now(UTC).isoformat(),
                "revision": f"{number:064x}",
                "repeats": (),
                "repeats_first": False,
                "mutant": None,
            }
            asyncio.run(serve(job, Steps(nowhere.fileno()), nowhere.fileno()))


def main() -> None:
    """Runs jobs until there are no more."""
    with tempfile.TemporaryDirectory() as folder:
        rehearse(f"{folder}/rehearsal.db")
    gc.freeze()  # a child that collects what it shares with its parent would have to copy it first
    for line in sys.stdin:
        job = json.loads(line)
        if "rehearse" in job:
            rehearse(job["rehearse"])
            Steps(sys.stdout.fileno()).tell("over", ends=())
        else:
            run(job)


if __name__ == "__main__":
    main()
