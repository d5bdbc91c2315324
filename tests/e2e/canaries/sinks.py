"""Where a secret could come out: every place is a sink with a name, whose texts are collected when all is over."""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e.canaries.journey import Journey

Texts = dict[str, bytes]
LEFT: Final = "left-by-the-canaries"
# What holds a secret on purpose: keys and tokens where they were put, each in a file of its own, or all in a folder.
ON_PURPOSE: Final = frozenset(
    {"aws-secret-access-key", "token", "operator", "ci.pem", "remit.pem", "active.pem", "next.pem", "previous.pem"}
    | {"bundle-token", "secrets"}
)


@dataclass(frozen=True)
class Sink:
    """A place where a secret could come out: what is in it, and how a leak would come into it, there where it is."""

    texts: Callable[[Journey], Texts]
    leak: Callable[[Journey, str], None]


def files_of(folder: Path) -> Texts:
    """Returns every file of a folder but those that hold a secret on purpose."""
    return {
        f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".key" and ON_PURPOSE.isdisjoint(path.relative_to(folder).parts)
    }


def _texts(name: str, texts: list[str]) -> Texts:
    return {f"{name} {number}, {text[:80]}": text.encode("utf-8", "surrogatepass") for number, text in enumerate(texts)}


def enumerated(name: str, texts: list[bytes]) -> Texts:
    """Returns texts with names of their own."""
    return {f"{name} {number}": text for number, text in enumerate(texts)}


def _rows(journey: Journey) -> Texts:
    """Returns the ledger as a dump has it: what is compressed or split over pages in its file is whole here."""
    with closing(sqlite3.connect(journey.own.log_path.with_name("ledger.sqlite3"))) as ledger:
        return {"dump": "\n".join(ledger.iterdump()).encode("utf-8", "surrogatepass")}


def _in_the_ledger(journey: Journey, text: str) -> None:
    with closing(sqlite3.connect(journey.own.log_path.with_name("ledger.sqlite3"))) as ledger:
        ledger.execute("CREATE TABLE IF NOT EXISTS planted (text TEXT)")
        ledger.execute("INSERT INTO planted VALUES (?)", (text,))
        ledger.commit()


def append(file: Path, text: str) -> None:
    """Writes a text to the end of a file."""
    with file.open("a") as opened:
        opened.write(text)


def _log(journey: Journey, text: str) -> None:
    record = logging.LogRecord("remit", logging.DEBUG, "", 0, text, (), None)
    journey.logged.emit(record)


def _folder(of: Callable[[Journey], Path], within: str = "") -> Sink:
    """Returns the sink of every file in a folder."""
    return Sink(lambda journey: files_of(of(journey)), lambda journey, text: append(of(journey) / within / LEFT, text))


def _file(of: Callable[[Journey], Path]) -> Sink:
    return Sink(
        lambda journey: {of(journey).name: of(journey).read_bytes()}, lambda journey, text: append(of(journey), text)
    )


# What every gateway has, wherever its ledger is.
USUAL: Final[Mapping[str, Sink]] = {
    "the gateway's log, and its stacks at a crash": _file(lambda journey: journey.own.log_path),
    "the gateway's standard output": _file(lambda journey: journey.own.log_path.with_name("stdout")),
    "every file of the gateway": _folder(lambda journey: journey.own.log_path.parent, "tmp"),
    "every file of the sandbox": _folder(lambda journey: journey.sandbox.folder),
    "every file of the agent's machine": _folder(lambda journey: journey.machine.folder),
    "exceptions and objects of the Python client, with variables": Sink(
        lambda journey: _texts("shown", journey.shown), lambda journey, text: journey.shows(ValueError(text))
    ),
    "what commands and tools print": Sink(
        lambda journey: _texts("printed", journey.printed), lambda journey, text: journey.printed.append(text)
    ),
    "what client and commands log at DEBUG": Sink(lambda journey: _texts("logged", journey.logged.lines), _log),
    "what others are told over HTTP": Sink(
        lambda journey: _texts("told", journey.told), lambda journey, text: journey.told.append(text)
    ),
}
SINKS: Final[Mapping[str, Sink]] = {
    **USUAL,
    "the gateway's page of figures, after each path": Sink(
        lambda journey: _texts("page", journey.pages), lambda journey, text: journey.pages.append(text)
    ),
    "what a collector of traces is sent": Sink(
        lambda journey: enumerated("trace", journey.traces), lambda journey, text: journey.traces.append(text.encode())
    ),
    "the ledger in SQLite, as a dump": Sink(_rows, _in_the_ledger),
}
SILENT: Final = frozenset({"the gateway's standard output"})  # where nothing at all is said


def kinds_not_found(journey: Journey, sink: Sink) -> set[str]:
    """Plants one secret of each kind in a sink, there where it is, and returns which kinds are not found in it."""
    canaries = journey.canaries
    sink.leak(journey, " ".join(canaries.of_kind(kind) for kind in sorted(canaries.kinds)))
    try:
        found = canaries.found_in(sink.texts(journey))
    finally:
        for file in journey.sandbox.folder.rglob(LEFT):  # other tests use the sandbox too
            file.unlink()
    return {kind for kind in canaries.kinds if not any(f": {kind}, after" in one for one in found)}
