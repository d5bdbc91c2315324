"""Runs of an agent in one framework against the live sandbox; prints what happened in each as one JSON object.

`python scenarios.py langchain`, in that framework's environment, with the sandbox's addresses in the environment.
"""

import ast
import asyncio
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from chosen import framework
from scripted import Call, Scripted
from talking import Q3, Facts, facts, gateway, run_task, steps, talked
from tooled import Kept, read, tools_on

from remit.frameworks import RunTask

SUMMARY, REVENUE, Q2 = "2026/q3/summary.md", "2026/q3/revenue.csv", "2026/q2/summary.md"
DRAFTS = "s3:PutObject=arn:aws:s3:::reports/drafts/*"
PUBLISH = "s3:PutObject=arn:aws:s3:::reports/2026/q3/board.md"
ORDERS = "dynamodb:GetItem=arn:aws:dynamodb:eu-central-1:111122223333:table/orders"
EVERYTHING = "s3:GetObject=arn:aws:s3:::reports/*"


def both(results: list[str]) -> list[Call]:
    """Reads two reports at once."""
    del results
    return [Call("read_report", {"key": SUMMARY}), Call("read_later", {"key": REVENUE})]


async def reads() -> Facts:
    return await talked(steps(both, "done"), ["read_report", "read_later"])


async def reads_without_a_loop() -> Facts:
    twice = [Call("read_report", {"key": SUMMARY}), Call("read_report", {"key": REVENUE})]
    return await talked(steps(twice, "done"), ["read_report"], "sync")


async def streams() -> Facts:
    return await talked(steps(both, "done"), ["read_report", "read_later"], "stream")


async def asks_nothing() -> Facts:
    """A run without a tool call on AWS begins no task: with this token it could not."""
    kept, script = Kept(), Scripted(steps("nothing to do"))
    agent = framework.build([tools_on(kept)["read_report"]], script)
    with gateway() as to:
        async with RunTask(to, "idle", subject_token="no token", allow=Q3) as aws:
            said = await framework.run(agent, "What of Q3?", aws)
            return facts(kept, script, said=said, held=len(aws.holds))


async def narrows() -> Facts:
    """Too much is refused; the model takes the offer, and its tool works."""

    def offer(results: list[str]) -> list[Call]:
        return [Call("request_aws_access", {"allow": json.loads(results[-1])["offer"], "why": "to read Q3"})]

    again = [Call("read_report", {"key": SUMMARY})]
    turns = steps([Call("read_report", {"key": SUMMARY})], offer, again, "done")
    return await talked(turns, ["read_report", "request"], allow=EVERYTHING)


async def asks_for_more() -> Facts:
    """AWS denies; the model asks for what it is told it lacks, and holds both then."""

    def lacking(results: list[str]) -> list[Call]:
        return [Call("request_aws_access", {"allow": json.loads(results[-1])["ask_for"], "why": "to keep a draft"})]

    draft = {"name": f"{framework.__name__}.md", "text": "Q3"}
    write, look = [Call("write_draft", draft)], [Call("read_report", {"key": SUMMARY})]
    turns = steps(write, lacking, write, look, "done")
    return await talked(turns, ["read_report", "write_draft", "request"], at_most=[DRAFTS])


async def asks_beyond() -> Facts:
    """What the developer did not set as the most is refused before the gateway is asked."""
    beyond = [Call("request_aws_access", {"allow": ["s3:PutObject=arn:aws:s3:::reports/*"], "why": ""})]
    return await talked(steps(beyond, "done"), ["request"], at_most=[DRAFTS])


async def denied_beyond() -> Facts:
    """What AWS denies and the run may not ask for is to be given up."""
    write = [Call("write_draft", {"name": "a.md", "text": "Q3"})]
    return await talked(steps(write, "done"), ["write_draft", "request"])


async def asks_of_another_role() -> Facts:
    """What one set of credentials cannot hold replaces what there was."""
    turns = steps(
        [Call("read_report", {"key": SUMMARY})],
        [Call("request_aws_access", {"allow": [ORDERS], "why": "the order"})],
        [Call("read_order", {"pk": "customer#1"})],
        "done",
    )
    return await talked(turns, ["read_report", "read_order", "request"], at_most=[ORDERS])


async def waits_for_people() -> Facts:
    turns = steps([Call("request_aws_access", {"allow": [PUBLISH], "why": "for the board"})], "done")
    return await talked(turns, ["request"], at_most=[PUBLISH])


async def writes_nonsense() -> Facts:
    turns = steps([Call("request_aws_access", {"allow": ["everything, please"], "why": ""})], "done")
    return await talked(turns, ["request"], at_most=[DRAFTS])


async def fails() -> Facts:
    return await talked(steps([Call("fails", {})], "done"), ["fails"])


async def breaks() -> Facts:
    """The model itself fails after a tool call."""

    def broken(results: list[str]) -> Any:
        raise ConnectionError(f"the model is not there, after {len(results)} results")

    return await talked(steps([Call("read_report", {"key": SUMMARY})], broken), ["read_report"])


async def is_told_of_the_end() -> Facts:
    turns = steps([Call("ends_its_task", {})], [Call("read_report", {"key": SUMMARY})], "done")
    return await talked(turns, ["ends_its_task", "read_report"])


async def keeps_keys() -> Facts:
    return await talked(steps([Call("link_report", {"key": SUMMARY})], "done"), ["link_report"])


async def is_cancelled() -> Facts:
    """A run is cancelled in the middle of a tool call."""
    kept, script = Kept(), Scripted(steps([Call("hangs", {})]))
    agent = framework.build([tools_on(kept)["hangs"]], script)
    with gateway() as to:

        async def whole() -> None:
            async with run_task(to) as aws:
                await framework.run(agent, "What of Q3?", aws)

        run = asyncio.ensure_future(whole())
        await asyncio.to_thread(kept.reached.wait, 60)
        run.cancel()
        done, _ = await asyncio.wait([run], timeout=60)
        return facts(kept, script, cancelled=bool(done) and run.cancelled(), over=kept.are_over())


async def leaves_a_stream() -> Facts:
    """Whoever reads a stream stops in the middle of it."""
    kept, script = Kept(), Scripted(steps(both, "done"))
    agent = framework.build([tools_on(kept)[name] for name in ("read_report", "read_later")], script)
    with gateway() as to:
        async with run_task(to) as aws:
            events = framework.stream(agent, "What of Q3?", aws)
            async for _ in events:
                if len(kept.sessions) == 2:  # both tools were called
                    break
            await events.aclose()
        return facts(kept, script, over=kept.are_over())


async def runs_for_two_users() -> Facts:
    """Two runs of one agent at the same time, each with its own user's task."""
    subjects: dict[str, str] = {}
    met = asyncio.Barrier(2)

    @framework.aws_tool
    async def who(session: Any, aws: RunTask) -> str:
        """Says in whose name."""
        assert session is not None
        await met.wait()
        subjects[aws.purpose] = aws.task().grant.subject.id
        return "asked"

    agents = [framework.build([who], Scripted(steps([Call("who", {})], "done"))) for _ in range(2)]
    with gateway() as to:

        async def run(agent: Any, user: str, allow: Any) -> None:
            token = os.environ[f"{user.upper()}_TOKEN"]
            async with RunTask(to, user, subject_token=token, allow=allow) as aws:
                await framework.run(agent, "Who?", aws)

        await asyncio.gather(run(agents[0], "alice", Q3), run(agents[1], "bob", DRAFTS))
    return {"subjects": subjects}


async def attenuates() -> Facts:
    """A tool that gets no more than its one call needs, and asks where the run does not hold that."""

    def lacking(results: list[str]) -> list[Call]:
        return [Call("request_aws_access", {"allow": json.loads(results[-1])["ask_for"], "why": "to compare"})]

    other = [Call("read_only_this", {"key": Q2})]
    turns = steps([Call("read_only_this", {"key": SUMMARY})], other, lacking, other, "done")
    return await talked(turns, ["read_only_this", "request"], at_most="s3:GetObject=arn:aws:s3:::reports/2026/*")


async def has_its_own_manner() -> Facts:
    """A tool written in the framework's own manner, with `tells_refusals` around it."""
    kept = Kept()
    tool = framework.own_tool(lambda session, key: read(kept.note(session), key))
    script = Scripted(steps([Call("own_read", {"key": SUMMARY}), Call("own_read", {"key": Q2})], "done"))
    agent = framework.build([tool], script)
    with gateway() as to:
        async with run_task(to) as aws:
            said = await framework.run(agent, "What of Q3?", aws)
    return facts(kept, script, said=said, over=kept.are_over())


async def has_no_task() -> Facts:
    """A run that was given nothing."""
    kept, script = Kept(), Scripted(steps([Call("read_report", {"key": SUMMARY})], "done"))
    agent = framework.build([tools_on(kept)["read_report"]], script)
    failed = ""
    try:
        await framework.run(agent, "What of Q3?", None)
    except Exception as error:  # noqa: BLE001 - the scenario tells how its run failed
        failed = f"{type(error).__name__}: {error}"
    return facts(kept, script, failed=failed)


async def goes_by_the_page() -> Facts:
    """The code of docs/frameworks.md for this framework, as it stands there."""
    page = (Path(__file__).parents[3] / "docs" / "frameworks.md").read_text()
    code = page.split(f"## {framework.TITLE}\n")[1].split("```python\n")[1].split("```")[0]
    script = Scripted(steps([Call("read_report", {"key": SUMMARY})], "done"))
    with gateway() as to:
        named = {"gateway": to, "token": os.environ["ALICE_TOKEN"], "question": "What of Q3?"}
        program = compile(code, "docs/frameworks.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        names = {**named, "model": framework.model(script)}
        running = eval(program, names)  # noqa: S307 - the page's own code
        if running is not None:
            await running
        return {"seen": "".join(script.seen), "answer": repr(names["answer"]), "held": repr(names["aws"])}


SCENARIOS = [
    reads,
    reads_without_a_loop,
    streams,
    asks_nothing,
    narrows,
    asks_for_more,
    asks_beyond,
    denied_beyond,
    asks_of_another_role,
    waits_for_people,
    writes_nonsense,
    fails,
    breaks,
    is_told_of_the_end,
    keeps_keys,
    is_cancelled,
    leaves_a_stream,
    runs_for_two_users,
    attenuates,
    has_its_own_manner,
    has_no_task,
    goes_by_the_page,
]


async def told(scenario: Any) -> Facts:
    """Returns what a scenario tells, or how it broke."""
    try:
        return dict(await asyncio.wait_for(scenario(), 90))
    except BaseException:  # noqa: BLE001 - what broke is for the test to show
        return {"broke": traceback.format_exc()[-6000:]}


def main(only: list[str]) -> None:
    """Runs the scenarios, each on an event loop of its own."""
    chosen = [scenario for scenario in SCENARIOS if not only or scenario.__name__ in only]
    print(json.dumps({scenario.__name__: asyncio.run(told(scenario)) for scenario in chosen}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[2:])
