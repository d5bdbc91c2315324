"""Tells rounds as metrics in Prometheus' text format: on a page, or in a file for the node exporter."""

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

from remit_server.application.probing.values import Outcome, Round

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_SECONDS: Final = 5.0


@dataclass(slots=True)
class ProbeMetrics:
    """What there is to tell after each round; the counter of alarms keeps one that is over by the next round."""

    _alarms: Counter[str] = field(default_factory=Counter)
    _rounds: int = 0
    _text: str = "# no round has ended yet\n"

    @property
    def text(self) -> str:
        """The page."""
        return self._text

    def told(self, found: Round, ended_at: float, seconds: float) -> None:
        """Takes a round in."""
        self._rounds += 1
        self._alarms.update(finding.check.name for finding in found.alarms)
        self._text = "".join(f"{line}\n" for line in self._lines(found, ended_at, seconds))

    def failed(self, ended_at: float) -> None:
        """Takes a round in that could not even begin: nothing of the one before it is true any more."""
        self._rounds += 1
        lines = [*_gauge("remit_probe_conclusive", _CONCLUSIVE, [("", 0)]), *self._counters(), *_ended(ended_at)]
        self._text = "".join(f"{line}\n" for line in lines)

    def _lines(self, found: Round, ended_at: float, seconds: float) -> Iterator[str]:
        """Yields the page's lines."""
        outcomes = [
            (
                f'{{check="{finding.check.name}",wrong="{finding.check.wrong}",outcome="{outcome}"}}',
                int(finding.outcome is outcome),
            )
            for finding in found.findings
            for outcome in Outcome
        ]
        yield from _gauge(
            "remit_probe_outcome", "What each check came to in the last round: 1 for its outcome.", outcomes
        )
        told = "1 while something that must be refused was not, in the last round."
        yield from _gauge("remit_probe_alarm", told, [("", int(bool(found.alarms)))])
        yield from _gauge("remit_probe_conclusive", _CONCLUSIVE, [("", int(found.is_conclusive))])
        yield from self._counters(finding.check.name for finding in found.findings)
        yield from _gauge("remit_probe_duration_seconds", "How long the last round took.", [("", round(seconds, 3))])
        yield from _ended(ended_at)

    def _counters(self, names: Iterable[str] = ()) -> Iterator[str]:
        """Yields the counters."""
        yield "# HELP remit_probe_alarms_total Alarms since this prober started."
        yield "# TYPE remit_probe_alarms_total counter"
        for name in dict.fromkeys([*names, *self._alarms]):
            yield f'remit_probe_alarms_total{{check="{name}"}} {self._alarms[name]}'
        yield "# HELP remit_probe_rounds_total Rounds since this prober started."
        yield "# TYPE remit_probe_rounds_total counter"
        yield f"remit_probe_rounds_total {self._rounds}"


_CONCLUSIVE: Final = "1 when every check that was asked proved something, and the right identity was taken."


def _gauge(name: str, told: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    """Yields one metric."""
    yield f"# HELP {name} {told}"
    yield f"# TYPE {name} gauge"
    for labels, value in values:
        yield f"{name}{labels} {value}"


def _ended(at: float) -> Iterator[str]:
    """Yields when the last round ended."""
    return _gauge("remit_probe_last_round_timestamp_seconds", "When the last round ended.", [("", round(at, 3))])


def write_textfile(path: Path, text: str) -> None:
    """Puts a file in place at once, so that no half of it is ever read; everybody may read it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def metrics_page(address: tuple[str, int], metrics: ProbeMetrics) -> Iterator[tuple[str, int]]:
    """Serves `/metrics` while the block runs, one request at a time; yields the address. Raises OSError."""

    class Page(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS

        def do_GET(self) -> None:
            body = metrics.text.encode() if self.path == "/metrics" else b"see /metrics\n"
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
            """Says nothing: scrapes are no news."""

    with HTTPServer(address, Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            host, port = server.server_address[:2]
            yield str(host), int(port)
        finally:
            server.shutdown()
            thread.join()
