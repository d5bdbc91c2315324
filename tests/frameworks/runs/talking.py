"""Runs one agent through the turns of a script, and tells what happened."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from chosen import framework
from scripted import Scripted
from tooled import Kept, tools_on

import remit
from remit.frameworks import RunTask

Facts = dict[str, Any]
Q3 = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")


def gateway() -> remit.Gateway:
    """Returns the real client of the copilot."""
    env = os.environ
    files = {"ca_file": env["REMIT_CA"], "certificate_file": env["REMIT_CERTIFICATE"], "key_file": env["REMIT_KEY"]}
    return remit.Gateway(env["REMIT_TARGET"], **files)


def run_task(to: remit.Gateway, user: str = "ALICE", **more: Any) -> RunTask:
    """Returns the task for a run in a user's name."""
    return RunTask(to, "summarise Q3", subject_token=os.environ[f"{user}_TOKEN"], **({"allow": Q3} | more))


def is_over_at(to: remit.Gateway, task_id: str) -> bool:
    """Says whether the gateway gives nothing to this task any more."""
    try:
        with to.task("look", subject_token=os.environ["ALICE_TOKEN"], allow=Q3, task_id=task_id):
            return False
    except (remit.TaskOver, remit.NotFound):
        return True


def facts(kept: Kept, script: Scripted, **more: Any) -> Facts:
    """Returns what every scenario tells: what the model saw last, and whether any key was in what it saw."""
    seen = "".join(script.seen)
    shown = any(key in seen for key in kept.keys)
    return {"keys": len(kept.keys), "keys_shown": shown, "seen": seen[-20_000:], "tasks": len(kept.tasks), **more}


def steps(*turns: Any) -> Callable[[list[str]], Any]:
    """Returns a script of these turns; a function makes a turn of the results so far."""
    left = list(turns)

    def turn(results: list[str]) -> Any:
        step = left.pop(0)
        return step(results) if callable(step) else step

    return turn


async def talked(turns: Any, names: list[str], mode: str = "run", **options: Any) -> Facts:
    """Runs one agent with these tools through these turns, and tells how it ended."""
    kept, results = Kept(), []

    def noted(shown: list[str]) -> Any:
        results[:] = shown
        return turns(shown)

    script = Scripted(noted)
    made = tools_on(kept)
    agent = framework.build([made[name] for name in names], script)
    said, failed = "", ""
    with gateway() as to:
        try:
            if mode == "sync":
                said = await asyncio.to_thread(in_a_block, agent, to, options)
            else:
                async with run_task(to, **options) as aws:
                    if mode == "run":
                        said = await framework.run(agent, "What of Q3?", aws)
                    else:
                        events = [event async for event in framework.stream(agent, "What of Q3?", aws)]
                        said = f"{len(events)} events"
        except Exception as error:  # noqa: BLE001 - the scenario tells how its run failed
            failed = f"{type(error).__name__}: {error}"
        over_at_gateway = [is_over_at(to, task_id) for task_id in kept.tasks]
    return facts(kept, script, said=said, failed=failed, results=results, over=kept.are_over(), gateway=over_at_gateway)


def in_a_block(agent: Any, to: remit.Gateway, options: Any) -> str:
    """Runs without an event loop."""
    with run_task(to, **options) as aws:
        return str(framework.run_sync(agent, "What of Q3?", aws))
