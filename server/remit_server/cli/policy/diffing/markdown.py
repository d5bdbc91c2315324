"""A comparison as the comment on a change: whatever an author wrote stands inside one fence, and stays there."""

import re
from typing import Final

from remit_server.application.comparing.values import Comparison, Verdict
from remit_server.cli.policy.diffing.text import body, tail, verdict_words

MAX_CHARACTERS: Final = 60_000  # a comment of GitHub's has at most 65,536
_FENCE: Final = "```"


def markdown_of(comparison: Comparison) -> str:
    """Returns the whole comparison as Markdown, cut where a comment would not take it."""
    lines = [_plain(line) for line in (*body(comparison), *tail(comparison))]
    text, left = _cut(lines)
    fence = _FENCE + "`" * max((len(run) for run in re.findall(r"`{3,}", text)), default=0)
    cut = f"\n{left:,} more lines: see the job's log.\n" if left else ""
    return (
        f"### Policy diff: {comparison.verdict.value}\n\n"
        f"`{comparison.before[:12]}` → `{comparison.after[:12]}`. {_sentence(comparison)}\n\n"
        f"{fence}diff\n{text}{fence}\n{cut}"
    )


def _sentence(comparison: Comparison) -> str:
    words = verdict_words(comparison).partition(": ")[2]
    more = "" if comparison.verdict in {Verdict.EQUAL, Verdict.NARROWING} else " A person has to agree to that."
    return f"{words[0].upper()}{words[1:]}.{more}"


def _cut(lines: list[str]) -> tuple[str, int]:
    """Returns as many lines as fit, and how many do not."""
    room = MAX_CHARACTERS
    for at, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return "".join(f"{kept}\n" for kept in lines[:at]), len(lines) - at
    return "".join(f"{line}\n" for line in lines), 0


def _plain(line: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in line)
