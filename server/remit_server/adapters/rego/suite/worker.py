"""The process in which tests run: a Rego worker that makes a bundle ready for its tests and runs them one by one.

`python -I -m remit_server.adapters.rego.suite.worker MEMORY_BYTES`; like its parent class it may die of what it runs.
"""

import contextlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import is_test
from remit_server.adapters.rego import wire
from remit_server.adapters.rego.mutating.rules import rule_mutants
from remit_server.adapters.rego.suite.hoisting import hoisted
from remit_server.adapters.rego.suite.naming import Names, names_of
from remit_server.adapters.rego.suite.preparing import CASE, CASES, VALUE, Prepared, modules_of, prepared, rewritten
from remit_server.adapters.rego.suite.probes import ANSWERED, real_entitlements, reasons_in
from remit_server.adapters.rego.suite.tree import Module, lines_of
from remit_server.adapters.rego.worker import Worker, complaint, main

MAX_PRINTS: Final = 20
MAX_PRINT: Final = 500
MAX_CASES: Final = 1_000
MAX_VALUE: Final = 200
MAX_EXPLAINED: Final = 200
MAX_ROUNDS: Final = 8  # of negations inside calls inside negations
MAX_TOLD: Final = wire.MAX_ANSWER * 3 // 4
UNDEFINED: Final = "<undefined>"
_LONGEST_LINE: Final = 100_000
_COMPLAINT: Final = re.compile(
    r"--> (?P<path>[^\n]+?):(?P<line>\d+):\d+\n.*?^error: (?P<why>.*)", re.DOTALL | re.MULTILINE
)


class SuiteWorker(Worker):
    """Keeps the program as text and as trees, the engine it makes of them, and what the running test told."""

    def _new_engine(self, regorus: Any) -> Any:
        """Returns an engine that also hears which cases a test met and what the entrypoints answered."""
        self._met: list[Any] = []
        self._heard: list[tuple[list[str], list[str]]] = []
        engine = super()._new_engine(regorus)
        # The parent has looked at the author's lines; what is written out here may be longer.
        engine.set_policy_length_config(max_col=_LONGEST_LINE, max_file_bytes=1 << 22, max_lines=20_000)
        engine.add_extension(CASE, 1, self._hear_case)
        engine.add_extension(ANSWERED, 2, self._hear_answer)
        self._empty, self._bare = engine.clone(), engine.clone()
        self._data_json = "{}"
        self._explained = 0
        return engine

    def _hear_case(self, keys: Any) -> bool:
        """Notes the case that a test is about to judge."""
        if len(self._met) < MAX_CASES:
            self._met.append([key if isinstance(key, str) else json.dumps(key) for key in keys])
        return True

    def _hear_answer(self, entitlements: Any, codes: Any) -> bool:
        """Notes what an entrypoint answered."""
        if len(self._heard) < MAX_CASES:
            self._heard.append((list(entitlements), list(codes)))
        return True

    def _prepared(self, kind: bytes, payload: str) -> Any:
        """Loads the program, makes it ready, runs a test."""
        match kind:
            case wire.DATA:
                self._data_json = payload
                self._bare.add_data_json(payload)
                return None
            case wire.SUITE:
                return self._suite(**json.loads(payload))
            case wire.TRY:
                return self._tried(**json.loads(payload))
            case wire.MUTANT:
                return self._judged(**json.loads(payload))
            case _:
                return super()._prepared(kind, payload)

    def _suite(self, *, probed: bool, mutants: int = 0) -> Any:
        """Makes the program ready; returns its tests, what is wrong with them, and what else was asked for."""
        self._modules: tuple[Module, ...] = tuple(self._hoisted(module) for module in modules_of(self._trees()))
        self._names: Names = names_of(self._modules)
        self._suite_of: Prepared = prepared(self._modules, self._names, probed=probed)
        self._without: dict[str, Any] = {}
        if not self._suite_of.findings:
            self._ready = self._loaded(self._suite_of.modules, self._bare)
            if probed:
                self._ready.add_data_json(real_entitlements(self._data_json))
            _analysed(self._ready)
        return {
            "tests": [asdict(test) for test in self._suite_of.tests],
            "findings": [astuple(finding) for finding in self._suite_of.findings],
            "reasons": reasons_in(self._modules) if probed else {},
            "mutants": self._mutants(mutants) if mutants else ([], 0),
            "lines": {one.path: sorted(lines_of(one)) for one in self._modules if probed and not is_test(one.path)},
        }

    def _hoisted(self, module: Module) -> Module:
        """Returns a module of tests with calls taken out of what it negates; any other one as it is."""
        for _ in range(MAX_ROUNDS):
            text = hoisted(module) if is_test(module.path) else None
            if text is None:
                break
            module = self._read(module.path, text)
        return module

    def _read(self, path: str, text: str) -> Module:
        """Returns a text as a module."""
        scratch = self._empty.clone()
        scratch.add_policy(path, text)
        (module,) = modules_of(json.loads(scratch.get_ast_as_json()))
        return module

    def _mutants(self, most: int) -> tuple[list[Any], int]:
        """Returns as many mutants as were asked for and fit into an answer, and how many there are."""
        kept: list[Any] = []
        room, count = MAX_TOLD, 0
        for count, mutant in enumerate(rule_mutants(self._modules, self._names), start=1):
            told = astuple(mutant)
            room -= len(json.dumps(told))
            if count <= most and room > 0:
                kept.append(told)
        return kept, count

    def _loaded(self, modules: Sequence[tuple[str, str]], start: Any) -> Any:
        """Returns an engine with these modules beside what another one holds."""
        engine = start.clone()
        for path, text in modules:
            engine.add_policy(path, text)
        return engine

    def _tried(self, *, lines: bool, place: tuple[str, int, int], query: str, kind: str) -> Any:
        """Returns how one test ended, with what helps to see why."""
        engine = self._ready.clone()
        engine.set_enable_coverage(lines)
        told = self._run(engine, query, kind)
        if lines:
            told["lines"] = _covered(engine)
        if not told["passed"] and self._explained < MAX_EXPLAINED:  # for each the engine writes out the whole program
            self._explained += 1
            told["reached"] = _reached(self._ready.clone(), query, kind, place)
        return told

    def _run(self, engine: Any, query: str, kind: str) -> dict[str, Any]:
        """Runs one test on an engine of its own, so that no evaluation that broke off leaves anything behind."""
        self._met.clear()
        self._heard.clear()
        told: dict[str, Any] = {"passed": False}
        before = time.perf_counter_ns()
        try:
            value = _evaluated(engine, query, kind)
        except Exception as wrong:  # noqa: BLE001 - the engine raises RuntimeError for whatever an author got wrong
            told["error"] = plain(complaint(wrong))
        else:
            told["value"] = json.dumps(value)[:MAX_VALUE] if value != UNDEFINED else "undefined"
            told["cases"] = [(keys, _value_at(value, keys) is True) for keys in self._met]
            told["passed"] = _passes(told["cases"]) if kind == CASES else value is True
        told["nanoseconds"] = time.perf_counter_ns() - before
        told["prints"] = [line[:MAX_PRINT] for line in engine.take_prints()[:MAX_PRINTS]]
        told["answers"] = sorted({(tuple(ids), tuple(codes)) for ids, codes in self._heard})
        return told

    def _judged(self, *, change: Sequence[str], tests: Sequence[tuple[str, str]]) -> Any:
        """Runs tests on a changed program up to the first that does not pass; returns its number, or none."""
        try:
            engine = self._changed(*change)
            _analysed(engine)
        except Exception as wrong:  # noqa: BLE001 - as above; a change may make what is no Rego
            return {"invalid": plain(complaint(wrong))}
        for number, (query, kind) in enumerate(tests):
            if not self._run(engine.clone(), query, kind)["passed"]:
                return {"killer": number}
        return {}

    def _changed(self, path: str, text: str) -> Any:
        """Returns an engine with one module changed, or, where the path is empty, with other data."""
        if path not in self._without:
            others = [module for module in self._suite_of.modules if module[0] != path]
            self._without[path] = self._loaded(others, self._bare if path else self._empty)
        engine = self._without[path].clone()
        if not path:
            engine.add_data_json(text)
            return engine
        engine.add_policy(path, rewritten(self._read(path, text), self._names, probed=False))
        return engine


def _analysed(engine: Any) -> None:
    """Has the engine look at its whole program; raises ValueError with the place of a fault."""
    try:
        engine.eval_query_as_json("1")
    except RuntimeError as wrong:
        raise ValueError(plain(complaint(wrong))) from None


def plain(message: str) -> str:
    """Returns the engine's complaint as `path:line: why`; the text it quotes may have been rewritten."""
    found = _COMPLAINT.search(message)
    return f"{found['path']}:{found['line']}: {found['why'].strip()}" if found else message


def _evaluated(engine: Any, query: str, kind: str) -> Any:
    """Returns the value of a test; what is undefined comes as a text, which is as little true."""
    if kind == VALUE:  # a rule by its path takes a twentieth of the time of a query
        return json.loads(engine.eval_rule_as_json(query))
    outcome = json.loads(engine.eval_query_as_json(query))
    return outcome["result"][0]["expressions"][0]["value"] if outcome else UNDEFINED


def _value_at(value: Any, keys: Sequence[str]) -> Any:
    """Returns what a test says of one of its cases."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _passes(cases: Sequence[tuple[Any, bool]]) -> bool:
    """Says whether every case passed, of which there must be one."""
    return bool(cases) and all(passed for _, passed in cases)


def _covered(engine: Any) -> dict[str, list[int]]:
    """Returns the lines of each module that the engine evaluated."""
    report = json.loads(engine.get_coverage_report_as_json())
    return {file["path"]: file["covered"] for file in report["files"] if file["covered"]}


def _reached(engine: Any, query: str, kind: str, place: tuple[str, int, int]) -> int:
    """Returns the last line of a test that is evaluated before it ends, 0 where none is."""
    engine.set_enable_coverage(True)
    with contextlib.suppress(Exception):
        _evaluated(engine, query, kind)
    engine.take_prints()
    path, first, last = place
    return max((line for line in _covered(engine).get(path, []) if first <= line <= last), default=0)


if __name__ == "__main__":
    main(SuiteWorker)
