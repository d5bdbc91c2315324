"""Where a secret could come out: every place is a sink with a name, whose texts are collected when all is over."""

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.e2e.canaries.journey import Journey, Kept

# What holds a secret on purpose: keys and tokens where they were put, each in a file of its own.
ON_PURPOSE: Final = frozenset(
    {
        "aws-secret-access-key",
        "token",
        "operator",
        "pushed",
        "told-secret",
        "hook-secret",
        "ci.pem",
        "scraper-token",
        "collector-token",
    }
)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".key" and path.name not in ON_PURPOSE
    }


def _texts(name: str, texts: list[str]) -> dict[str, bytes]:
    return {f"{name} {number}, {text[:80]}": text.encode("utf-8", "surrogatepass") for number, text in enumerate(texts)}


def enumerated(name: str, texts: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yields texts with names of their own."""
    yield from ((f"{name} {number}", text) for number, text in enumerate(texts))


def _rows(journey: Journey) -> dict[str, bytes]:
    """Returns the ledger as a dump has it: what is compressed or split over pages in its file is whole here."""
    with closing(sqlite3.connect(journey.own.log_path.with_name("ledger.sqlite3"))) as ledger:
        return {"dump": "\n".join(ledger.iterdump()).encode("utf-8", "surrogatepass")}


SINKS: Final[Mapping[str, Callable[[Journey], dict[str, bytes]]]] = {
    "the gateway's log, and its stacks at a crash": lambda journey: {"stderr": journey.own.log_path.read_bytes()},
    "the gateway's standard output": lambda journey: {"stdout": journey.own.log_path.with_name("stdout").read_bytes()},
    "every file of the gateway, its ledger with the write-ahead log": lambda journey: _files(
        journey.own.log_path.parent
    ),
    "the ledger as a dump": _rows,
    "every file of the sandbox": lambda journey: _files(journey.sandbox.folder),
    "every file of the agent's machine": lambda journey: _files(journey.machine.folder),
    "exceptions and objects of the client, with variables": lambda journey: _texts("shown", journey.shown),
    "what commands and tools print": lambda journey: _texts("printed", journey.printed),
    "what client and commands log at DEBUG": lambda journey: _texts("logged", journey.logged.lines),
    "what receivers of notifications are told": lambda journey: _texts("told", journey.told),
    "the gateway's page of figures, after each path": lambda journey: _texts("page", journey.pages),
    "what a collector of traces is sent": lambda journey: dict(enumerated("trace", journey.traces)),
}


def copied(journey: Journey, folder: Path) -> Journey:
    """Returns the journey with places of its own, so that something can be planted there."""
    for name, place in (("own", journey.own.log_path.parent), ("sandbox", journey.sandbox.folder)):
        shutil.copytree(place, folder / name, ignore=_sockets)
    shutil.copytree(journey.machine.folder, folder / "machine", ignore=_sockets)
    return replace(
        journey,
        own=replace(journey.own, log_path=folder / "own" / journey.own.log_path.name),
        sandbox=replace(journey.sandbox, folder=folder / "sandbox"),
        machine=replace(journey.machine, folder=folder / "machine"),
        shown=[],
        printed=[],
        told=[],
        pages=[],
        traces=[],
        logged=Kept(),
    )


def _sockets(folder: str, names: list[str]) -> list[str]:
    """Returns what cannot be copied."""
    return [name for name in names if not (Path(folder) / name).is_file() and not (Path(folder) / name).is_dir()]


def _in_the_ledger(journey: Journey, text: str) -> None:
    with closing(sqlite3.connect(journey.own.log_path.with_name("ledger.sqlite3"))) as ledger:
        ledger.execute("CREATE TABLE planted (text TEXT)")
        ledger.execute("INSERT INTO planted VALUES (?)", (text,))
        ledger.commit()


def _append(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def _log(journey: Journey, text: str) -> None:
    record = logging.LogRecord("remit", logging.DEBUG, "", 0, text, (), None)
    journey.logged.emit(record)


# How a leak comes into each sink, at the place that it is collected from.
LEAKS: Final[Mapping[str, Callable[[Journey, str], None]]] = dict(
    zip(
        SINKS,
        (
            lambda journey, text: _append(journey.own.log_path, text),
            lambda journey, text: _append(journey.own.log_path.with_name("stdout"), text),
            lambda journey, text: _append(journey.own.log_path.with_name("tmp") / "left", text),
            _in_the_ledger,
            lambda journey, text: _append(journey.sandbox.folder / "left", text),
            lambda journey, text: _append(journey.machine.folder / "left", text),
            lambda journey, text: journey.shows(ValueError(text)),
            lambda journey, text: journey.printed.append(text),
            _log,
            lambda journey, text: journey.told.append(text),
            lambda journey, text: journey.pages.append(text),
            lambda journey, text: journey.traces.append(text.encode()),
        ),
        strict=True,
    )
)
