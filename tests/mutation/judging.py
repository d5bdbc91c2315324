"""Runs the tests against one mutant in a process of its own, and says which test noticed it."""

import ast
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from tests.mutation.changing import import_anew, put_in_place
from tests.mutation.checks import UNIT, Check, collected, functions_of, watched
from tests.mutation.operators import Mutant
from tests.mutation.widening import Pair, drawn

RAN_ON: Final = "it ran on and was stopped"
AT_IMPORT: Final = "it could not be imported"
_MEMORY: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """Says which test noticed a mutant, None when none did; and of a survivor, what it lets out, None for nothing."""

    mutant: Mutant
    noticed_by: str | None
    lets_out: str | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """Holds the tests, each with the functions it runs, what runs before any test does, and what must not get out."""

    checks: tuple[Check, ...]
    at_import: frozenset[tuple[str, str]]
    pairs: list[Pair]

    @classmethod
    def set_up(cls) -> "Bench":
        """Collects the tests and runs each once; raises RuntimeError when one fails without any mutant."""
        checks: list[Check] = []
        at_import = functions_of(lambda: checks.extend(collected(UNIT)))
        try:
            timed = tuple(watched(each) for each in checks)
        except Exception as error:
            raise RuntimeError("a test fails without any mutant: mend that first") from error
        return cls(timed, at_import, drawn())

    def judge(self, tree: ast.Module, mutant: Mutant) -> Verdict:
        """Tries the tests that run the mutant's function, shortest first, and all anew where it ran before any test."""
        place = (mutant.module, mutant.function)
        noticed = None
        if mutant.function:
            near = sorted((each for each in self.checks if place in each.functions), key=lambda each: each.seconds)
            noticed = apart(lambda: _in_place(tree, mutant, near))
        if noticed is None and (not mutant.function or place in self.at_import):
            noticed = apart(lambda: _anew(tree, mutant))
        lets_out = None if noticed else apart(lambda: _lets_out(tree, mutant, self.pairs))
        return Verdict(mutant, noticed, lets_out)


def _in_place(tree: ast.Module, mutant: Mutant, checks: Sequence[Check]) -> str | None:
    put_in_place(tree, mutant)
    return first_failure(checks)


def _anew(tree: ast.Module, mutant: Mutant) -> str | None:
    import_anew(tree, mutant)
    try:
        again = collected(UNIT)
    except Exception:  # noqa: BLE001 - whatever breaks there is the mutant's doing
        return AT_IMPORT
    return first_failure(again)


def _lets_out(tree: ast.Module, mutant: Mutant, pairs: list[Pair]) -> str | None:
    import_anew(tree, mutant)
    found: str | None = import_module("tests.mutation.widening").widens(pairs)
    return found


def first_failure(checks: Sequence[Check]) -> str | None:
    """Returns the name of the first test that fails; None when all hold."""
    for check in checks:
        # Processor time, so that a busy machine changes nothing; a signal, because what hangs cannot look at a clock.
        signal.setitimer(signal.ITIMER_PROF, 3 + 20 * check.seconds)
        try:
            check.call()
        except BaseException:  # noqa: BLE001 - a mutant may raise anything
            return check.name
    signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def apart(work: Callable[[], str | None]) -> str | None:
    """Does the work in a forked process with bounded memory and time; what ends it ends only it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(work, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    answer: str | None = json.loads(told) if told else RAN_ON
    return answer


def _child(work: Callable[[], str | None], writing: int) -> None:
    try:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + _MEMORY,) * 2)
        sys.setrecursionlimit(1000)
        os.write(writing, json.dumps(work()).encode())
    except BaseException as error:  # noqa: BLE001 - told to the parent, never raised in its copy
        os.write(writing, json.dumps(f"{type(error).__name__}: {error}").encode())
    finally:
        os._exit(0)


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as pages:  # noqa: PTH123 - read after every fork, and small
        return int(pages.read().split()[0]) * resource.getpagesize()
