"""The embedded engine through its port: every way an evaluation can go wrong ends in an outage, never in a yes."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from tests.policy_bundles import DENY_ALL, OBEDIENT, YES, asked, bundle_of, told_to

from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.rego import embedded, wire
from remit_server.adapters.rego.checks import text_findings
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits, check_bundle
from remit_server.adapters.rego.pipes import EvaluationFailed, Question, WorkerLost
from remit_server.adapters.rego.process import Program, RegoProcess
from remit_server.adapters.rego.team import ASKED_AHEAD
from remit_server.application.ports import Policy, Revision
from remit_server.domain.decision import Allow, DecisionInput, Deny
from remit_server.domain.errors import Outage, Reason

# Generous where time is not what is tested: the machine may be busy.
PATIENT = EngineLimits(workers=1, spares=1, decision_seconds=30.0, wait_seconds=30.0)
HASTY = replace(PATIENT, decision_seconds=0.25)


@asynccontextmanager
async def engine_on(folder: Path, rego: str = OBEDIENT, limits: EngineLimits = PATIENT) -> AsyncIterator[EmbeddedRego]:
    engine = await EmbeddedRego.start(bundle_of(folder, rego), limits)
    try:
        yield engine
    finally:
        await engine.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def looked_into(pid: int) -> tuple[bytes, dict[str, str], list[str]]:
    """Returns a process's environment, its soft limits by name, and what its open files are."""
    process = Path(f"/proc/{pid}")
    limits = process.joinpath("limits").read_text("utf-8").splitlines()[1:]
    return (
        process.joinpath("environ").read_bytes(),
        {line[:25].strip(): line[25:].split()[0] for line in limits},
        [str(link.readlink()) for link in process.joinpath("fd").iterdir()],
    )


async def test_it_is_the_policy_port(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:
        port: Policy = engine

        assert isinstance(await port.decide(port.active, told_to("allow")), Allow)
        assert isinstance(await port.decide(port.active, asked()), Deny)


@pytest.mark.parametrize("answer", ["unknown", "fail", "flood", "text", "half", "list", "null", "true"])
async def test_what_is_no_decision_is_an_outage_and_the_worker_lives_on(tmp_path: Path, answer: str) -> None:
    async with engine_on(tmp_path) as engine:
        before = engine.pids

        with pytest.raises(PolicyUnavailable):
            await engine.decide(engine.active, told_to(answer))

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        assert engine.pids == before


async def test_a_policy_that_hangs_is_killed_at_the_deadline_and_replaced_again_and_again(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=HASTY) as engine:
        seen = set(engine.pids)
        for _ in range(3):
            with pytest.raises(PolicyUnavailable, match="no usable decision"):
                await engine.decide(engine.active, told_to("hang"))
            seen |= engine.pids

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        seen |= engine.pids

    assert len(seen) > 3
    assert not [pid for pid in seen if is_running(pid)]


async def test_a_policy_that_eats_memory_dies_alone(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:
        with pytest.raises(PolicyUnavailable) as raised:
            await engine.decide(engine.active, told_to("eat"))

        assert "died" in raised.value.why
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


async def test_a_worker_that_the_machine_does_not_let_work_gets_more_time(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=replace(HASTY, spares=0)) as engine:
        (pid,) = engine.pids
        os.kill(pid, signal.SIGSTOP)
        decision = asyncio.ensure_future(engine.decide(engine.active, told_to("allow")))
        await asyncio.sleep(2 * HASTY.decision_seconds)
        os.kill(pid, signal.SIGCONT)

        assert isinstance(await decision, Allow)
        assert engine.pids == {pid}


async def test_a_worker_that_answers_nothing_is_given_up_all_the_same(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=replace(HASTY, spares=0)) as engine:
        (pid,) = engine.pids
        os.kill(pid, signal.SIGSTOP)

        with pytest.raises(PolicyUnavailable):
            await engine.decide(engine.active, told_to("allow"))

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        assert pid not in engine.pids


async def test_a_worker_that_is_killed_is_an_outage_and_then_replaced(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=replace(PATIENT, spares=0)) as engine:
        (pid,) = engine.pids
        os.kill(pid, signal.SIGKILL)

        with pytest.raises(PolicyUnavailable):
            await engine.decide(engine.active, told_to("allow"))

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        assert pid not in engine.pids


def test_it_holds_on_the_loop_that_serves(tmp_path: Path) -> None:
    async def story() -> None:
        async with engine_on(tmp_path, limits=replace(PATIENT, spares=0)) as engine:
            (first,) = engine.pids
            os.kill(first, signal.SIGKILL)
            with pytest.raises(PolicyUnavailable):
                await engine.decide(engine.active, told_to("allow"))
            with pytest.raises(PolicyUnavailable, match="no usable decision"):
                await engine.decide(engine.active, told_to("eat"))

            assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
            assert first not in engine.pids

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


async def test_a_worker_found_dead_is_never_asked_again(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=replace(PATIENT, workers=2, spares=0)) as engine:
        for pid in engine.pids:
            os.kill(pid, signal.SIGKILL)
        outcomes = await asyncio.gather(
            *(engine.decide(engine.active, told_to("allow")) for _ in range(4)), return_exceptions=True
        )

    assert [type(outcome) for outcome in outcomes] == [PolicyUnavailable, PolicyUnavailable, Allow, Allow]


async def test_the_loop_runs_on_while_a_policy_is_evaluated(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=HASTY) as engine:
        deciding = asyncio.create_task(engine.decide(engine.active, told_to("hang")))
        turns = 0
        while not deciding.done():
            await asyncio.sleep(0)
            turns += 1

        with pytest.raises(PolicyUnavailable):
            await deciding
    assert turns > 100


async def test_over_the_queue_the_gateway_is_full_and_says_so(tmp_path: Path) -> None:
    limits = replace(HASTY, workers=1, spares=0, most_waiting=1)
    async with engine_on(tmp_path, limits=limits) as engine:
        outcomes = await asyncio.gather(
            *(engine.decide(engine.active, told_to("hang")) for _ in range(3)), return_exceptions=True
        )

    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Outage)]
    assert sorted(reasons) == [Reason.OVERLOADED, Reason.POLICY_UNAVAILABLE, Reason.POLICY_UNAVAILABLE]


async def test_a_question_that_no_worker_comes_to_in_time_finds_the_gateway_full(tmp_path: Path) -> None:
    limits = replace(PATIENT, spares=0, decision_seconds=1.0, wait_seconds=0.1)
    async with engine_on(tmp_path, limits=limits) as engine:
        outcomes = await asyncio.gather(
            engine.decide(engine.active, told_to("hang")),
            engine.decide(engine.active, told_to("allow")),
            return_exceptions=True,
        )

    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Outage)]
    assert reasons == [Reason.POLICY_UNAVAILABLE, Reason.OVERLOADED]


async def test_who_stands_behind_a_question_that_hangs_is_answered_by_another_worker(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=HASTY) as engine:
        words = ["allow", "hang", *["allow"] * ASKED_AHEAD, "fail", "allow"]
        outcomes = await asyncio.gather(
            *(engine.decide(engine.active, told_to(word)) for word in words), return_exceptions=True
        )

    expected = {"allow": Allow, "hang": PolicyUnavailable, "fail": PolicyUnavailable}
    assert [type(outcome) for outcome in outcomes] == [expected[word] for word in words]


async def test_a_worker_that_is_asked_ahead_answers_in_the_order_of_asking() -> None:
    worker = await RegoProcess.start(Program((("t.rego", "package t\nx := 1 / 0"),), "{}", 512 << 20, 60.0))
    texts = ["1", "data.t.x", "2", "data.t.nothing", "3"]
    questions = [Question.of(wire.QUERY, text, 60.0) for text in texts]

    for question in questions:
        worker.put(question)
    asked = worker.questions
    answers = await asyncio.gather(*(question.answer for question in questions), return_exceptions=True)
    await worker.close()

    assert asked == len(texts)
    assert [type(answer) if isinstance(answer, Exception) else answer for answer in answers] == [
        "1",
        EvaluationFailed,
        "2",
        None,
        "3",
    ]


async def test_a_caller_that_goes_away_takes_no_worker_with_it(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=replace(PATIENT, spares=0)) as engine:
        before = engine.pids
        deciding = asyncio.create_task(engine.decide(engine.active, told_to("allow")))
        await asyncio.sleep(0)
        deciding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deciding

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        assert engine.pids == before


async def test_another_revision_is_not_answered_for(tmp_path: Path) -> None:
    async with engine_on(tmp_path) as engine:
        other = Revision("0" * 64, engine.active.capabilities)

        with pytest.raises(PolicyUnavailable):
            await engine.decide(other, told_to("allow"))


@pytest.mark.parametrize("text", ["", "[", '{"task": {"labels": {"do": "\\ud800"}}}', "{" * 5000, "x" * (2 << 20)])
async def test_a_question_that_is_no_question_is_an_outage(tmp_path: Path, text: str) -> None:
    async with engine_on(tmp_path) as engine:
        with pytest.raises(PolicyUnavailable):
            await engine.decide(engine.active, DecisionInput(text))

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


async def test_a_revision_is_swapped_whole_and_the_old_one_ends(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "before") as engine:
        old = engine.active
        old_pids = engine.pids

        await engine.activate(bundle_of(tmp_path / "after", DENY_ALL))

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Deny)
        assert not [pid for pid in old_pids if is_running(pid)]
        with pytest.raises(PolicyUnavailable):
            await engine.decide(old, told_to("allow"))


async def test_a_refused_revision_changes_nothing(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "before") as engine:
        before = (engine.active, engine.pids)

        with pytest.raises(BundleRefused):
            await engine.activate(bundle_of(tmp_path / "after", "package remit.issue\n\ndecision := f(1)\n"))

        assert (engine.active, engine.pids) == before
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


async def test_questions_asked_before_a_swap_are_answered(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "before") as engine:
        deciding = [asyncio.create_task(engine.decide(engine.active, told_to("allow"))) for _ in range(20)]
        await asyncio.sleep(0)

        await engine.activate(bundle_of(tmp_path / "after", DENY_ALL))

        assert all(isinstance(decision, Allow) for decision in await asyncio.gather(*deciding))


async def test_a_policy_that_allows_a_stranger_may_not_decide(tmp_path: Path) -> None:
    rego = f"package remit.issue\n\ndecision := {YES}\n".replace("True", "true").replace("False", "false")
    bundle = bundle_of(tmp_path, rego.replace("None", "null").replace("'", '"'))

    with pytest.raises(BundleRefused, match="allows a stranger"):
        await EmbeddedRego.start(bundle, PATIENT)


async def test_a_policy_without_an_answer_for_a_stranger_may_not_decide(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, 'package remit.issue\n\ndecision := {} if input.subject.id == "alice"\n')

    with pytest.raises(BundleRefused, match="no decision on a stranger"):
        await EmbeddedRego.start(bundle, PATIENT)


async def test_tests_are_not_loaded_to_decide(tmp_path: Path) -> None:
    tampering = 'package remit.issue\n\ndecision := {"allow": true}\n'
    bundle = bundle_of(tmp_path, OBEDIENT, issue__issue_test=tampering)

    engine = await EmbeddedRego.start(bundle, PATIENT)

    try:
        assert isinstance(await engine.decide(engine.active, asked()), Deny)
    finally:
        await engine.close()


async def test_a_worker_inherits_no_secret_and_lives_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "marker-of-a-secret")
    async with engine_on(tmp_path) as engine:
        pid = min(engine.pids)

        environment, limits, open_files = await asyncio.to_thread(looked_into, pid)

    assert b"marker-of-a-secret" not in environment
    assert limits["Max core file size"] == "0"
    assert limits["Max address space"] == str(512 << 20)
    assert limits["Max file size"] == "0"
    assert all(file.startswith(("pipe:", "socket:", "/dev/null")) for file in open_files)


async def test_closing_ends_every_process(tmp_path: Path) -> None:
    async with engine_on(tmp_path, limits=replace(PATIENT, workers=2)) as engine:
        pids = engine.pids

    assert len(pids) == 3
    assert not [pid for pid in pids if is_running(pid)]
    with pytest.raises(PolicyUnavailable):
        await engine.decide(engine.active, told_to("allow"))


async def test_the_kernel_ends_an_evaluation_whose_parent_does_not() -> None:
    loop = "some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a + b == 0"
    slow = f"package t\nx := count([1 | {loop}])"
    worker = await RegoProcess.start(Program((("t.rego", slow),), "{}", 512 << 20, alarm_seconds=0.2))

    try:
        with pytest.raises(WorkerLost, match="died"):
            await worker.ask(wire.QUERY, "data.t.x", seconds=60.0)
    finally:
        await worker.close()


GARBAGE = {
    "nothing": "pass",
    "text": "out(b'yes')",
    "an unknown kind": "out(header(b'Z', 4) + b'true')",
    "half a frame": "out(header(b'R', 400) + b'true')",
    "a frame without end": "out(header(b'R', 1 << 31) + b'true')",
    "bytes that are no text": "out(header(b'R', 2) + b'\\xff\\xfe')",
}


@pytest.mark.parametrize("script", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_on_the_pipe_is_a_lost_worker(script: str) -> None:
    program = (
        "import struct, sys\n"
        "sys.stdin.buffer.read(1)\n"
        "def header(kind, length): return struct.pack('>cI', kind, length)\n"
        f"def out(data): sys.stdout.buffer.write(data)\n{script}\n"
    )
    worker = await RegoProcess.spawned(sys.executable, "-c", program)

    try:
        with pytest.raises(WorkerLost):
            await worker.ask(wire.ISSUE, "{}", seconds=60.0)
    finally:
        await worker.close()


async def test_an_evaluation_error_tells_the_author_where_but_no_backtrace() -> None:
    worker = await RegoProcess.start(Program((("t.rego", "package t\nx := 1 / 0"),), "{}", 512 << 20, 60.0))

    try:
        with pytest.raises(EvaluationFailed) as raised:
            await worker.ask(wire.QUERY, "data.t.x", seconds=60.0)
    finally:
        await worker.close()

    assert "t.rego:2" in str(raised.value)
    assert "backtrace" not in str(raised.value)


UNFIT: dict[str, tuple[str, str]] = {
    "a syntax error": ("package remit.issue\n\ndecision := {\n", "issue.rego:"),
    "Rego v0": ("package remit.issue\n\ndecision { true }\n", "not Rego v1"),
    "an unknown function": ("package remit.issue\n\ndecision := f(1)\n", "f is neither"),
    "what kills the engine": (
        "package remit.issue\n\ndecision := " + "-\n" * 39 + "1" + "+1\n" * 9000,
        "could not be checked",
    ),
}


@pytest.mark.parametrize(("rego", "expected"), UNFIT.values(), ids=UNFIT.keys())
async def test_a_bundle_that_cannot_decide_names_its_file(tmp_path: Path, rego: str, expected: str) -> None:
    bundle = bundle_of(tmp_path, rego)

    with pytest.raises(BundleRefused, match=expected):
        await check_bundle(bundle)


async def test_reading_what_must_not_decide_gets_advice(tmp_path: Path) -> None:
    rego = 'package remit.issue\n\ndecision := {} if input.task.purpose == "x"\n\nd := input.delegation_history[0]\n'
    bundle = bundle_of(tmp_path, rego)

    advice = await check_bundle(bundle)

    assert [finding.line for finding in advice] == [3, 5]
    assert "written by the agent" in str(advice[0])
    assert "RFC 8693" in str(advice[1])


async def test_data_that_does_not_fit_is_named(tmp_path: Path) -> None:
    bundle = replace(bundle_of(tmp_path, DENY_ALL), data_json='{"x": [' + "1," * 20_000_000 + "1]}")

    with pytest.raises(BundleRefused, match="does not fit"):
        await check_bundle(bundle, replace(PATIENT, memory_bytes=128 << 20))


async def test_the_text_of_a_bundle_is_not_looked_at_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def look(modules: Iterable[tuple[str, str]]) -> list[Finding]:
        looked_at.append(threading.get_ident())
        return text_findings(modules)

    monkeypatch.setattr(embedded, "text_findings", look)

    await check_bundle(bundle_of(tmp_path, OBEDIENT))

    assert looked_at
    assert threading.get_ident() not in looked_at
