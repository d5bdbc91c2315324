"""The tests that judge mutants, collected once by pytest and then called as what they are: functions."""

import contextlib
import inspect
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings

ROOT: Final = Path(__file__).resolve().parents[2]
TARGETS: Final = "remit_server.iam"
UNIT: Final = (
    *(
        f"tests/unit/test_iam_{name}.py"
        for name in ("pattern", "short_patterns", "containment", "edges", "implication", "lifting", "sealed")
    ),
    *(f"tests/unit/test_iam_{name}.py" for name in ("document", "guards", "evaluation", "narrowing", "deriving")),
    *(f"tests/unit/test_iam_{name}.py" for name in ("condition_edges", "budgets", "compaction", "printed_form")),
    "tests/golden/test_iam_answers.py",
    "tests/property/test_condition_laws.py",
)
# Enough pairs per test to find what is worth finding; a full run of the tests takes ten times as many.
PAIRS: Final = "1600"
SEEDS: Final = (0, 1)


@dataclass(frozen=True, slots=True)
class Check:
    """Holds one test, how long it takes, and the functions of the algebra that it runs, where looked at."""

    name: str
    call: partial[Any]
    seconds: float = 0.0
    functions: frozenset[tuple[str, str]] = frozenset()


def collected(files: Sequence[str]) -> list[Check]:
    """Lets pytest import and parametrize the tests of the files; raises RuntimeError when it cannot."""
    os.environ["REMIT_DIFFERENTIAL_ROUNDS"] = PAIRS
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate]
    )
    settings.load_profile("mutants")
    collector = _Collector()
    arguments = [
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--assert=plain",
        "--rootdir",
        str(ROOT),
    ]
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = pytest.main([*arguments, *(str(ROOT / file) for file in files)], plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected:\n{told.getvalue()[-2000:]}")
    return list(_checks(collector.items))


@dataclass
class _Collector:
    items: list[pytest.Item] = field(default_factory=list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = list(session.items)


class _Aside:
    """Stands in for pytest's `capsys`: what a test prints beside its output is not for us."""

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """Prints nowhere."""
        with contextlib.redirect_stdout(io.StringIO()):
            yield


def _checks(items: Sequence[pytest.Item]) -> Iterator[Check]:
    """Takes the tests that need nothing but their parameters, which are nearly all."""
    for item in items:
        function: Any = getattr(item, "obj", None)
        given: dict[str, Any] = dict(getattr(getattr(item, "callspec", None), "params", {}))
        if "capsys" in getattr(item, "fixturenames", ()):
            given["capsys"] = _Aside()
        handled = getattr(function, "hypothesis", None)
        asked = set(inspect.signature(function).parameters) if handled is None else set(given)
        if asked <= set(given) and not inspect.iscoroutinefunction(function):
            if given.get("seed", 0) not in SEEDS:
                continue
            yield Check(item.nodeid, partial(function, **{name: given[name] for name in given if name in asked}))


def watched(check: Check) -> Check:
    """Runs a test once and notes its time and the functions of the algebra that it ran."""
    forget_answers()
    began = time.process_time()
    ran = functions_of(check.call)
    return Check(check.name, check.call, time.process_time() - began, ran)


def functions_of(call: Callable[[], object]) -> frozenset[tuple[str, str]]:
    """Returns the functions of the algebra, each with its module, that a call runs."""
    ran: set[tuple[str, str]] = set()
    modules: dict[str, str] = {}

    def note(frame: Any, event: str, _argument: object) -> None:
        if event == "call":
            module = modules.setdefault(frame.f_code.co_filename, frame.f_globals.get("__name__", ""))
            if module.startswith(TARGETS):
                ran.add((module, frame.f_code.co_qualname.partition(".<locals>")[0]))

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return frozenset(ran)


def forget_answers() -> None:
    """Empties what the algebra remembers from call to call, so that nothing was answered before the change."""
    for name, module in list(sys.modules.items()):
        if name.startswith(TARGETS):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
