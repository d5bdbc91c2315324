"""What running the tests of a bundle brings: how each one ended, and what it reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How one test ended: what is undefined or not true has failed; what is still to be written is skipped."""

    PASS = "PASS"  # noqa: S105 - not a password
    FAIL = "FAIL"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a test that has several: its keys, and whether it passed."""

    keys: tuple[str, ...]
    passed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test: where it stands, how it ended, and what helps to see why.

    `detail` is an error's reason or a failed test's value, `reached` the last line it came to (0: none), `prints` what
    it printed. `lines` are those it evaluated, by file, and `answers` the (entitlements, reasons) that the entrypoints
    gave; both only where coverage was asked for.
    """

    package: str
    name: str
    path: str
    line: int
    verdict: Verdict
    detail: str = ""
    reached: int = 0
    nanoseconds: int = 0
    cases: tuple[Case, ...] = ()
    prints: tuple[str, ...] = ()
    lines: Mapping[str, frozenset[int]] | None = None
    answers: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()

    @property
    def full_name(self) -> str:
        """The name by which tests are chosen, as OPA tells it: `data.remit.issue_test.test_denied`."""
        return f"{self.package}.{self.name}"


@dataclass(frozen=True, slots=True)
class Ran:
    """A suite that was run: every outcome by file and line.

    `reasons` are those that the rules write out, with their place, `reachable` the lines of each rule file that can be
    reached; both only where coverage was asked for.
    """

    outcomes: tuple[Outcome, ...]
    reasons: Mapping[str, tuple[str, int]]
    reachable: Mapping[str, frozenset[int]]

    def count(self, verdict: Verdict) -> int:
        """Returns how many tests ended so."""
        return sum(outcome.verdict is verdict for outcome in self.outcomes)
