"""Crash rounds as tests order them: a driver that forks gateways, one database that they are killed on, a judge."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.crash.judge import Judge, Rule, Violation
from tests.crash.judge_revokes import CHECKS
from tests.crash.snapshot import snapshot
from tests.crash.trace import Line
from tests.fakes import ROLES
from tests.sts_log import LOG, Ceiling

ROOT: Final = Path(__file__).parents[2]
PAUSE: Final = timedelta(seconds=90)  # between a kill and the next start, by the gateway's clock
START: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
KILLED: Final = -9
_CEILINGS: Final = {role.arn: Ceiling(role.ceiling.text) for role in ROLES}


@dataclass
class Driver:
    """A process that forks the gateways of a round; jobs go in and lines come out."""

    process: subprocess.Popen[bytes]

    def rehearse(self, place: Any) -> None:
        """Plays everything once on a database that nobody judges, so that later rounds are quick on its kind."""
        self.round({"rehearse": str(place)})

    def round(self, job: dict[str, Any]) -> tuple[list[Line], list[int]]:
        """Plays a round; returns what was told, and how each gateway ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        lines: list[Line] = []
        for text in self.process.stdout:
            line = json.loads(text)
            if line["what"] == "over":
                return lines, line["ends"]
            lines.append(line)
        raise AssertionError("the driver is gone")


@contextmanager
def crash_driver() -> Iterator[Driver]:
    """Runs a driver; it ends with its input."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.driver"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Driver(process)
        process.communicate()


@dataclass
class Ground:
    """One database, on which gateways are killed one after the other and every round is judged."""

    driver: Driver
    place: Any
    mutant: str | None = None
    judge: Judge = field(default_factory=lambda: Judge(CHECKS))
    kills: int = 0
    places: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _repeats: Sequence[Line] = ()

    @property
    def found(self) -> set[Violation]:
        """Every rule that did not hold."""
        return self.judge.found

    @property
    def rules(self) -> set[Rule]:
        """Which rules did not."""
        return {violation.rule for violation in self.found}

    def play(
        self, *scripts: str, killed: int = 0, kill_at: int | None = None, kill_after: float | None = None
    ) -> Line | None:
        """Plays one round and has it judged; returns the last line of whom it is about, None when that was killed."""
        number = next(self._numbers)
        job = {
            "place": str(self.place),
            "scripts": scripts,
            "round": f"r{number}",
            "time": (START + number * PAUSE).isoformat(),
            "revision": f"{number:064x}",
            "repeats": self._repeats,
            "repeats_first": number % 2 == 0,
            "mutant": self.mutant,
            "killed": killed,
            "kill_at": kill_at,
            "kill_after": kill_after,
        }
        lines, ends = self.driver.round(job)
        broken = [line["why"] for line in lines if line["what"] == "broken"]
        assert not broken, broken[0]
        self._keep(lines)
        self.judge.hear(lines, snapshot(self.place, self.judge.latest))
        self._repeats = self.judge.trace.unanswered()
        self.kills += ends.count(KILLED)
        end = next((one for one in lines if one["child"] == killed and one["what"] in {"killed", "finished"}), None)
        if end is not None and end["what"] == "killed":
            self.places[end["place"]] += 1
        return end

    def sweep_steps(self, script: str, *, stride: int = 1, first: int = 1, until: Rule | None = None) -> None:
        """Kills at one step after the other, until there are no more, or until this rule did not hold."""
        for step in itertools.count(first, stride):
            end = self.play(script, kill_at=step)
            assert end is not None
            if end["what"] == "finished" or (until is not None and until in self.rules):
                return

    def kill_from_outside(self, *scripts: str, rounds: int, chance: Random) -> None:
        """Kills one of the processes somewhere in what it does, round after round."""
        longest = self.play(*scripts)
        assert longest is not None
        for _ in range(rounds):
            after = chance.uniform(0, 1.2 * longest["seconds"])
            self.play(*scripts, killed=chance.randrange(len(scripts)), kill_after=after)

    def _keep(self, lines: Sequence[Line]) -> None:
        """Writes what STS was asked into the log of invariant I3."""
        for line in lines:
            if line["what"] == "sts":
                at = datetime.fromisoformat(line["time"])
                LOG.note(line["form"], outcome="scripted", at=at, ceiling=_CEILINGS.get(line["form"]["RoleArn"]))
