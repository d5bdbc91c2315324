"""The supervisor with real processes; what they do is played by `tests/supervised_work.py`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]


class Supervised:
    """A supervisor that is running; `happenings` gives what its workers tell, one by one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def next(self) -> dict[str, Any]:
        """Returns the next thing that happened."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def says(self, words: str) -> None:
        """Returns once these words stand in the log."""
        assert self.process.stderr is not None
        while words not in self.process.stderr.readline():
            assert self.process.poll() is None

    def served(self, workers: int) -> dict[int, int]:
        """Returns the process ids of the workers, by their number, once so many have served."""
        told = [self.next() for _ in range(workers)]
        return {item["number"]: item["pid"] for item in told}

    def ended(self) -> tuple[dict[str, Any], str]:
        """Returns how it ended, and the log."""
        output, log = self.process.communicate(timeout=60)
        return json.loads(output.splitlines()[-1]), log


@contextmanager
def supervised(
    work: str, workers: int, *pace: float, environment: Mapping[str, str] | None = None
) -> Iterator[Supervised]:
    """Runs a supervisor over workers that behave as named; `pace`: seconds to start, of silence, to stop."""
    with subprocess.Popen(  # noqa: S603 - this test's own program
        [sys.executable, str(PROJECT / "tests/supervised_work.py"), work, str(workers), *map(str, pace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            yield Supervised(process)
        finally:
            process.kill()


def is_alive(pid: int) -> bool:
    """Says whether there is such a process, a zombie not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_worker_and_leaves_none(name: signal.Signals) -> None:
    with supervised("serve", 3) as running:
        pids = running.served(3)
        running.process.send_signal(name)
        ending, _ = running.ended()

    assert ending == {"code": 0, "message": ""}
    assert sorted(pids) == [1, 2, 3]
    assert not any(map(is_alive, pids.values()))


def test_the_first_serves_before_the_others_are_started() -> None:
    with supervised("serve", 3) as running:
        first = running.next()
        running.served(2)
        running.process.terminate()
        running.ended()

    assert first["number"] == 1


def test_a_worker_that_is_killed_is_replaced() -> None:
    with supervised("serve", 2) as running:
        pids = running.served(2)
        running.says("serving on")
        os.kill(pids[2], signal.SIGKILL)
        replaced = running.served(1)
        running.process.terminate()
        ending, _ = running.ended()

    assert replaced.keys() == {2}
    assert replaced[2] != pids[2]
    assert ending["code"] == 0


def test_a_worker_that_is_told_to_stop_lets_its_calls_end_and_is_replaced() -> None:
    with supervised("serve", 2) as running:
        pids = running.served(2)
        running.says("serving on")
        os.kill(pids[1], signal.SIGTERM)
        stopped, replaced = running.next(), running.served(1)
        running.process.terminate()
        ending, _ = running.ended()

    assert stopped == {"stopped": 1}
    assert replaced.keys() == {1}
    assert ending["code"] == 0


def test_a_place_that_loses_every_worker_ends_the_gateway_and_says_so() -> None:
    with supervised("crash", 2) as running:
        ending, _ = running.ended()

    assert ending["code"] == 2
    assert ending["message"].startswith(
        "the gateway stopped: worker 2 was lost 5 times, each within a minute; the last one ended with exit code 3"
    )


def test_a_worker_that_cannot_start_is_told_once_and_none_is_left() -> None:
    with supervised("fail", 3) as running:
        first = running.served(1)
        ending, log = running.ended()

    assert ending == {"code": 2, "message": "the gateway did not start: the second policy is wrong"}
    assert "the second policy is wrong" not in log
    assert not any(map(is_alive, first.values()))


@pytest.mark.parametrize(("work", "how"), [("die", "was ended by SIGKILL"), ("raise_", "ended with exit code 70")])
def test_a_worker_that_ends_before_it_serves_keeps_the_gateway_from_starting(work: str, how: str) -> None:
    with supervised(work, 2) as running:
        ending, _ = running.ended()

    assert ending["code"] == 2
    assert ending["message"] == f"the gateway did not start: worker 1 {how}; its log says more"


def test_a_worker_that_does_not_serve_in_time_keeps_the_gateway_from_starting() -> None:
    with supervised("hang", 2, 0.5) as running:
        ending, _ = running.ended()

    assert ending["code"] == 2
    assert "worker 2 did not serve within 0.5 s and was killed" in ending["message"]


def test_a_worker_that_does_not_stop_is_killed_in_time_and_that_is_told() -> None:
    with supervised("deaf", 2, 90, 30, 0.5) as running:
        pids = running.served(2)
        running.process.terminate()
        ending, _ = running.ended()

    assert ending == {"code": 1, "message": "worker 2 did not stop within 0.5 s and was killed"}
    assert not any(map(is_alive, pids.values()))


def test_the_second_signal_stops_at_once() -> None:
    with supervised("deaf", 2) as running:
        pids = running.served(2)
        running.process.terminate()
        assert running.next() == {"stopped": 1}
        running.process.terminate()
        ending, _ = running.ended()

    assert ending["code"] == 1
    assert "told twice to stop" in ending["message"]
    assert not any(map(is_alive, pids.values()))


def test_a_worker_that_falls_silent_is_killed_and_replaced(tmp_path: Path) -> None:
    with supervised("silent", 2, 90, 2.0, 40, environment={"ONCE": str(tmp_path / "once")}) as running:
        pids = running.served(2)
        replaced = running.served(1)
        running.process.terminate()
        ending, log = running.ended()

    assert replaced.keys() == {2}
    assert not is_alive(pids[2])
    assert ending["code"] == 0
    assert "gave no sign of life for 2 s" in log


def test_what_a_worker_leaves_behind_is_no_zombie_of_a_containers_first_process(tmp_path: Path) -> None:
    with supervised("leave", 2, environment={"ONCE": str(tmp_path / "once"), "FIRST": "1"}) as running:
        pids = running.served(2)
        running.says("serving on")
        os.kill(pids[2], signal.SIGUSR1)
        told = [running.next() for _ in range(2)]  # the one left behind, and the replacement
        left = next(item["left"] for item in told if "left" in item)
        while Path(f"/proc/{left}").exists():
            assert running.process.poll() is None
        running.process.terminate()
        ending, _ = running.ended()

    assert ending["code"] == 0


def test_a_long_complaint_is_told_as_far_as_it_fits() -> None:
    with supervised("complain", 1) as running:
        ending, _ = running.ended()

    assert ending["message"] == "the gateway did not start: " + "\u2026" * 8_000


def test_a_worker_whose_output_cannot_be_written_ends_all_the_same() -> None:
    """Otherwise it would go on as a second supervisor."""
    with supervised("shout", 1, environment={"PYTHONUNBUFFERED": ""}) as running:
        ending, log = running.ended()

    assert ending == {"code": 2, "message": "the gateway did not start: nobody reads"}
    assert "Bad file descriptor" not in log


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with supervised("serve", 2) as running:
        pids = running.served(2)
        running.process.kill()
        stopped = {running.next()["stopped"] for _ in pids}

    assert stopped == {1, 2}


def test_even_one_that_does_not_listen_ends_after_its_supervisor() -> None:
    with supervised("deaf", 2, 90, 30, 0.5) as running:
        running.served(2)
        running.process.kill()
        assert running.process.stdout is not None
        rest = running.process.stdout.read()  # up to the end of the last process that holds the pipe

    assert json.loads(rest) == {"stopped": 1}
