"""The outcomes of a bundle's tests: in words, in the shape of `opa test --format json`, and as JUnit XML for CI."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from remit_server.adapters.rego.suite.outcome import Case, Outcome, Ran, Verdict
from remit_server.cli.output import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

_INDENT = " " * 9
_SHOWN = 300
_MAX_LINES = 10_000


def as_text(ran: Ran, texts: Mapping[str, str], *, verbose: bool) -> str:
    """Returns a line for each test that did not pass, with what helps to see why, and the counts; bounded."""
    lines: list[str] = []
    for outcome in ran.outcomes:
        if verbose or outcome.verdict is not Verdict.PASS:
            lines += _told(outcome, texts)
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f"... and {len(lines) - _MAX_LINES} lines more: run less with --run"]
    counts = [f"{ran.count(Verdict.PASS)} of {len(ran.outcomes)} tests passed"]
    words = {Verdict.FAIL: "failed", Verdict.ERROR: "ended in an error", Verdict.SKIPPED: "skipped"}
    counts += [f"{ran.count(verdict)} {word}" for verdict, word in words.items() if ran.count(verdict)]
    return "\n".join([*lines, ", ".join(counts)])


def as_json(ran: Ran) -> str:
    """Returns what `opa test --format json` writes."""
    return json.dumps([_as_opa_tells(outcome) for outcome in ran.outcomes], indent=2)


def as_junit(ran: Ran, texts: Mapping[str, str]) -> str:
    """Returns the outcomes as JUnit XML, a suite for each package."""
    packages: dict[str, list[Outcome]] = {}
    for outcome in ran.outcomes:
        packages.setdefault(outcome.package.removeprefix("data."), []).append(outcome)
    suites = "".join(_suite(package, outcomes, texts) for package, outcomes in packages.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{suites}</testsuites>'


def _told(outcome: Outcome, texts: Mapping[str, str]) -> Iterator[str]:
    """Yields the lines about one test, none of which can steer a terminal."""
    name = outcome.full_name.removeprefix("data.")
    took = f" {outcome.nanoseconds / 1e6:.2f} ms" if outcome.nanoseconds else ""
    yield f"{outcome.verdict:8} {visible(name)} ({visible(outcome.path)}:{outcome.line}){took}"
    if outcome.verdict is not Verdict.PASS:
        yield from (f"{_INDENT}{line}" for line in _why(outcome, texts))


def _why(outcome: Outcome, texts: Mapping[str, str]) -> Iterator[str]:
    """Yields what helps to see why a test did not pass."""
    if failed := [case for case in outcome.cases if not case.passed]:
        yield from (f"case {_case(case)} failed" for case in failed)
    elif outcome.detail:
        yield _short(outcome.detail)
    if outcome.reached:
        source = texts[outcome.path].splitlines()[outcome.reached - 1]
        yield f"it came to line {outcome.reached}: {_short(source.strip())}"
    yield from (f"printed {_short(line)}" for line in outcome.prints)


def _case(case: Case) -> str:
    """Returns the name of a case."""
    return _short(" / ".join(case.keys))


def _short(text: str) -> str:
    """Returns a text as it may be printed, within bounds."""
    safe = visible(text)
    return safe if len(safe) <= _SHOWN else f"{safe[:_SHOWN]}..."


def _as_opa_tells(outcome: Outcome) -> dict[str, Any]:
    """Returns one test as OPA's JSON has it; `output` is in base64, as there."""
    told: dict[str, Any] = {
        "location": {"file": outcome.path, "row": outcome.line, "col": 1},
        "package": outcome.package,
        "name": outcome.name,
        "duration": outcome.nanoseconds,
    }
    if outcome.prints:
        told["output"] = base64.b64encode("".join(f"{line}\n" for line in outcome.prints).encode()).decode()
    if outcome.verdict is Verdict.FAIL:
        told["fail"] = True
    if outcome.verdict is Verdict.SKIPPED:
        told["skip"] = True
    if outcome.verdict is Verdict.ERROR:
        told["error"] = {"message": outcome.detail}
    if outcome.cases:
        told["sub_results"] = _nested(outcome.cases)
    return told


def _nested(cases: "Sequence[Case]") -> dict[str, Any]:
    """Returns the cases as OPA nests them: by each key in turn."""
    top: dict[str, Any] = {}
    for case in cases:
        level = top
        for depth, key in enumerate(case.keys, start=1):
            entry = level.setdefault(key, {"name": key})
            if not case.passed:
                entry["fail"] = True
            if depth < len(case.keys):
                level = entry.setdefault("sub_results", {})
    return top


def _suite(package: str, outcomes: "Sequence[Outcome]", texts: Mapping[str, str]) -> str:
    """Returns one package's tests as a `testsuite`."""
    count = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
    numbers = (
        f'tests="{len(outcomes)}" failures="{count[Verdict.FAIL]}" errors="{count[Verdict.ERROR]}" '
        f'skipped="{count[Verdict.SKIPPED]}"'
    )
    tests = "".join(_test_case(package, outcome, texts) for outcome in outcomes)
    return f"  <testsuite name={_attribute(package)} {numbers}>\n{tests}  </testsuite>\n"


def _test_case(package: str, outcome: Outcome, texts: Mapping[str, str]) -> str:
    """Returns one test as a `testcase`."""
    about = f"name={_attribute(outcome.name)} classname={_attribute(package)} file={_attribute(outcome.path)}"
    opening = f'    <testcase {about} line="{outcome.line}" time="{outcome.nanoseconds / 1e9:.6f}"'
    element = {Verdict.FAIL: "failure", Verdict.ERROR: "error", Verdict.SKIPPED: "skipped"}.get(outcome.verdict)
    if element is None:
        return f"{opening}/>\n"
    return f"{opening}>\n      <{element} message={_attribute('; '.join(_why(outcome, texts)))}/>\n    </testcase>\n"


def _attribute(text: str) -> str:
    """Returns a quoted attribute; what XML 1.0 cannot hold is escaped before."""
    return quoteattr(visible(text))
