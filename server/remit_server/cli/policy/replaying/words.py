"""The words that every form of a replay's report uses."""

import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from remit_server.application.policy.replaying.differences import Difference
from remit_server.application.policy.replaying.gathering import MOST_COUNTED
from remit_server.application.policy.replaying.report import Group, Report

_VERDICTS: Final = {
    "IDENTICAL": "answered the same, bit for bit",
    "SAME": "answered the same, from other bytes",
    "DIFFERENT": "answered differently, or reaching differently far",
    "FAILED": "failing: the candidate gives no decision",
    "ERASED": "not compared: what was asked has been erased",
    "NOT_KEPT": "not compared: the record names nothing that was kept",
    "UNREADABLE": "not compared: what was kept is not what this version reads",
    "NO_DECISION": "not compared: policy gave no decision then",
    "NO_CEILINGS": "not compared: the ceilings it was decided under are gone, or of another version (give --config)",
}


def summary(report: Report) -> str:
    """Says the whole in a sentence or two."""
    if not report.decisions:
        return "There is no decision on record in this range: nothing was replayed."
    if not report.compared:
        return f"Not one of {many(report.decisions, 'decision')} on record could be compared: nothing was replayed."
    told = f"{many(report.decisions, 'decision')} replayed"
    if report.uncompared:
        told += f", {report.uncompared:,} of them not compared"
    if report.is_without_difference:
        return f"{told}: the candidate answers every one that could be compared as it was answered."
    parts = [f"{count:,} {told}" for name, told in _EFFECTS.items() if (count := report.effects.get(name))]
    reach = (
        "More could be asked for than before" if report.reaches_further else "No more could be asked for than before"
    )
    answered = ", ".join(parts) if parts else "none is answered differently"
    return f"{told}: {answered}. {reach}."


_EFFECTS: Final = {
    "FAILED": "without any decision",
    "NEWLY_REFUSED": "newly refused",
    "NEWLY_ALLOWED": "newly allowed",
    "LOOSER": "given more or on easier terms",
    "STRICTER": "given less or on harder terms",
    "OTHERWISE": "answered otherwise, with no other rights",
}


def verdict_lines(report: Report) -> Iterator[tuple[int, str]]:
    """Yields how many decisions ended how."""
    for name, words in _VERDICTS.items():
        if count := report.verdicts.get(name):
            yield count, words


def remarks(report: Report) -> Iterator[str]:
    """Yields what a reader has to know of how far the report can be relied on."""
    if report.given_ceilings:
        yield "Replayed under the ceilings of the configuration that was given, not under those of the records."
    if report.partly:
        yield (
            f"{many(report.partly, 'record')} of an earlier version kept only what policy was asked: of these, "
            "policy's yes or no alone was compared."
        )
    if report.elsewhere:
        yield (
            f"{many(report.elsewhere, 'request')} had been refused by what no policy decides (a revoke, an approval, "
            "a renewal of less): of these, only what could be asked for was compared."
        )
    if report.unrepeated:
        yield (
            f"{many(report.unrepeated, 'recorded decision')} did not give the recorded outcome again under these "
            "ceilings and this version: their differences are from what the decision gives now."
        )
    if report.untold:
        yield f"{many(report.untold, 'difference')} of further kinds are counted here and not told."


def range_line(report: Report) -> str:
    """Says which part of the trail was replayed."""
    if not report.decisions or report.first_time is None or report.last_time is None:
        return f"since {time(report.since)}"
    return f"records {report.first:,} to {report.last:,}, from {time(report.first_time)} to {time(report.last_time)}"


def who(group: Group) -> str:
    """Says how many decisions, users and agents a group stands for."""
    return f"{many(group.count, 'decision')}, {_some(group.subjects, 'user')}, {_some(group.actors, 'agent')}"


def many(count: int, noun: str) -> str:
    """Returns a number with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def time(moment: datetime) -> str:
    """Returns a time as people read it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def title(difference: Difference) -> str:
    """Returns a difference's name as a heading."""
    return difference.value.replace("_", " ").lower()


def _some(count: int, noun: str) -> str:
    return f"{count:,} or more {noun}s" if count >= MOST_COUNTED else many(count, noun)


def readable(text: str) -> str:
    """Returns a text in its own letters, what is no letter or mark to see (controls, directions) escaped."""
    return "".join(one if one == " " or unicodedata.category(one)[0] not in "CZ" else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    return f"\\u{ord(one):04x}"
