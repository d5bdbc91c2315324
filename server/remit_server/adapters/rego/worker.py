"""The process in which Rego is evaluated: `python -I -m remit_server.adapters.rego.worker MEMORY_BYTES`.

It can crash, hang or eat its memory and takes nothing with it: the engine holds the interpreter while it evaluates,
aborts when an allocation fails, and panics with what is no Exception. The parent kills it at the deadline; the kernel
does so by an alarm if the parent is gone. It knows no secret, opens nothing, and speaks frames of JSON text over its
two pipes (`wire.py`).
"""

import json
import os
import resource
import signal
import sys
from dataclasses import astuple
from typing import Any, BinaryIO, Final, NoReturn

from remit_server.adapters.rego import wire
from remit_server.adapters.rego.builtins import glob_match, lower, regex_match
from remit_server.adapters.rego.checks import ADMIN_ENTRYPOINT, ENTRYPOINT, tree_advice, tree_findings
from remit_server.adapters.rego.linting.all_lints import lint
from remit_server.adapters.rego.outline import outline

MAX_MESSAGE: Final = 2_000
MAX_SPACED: Final = 32 * 1024  # the engine writes JSON with much space between; a longer answer is written anew without
_UNDEFINED: Final = '"<undefined>"'
_ENTRYPOINTS: Final = {wire.ISSUE: ENTRYPOINT, wire.ADMIN: ADMIN_ENTRYPOINT}


class Worker:
    """Answers one frame after the other with one engine."""

    def __init__(self, requests: BinaryIO, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        # NOTE: imported under the limits: its allocator reserves 1 GiB of addresses at once where it may.
        import regorus  # noqa: PLC0415 - see above

        self._engine = self._new_engine(regorus)
        self._alarm_seconds = 60.0

    def _new_engine(self, regorus: Any) -> Any:
        """Returns an engine that knows nothing yet but its built-ins."""
        engine = regorus.Engine()
        engine.set_gather_prints(True)
        engine.add_extension("regex.match", 2, regex_match)
        engine.add_extension("glob.match", 3, glob_match)
        engine.add_extension("lower", 1, lower)
        return engine

    def run(self) -> None:
        """Answers until the parent closes its end."""
        while len(header := self._requests.read(wire.HEADER.size)) == wire.HEADER.size:
            kind, length = wire.HEADER.unpack(header)
            payload = self._requests.read(length).decode("utf-8")
            # NOTE: SIGALRM keeps its default action, so the kernel ends an evaluation that Python cannot interrupt.
            signal.setitimer(signal.ITIMER_REAL, self._alarm_seconds)
            self._answer(*self._result(kind, payload))
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _result(self, kind: bytes, payload: str) -> tuple[bytes, str]:
        """Returns the kind and the text of the answer; what the engine raises as an Exception is an answer too."""
        try:
            if kind in _ENTRYPOINTS:
                self._engine.set_input_json(payload)
                return self._decided(_ENTRYPOINTS[kind])
            if kind == wire.QUERY:
                return self._evaluated(payload)
            return wire.RESULT, json.dumps(self._prepared(kind, payload))
        except Exception as wrong:  # noqa: BLE001 - the engine raises RuntimeError for whatever an author got wrong
            self._engine.take_prints()
            return wire.FAILED, complaint(wrong)

    def _prepared(self, kind: bytes, payload: str) -> Any:
        """Loads the program or looks at it; returns what is to be told of that."""
        match kind:
            case wire.ALARM:
                self._alarm_seconds = float(payload)
            case wire.MODULE:
                self._engine.add_policy(*json.loads(payload))
            case wire.DATA:
                self._engine.add_data_json(payload)
            case wire.CHECK:
                found = (tree_findings(self._trees(), entrypoint=payload), tree_advice(self._trees()))
                return [[astuple(one) for one in part] for part in found]
            case wire.OUTLINE:
                return outline(self._trees())
            case wire.LINT:
                return [astuple(one) for one in lint(self._trees(), json.loads(payload))]
            case _:
                raise ValueError("an unknown kind of request")
        return None

    def _trees(self) -> Any:
        """Returns the syntax trees of all modules."""
        return json.loads(self._engine.get_ast_as_json())

    def _decided(self, rule: str) -> tuple[bytes, str]:
        """Returns the value of a decision as JSON text, or that it is undefined.

        NOTE: by its rule it takes a twentieth of the time of a query, before the rule itself. The engine then writes
        for undefined what no decision is, a string.
        """
        outcome = self._engine.eval_rule_as_json(rule)
        self._engine.take_prints()
        if len(outcome) > wire.MAX_ANSWER:
            return wire.FAILED, f"the answer is longer than {wire.MAX_ANSWER} characters"
        if outcome == _UNDEFINED:
            return wire.UNDEFINED, ""
        if len(outcome) > MAX_SPACED:
            outcome = json.dumps(json.loads(outcome))
        return wire.RESULT, outcome

    def _evaluated(self, query: str) -> tuple[bytes, str]:
        """Returns the value of a rule as JSON text, or that it is undefined."""
        outcome = self._engine.eval_query_as_json(query)
        self._engine.take_prints()
        if len(outcome) > wire.MAX_ANSWER:
            return wire.FAILED, f"the answer is longer than {wire.MAX_ANSWER} characters"
        found: Any = json.loads(outcome)
        if not found:
            return wire.UNDEFINED, ""
        return wire.RESULT, json.dumps(found["result"][0]["expressions"][0]["value"])

    def _answer(self, kind: bytes, text: str) -> None:
        """Writes one frame."""
        payload = text.encode("utf-8")
        frame = wire.HEADER.pack(kind, len(payload)) + payload
        while frame:
            frame = frame[os.write(self._answers, frame) :]


def complaint(wrong: Exception) -> str:
    """Returns what the engine complains about, without its backtrace."""
    return str(wrong).partition("\n\nStack backtrace")[0].strip()[:MAX_MESSAGE]


def main(kind: type[Worker] = Worker) -> NoReturn:
    """Takes away what the process does not need, then serves its pipes."""
    memory = int(sys.argv[1])
    # NOTE: RLIMIT_AS counts addresses, not pages; where an allocation fails the engine aborts, and only this process.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is the parent's to handle
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # a stray print must not become a frame
    status = 0
    try:
        kind(sys.stdin.buffer, answers).run()
    except BaseException:  # noqa: BLE001 - PanicException is no Exception, and nothing may be printed here
        status = 70
    os._exit(status)


if __name__ == "__main__":
    main()
