"""Runs rounds, once or until it is told to stop, and tells each."""

import datetime as dt
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from remit_server.adapters.probing.material import Gathering
from remit_server.adapters.probing.metrics import ProbeMetrics, write_textfile
from remit_server.adapters.probing.sources import NoToken
from remit_server.application.probing.probe_gateway import ProbeGateway
from remit_server.application.probing.values import Round
from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.probe import words
from remit_server.transport.grpc.probe_calls import ProbeCalls, probe_request_id


class Rounds:
    """Rounds against one gateway; `metrics` tells of them all."""

    def __init__(self, gather: Gathering, calls: ProbeCalls, *, as_json: bool, textfile: Path | None) -> None:
        self.metrics = ProbeMetrics()
        self._check, self._gather = calls.check, gather
        self._probe = ProbeGateway(calls.recognised, calls.ask, probe_request_id)
        self._as_json = as_json
        self._textfile = textfile

    def once(self) -> int:
        """Runs one round and returns the exit code that it calls for; what it cannot begin is told."""
        begun = time.monotonic()
        try:
            self._check()
            found = self._probe(self._gather())
        except (NoToken, OSError, ValueError) as failed:
            return self._cannot_ask(f"the prober cannot ask: {failed}", begun)
        seconds, now = time.monotonic() - begun, dt.datetime.now(dt.UTC)
        self.metrics.told(found, now.timestamp(), seconds)
        self._tell(found, now, seconds)
        return self._written(words.exit_code(found))

    def _cannot_ask(self, why: str, begun: float) -> int:
        """Tells a round that could not even begin, as one of which nothing is known."""
        complain(why)
        if self._as_json:
            self._print([words.as_json(Round((), why), dt.datetime.now(dt.UTC), time.monotonic() - begun)])
        self.metrics.failed(time.time())
        return self._written(CANNOT_START)

    def forever(self, every: float) -> int:
        """Runs a round in each interval until SIGTERM or SIGINT; returns 1 after any alarm, else the last code."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        code, was_alarm = 0, False
        while not stop.is_set():
            begun = time.monotonic()
            code = self.once()
            was_alarm = was_alarm or code == WRONG
            stop.wait(max(0.0, every - (time.monotonic() - begun)))
        return WRONG if was_alarm else code

    def _tell(self, found: Round, now: dt.datetime, seconds: float) -> None:
        """Writes the round to standard output, an alarm to standard error as well."""
        self._print([words.as_json(found, now, seconds)] if self._as_json else words.lines(found))
        if found.alarms and self._as_json:
            complain(words.verdict(found))

    def _print(self, lines: Iterable[str]) -> None:
        """Writes lines to standard output, at once."""
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    def _written(self, code: int) -> int:
        """Writes the metrics' file; a round whose metrics nobody will see is not done."""
        if self._textfile is not None:
            try:
                write_textfile(self._textfile, self.metrics.text)
            except OSError as error:
                complain(f"the metrics cannot be written to {self._textfile}: {error.strerror}")
                return code or CANNOT_START
        return code
