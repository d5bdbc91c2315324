"""A replay's report in Markdown, to be put as a comment on a change."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from remit_server.application.policy.replaying.report import Group, Report
from remit_server.cli.policy.replaying import words

MOST_CHARACTERS: Final = 60_000  # GitHub takes 65,536 in a comment
# NOTE: names are written by agents and identity providers: none may become a link, a mention, an image or HTML.
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~@:&])")


def markdown(report: Report) -> str:
    """Returns the report; past MOST_CHARACTERS it is cut between two groups, and says so."""
    text, left = "\n".join(_head(report)), 0
    for difference, groups in groupby(report.groups, key=lambda group: group.difference):
        part = f"\n### {words.title(difference).capitalize()}\n\n{difference.meaning}\n"
        for group in groups:
            told = part + "\n".join(_group(group)) + "\n"
            if left or len(text) + len(told) > MOST_CHARACTERS:
                left += 1
                continue
            text, part = text + told, ""
    cut = f"\n{words.many(left, 'further group')} did not fit: see the HTML or JSON report.\n" if left else ""
    return text + cut


def _head(report: Report) -> Iterator[str]:
    yield "## Policy replay"
    yield ""
    yield f"**{words.summary(report)}**"
    yield ""
    yield f"- candidate {_code(report.candidate)}"
    for revision, count in report.baselines.items():
        yield f"- on record {_code(revision)}, {words.many(count, 'decision')}"
    yield f"- {words.range_line(report)}"
    for count, told in words.verdict_lines(report):
        yield f"- {count:,} {told}"
    for remark in words.remarks(report):
        yield f"- **Note:** {remark}"
    yield ""


def _group(group: Group) -> Iterator[str]:
    role = f" on {_code(group.role_arn)}" if group.role_arn else ""
    yield f"\n**{words.who(group)}**{role}\n"
    if group.gained or group.lost:
        yield "```diff"
        yield from (f"+ {_fenced(line)}" for line in group.gained)
        yield from (f"- {_fenced(line)}" for line in group.lost)
        yield "```\n"
    yield from (f"- {_escaped(line)}" for line in group.reasons)
    example = group.example
    yield (
        f"- e.g. record {example.sequence} at {words.time(example.time)}: {_code(example.subject_id)} "
        f"through {_code(example.actor_id)}"
    )
    yield from (f"  - {_code(line)}" for line in example.shown)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", words.readable(text))


def _fenced(text: str) -> str:
    """Returns a line that cannot end the fence it stands in."""
    return words.readable(text).replace("```", "` ` `")


def _code(text: str) -> str:
    """Returns a text as code, in one more backtick than it has in a row itself."""
    told = words.readable(text) or "-"
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", told)), default=0))
    pad = " " if told.startswith("`") or told.endswith("`") else ""
    return f"{ticks}{pad}{told}{pad}{ticks}"
