"""How a round is told: lines for people, one JSON object for programs, and what the exit code says."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Final

from remit_server.application.probing.values import Finding, Outcome, Round
from remit_server.cli.output import CANNOT_START, WRONG, visible

_WORDS: Final = {
    Outcome.REFUSED: "ok",
    Outcome.ISSUED: "ALARM",
    Outcome.ACCEPTED: "ALARM",
    Outcome.UNCLEAR: "unclear",
    Outcome.SKIPPED: "skipped",
}


def exit_code(found: Round) -> int:
    """Returns 1 for an alarm, 2 where the round proves too little, 0 when all was refused as it must be."""
    if found.alarms:
        return WRONG
    return 0 if found.is_conclusive else CANNOT_START


def lines(found: Round) -> Iterator[str]:
    """Yields a round's lines: alarms say all there is to say, a right no says its reason."""
    if found.control:
        yield f"unclear  the right identity is not taken, so that no refusal proves anything: {visible(found.control)}"
    heard = found.control
    for finding in found.findings:
        said = finding.reason or _told_once(finding, heard)
        heard += finding.told
        yield f"{_WORDS[finding.outcome]:8} {finding.check.name:17} {visible(said)}"
        if finding.outcome.is_alarm or (finding.reason and finding.outcome is Outcome.UNCLEAR):
            yield f"         asked for: {finding.check.told}"
            yield f"         {visible(finding.told)}"
            yield f"         its records: remit-server audit explain {finding.request_id}"
    yield verdict(found)


def _told_once(finding: Finding, heard: str) -> str:
    """Returns what came of a check; why nobody answered it is not told again."""
    if finding.outcome is Outcome.UNCLEAR and finding.told in heard:
        return "no answer, for the reason above"
    return finding.told


def verdict(found: Round) -> str:
    """Returns a round in a sentence."""
    if found.alarms:
        names = ", ".join(finding.check.name for finding in found.alarms)
        return f"ALARM: this gateway did not refuse what it must refuse: {names} (docs/probing.md says what to do)"
    if not found.is_conclusive:
        return "inconclusive: no alarm, but not everything that was asked got the answer that proves something"
    skipped = found.count(Outcome.SKIPPED)
    rest = f"; {skipped} more were not asked, for want of a token" if skipped else ""
    return f"all {found.count(Outcome.REFUSED)} wrong requests were refused, each for the right reason{rest}"


def as_json(found: Round, ended_at: dt.datetime, seconds: float) -> str:
    """Returns a round as one line of JSON."""
    return json.dumps(
        {
            "time": ended_at.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "alarm": bool(found.alarms),
            "conclusive": found.is_conclusive,
            "control": found.control,
            "checks": [_finding(finding) for finding in found.findings],
        }
    )


def _finding(finding: Finding) -> dict[str, str]:
    """Returns one check as JSON's values."""
    return {
        "check": finding.check.name,
        "wrong": finding.check.wrong,
        "outcome": finding.outcome,
        "reason": finding.reason,
        "told": finding.told,
        "request_id": finding.request_id,
    }
