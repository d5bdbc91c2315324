"""A replay's report as one page: no script, nothing from elsewhere, and every text of agents and authors escaped."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from remit_server.application.policy.replaying.differences import Difference
from remit_server.application.policy.replaying.report import Group, Report
from remit_server.cli.policy.replaying import words

_STYLE: Final = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
# NOTE: the page may be opened where it was uploaded. By its own policy it can run nothing and load nothing, whatever a
# purpose or a group's name holds; that style alone is its own.
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_HEAD: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Policy replay</title>
<style>{_STYLE}</style>
</head>
<body>
"""
_WIDE: Final = 1000  # units of the bar


def page(report: Report) -> str:
    """Returns the whole page."""
    return _HEAD + "\n".join(_body(report)) + "\n</body>\n</html>\n"


def _body(report: Report) -> Iterator[str]:
    yield "<header>"
    yield '<p class="kicker">Policy replay</p>'
    yield f"<h1>{_text(words.summary(report))}</h1>"
    yield from _badges(report)
    yield "</header><main>"
    yield from _numbers(report)
    yield from _share(report)
    yield from _facts(report)
    if remarks := list(words.remarks(report)):
        yield f'<ul class="remarks">{"".join(f"<li>{_text(one)}</li>" for one in remarks)}</ul>'
    answered = [group for group in report.groups if not group.difference.is_of_reach]
    reaching = [group for group in report.groups if group.difference.is_of_reach]
    yield from _part("What was asked", "How requests on record would be answered by the candidate.", answered)
    told = "What the same users could have asked for through the same agents, at the moment of each request on record."
    yield from _part("What could be asked for", told, reaching)
    yield "</main>"
    yield (
        "<footer><p>A <b>+</b> is a permission that the candidate adds, a <b>&minus;</b> one that it takes away. "
        "Permissions are compared by the same proof that stands before every credential, and within each role's own "
        "policy. Equal histories and candidates make this page byte for byte again.</p></footer>"
    )


def _badges(report: Report) -> Iterator[str]:
    """Says what a reviewer has to decide about."""
    found = []
    if report.widens:
        found.append(("warn", "Somebody may do more"))
    if report.refuses:
        found.append(("minus", "Somebody is newly refused"))
    if not found:
        calm = "No difference" if report.is_without_difference else "Nobody may do more, nobody is newly refused"
        found.append(("plus", calm))
    if report.uncompared:
        found.append(("calm", f"{report.uncompared:,} not compared"))
    items = (f'<li class="badge {kind}">{_text(told)}</li>' for kind, told in found)
    yield f'<ul class="badges">{"".join(items)}</ul>'


def _numbers(report: Report) -> Iterator[str]:
    shown = [(report.decisions, "decisions replayed", "")]
    shown += [(report.verdicts.get("IDENTICAL", 0), "the same, bit for bit", "calm")]
    shown += [
        (count, told, style)
        for name, (told, style) in _EFFECTS.items()
        if (count := report.effects.get(name, 0)) or name in {"NEWLY_ALLOWED", "NEWLY_REFUSED"}
    ]
    items = (f'<li><b class="{style}">{count:,}</b><span>{told}</span></li>' for count, told, style in shown)
    yield f'<ul class="numbers">{"".join(items)}</ul>'


_EFFECTS: Final = {
    "FAILED": ("without any decision", "minus"),
    "NEWLY_REFUSED": ("newly refused", "minus"),
    "NEWLY_ALLOWED": ("newly allowed", "warn"),
    "LOOSER": ("given more, or on easier terms", "warn"),
    "STRICTER": ("given less, or on harder terms", "minus"),
    "OTHERWISE": ("answered otherwise, with no other rights", ""),
    "REACH_ONLY": ("answered the same, reaching differently far", ""),
}


def _share(report: Report) -> Iterator[str]:
    """Draws how the decisions divide up; the numbers stand beside it."""
    counts = {
        "identical": (report.verdicts.get("IDENTICAL", 0), "the same"),
        "same": (_sum(report, "OTHERWISE", "REACH_ONLY") + report.verdicts.get("SAME", 0), "the same rights"),
        "looser": (_sum(report, "NEWLY_ALLOWED", "LOOSER"), "more, or easier"),
        "stricter": (_sum(report, "FAILED", "NEWLY_REFUSED", "STRICTER"), "less, harder, or refused"),
        "uncompared": (report.uncompared, "not compared"),
    }
    total = sum(count for count, _ in counts.values())
    if not total:
        return
    start, bars = 0.0, []
    for style, (count, _) in counts.items():
        width = _WIDE * count / total
        bars.append(f'<rect class="{style}" x="{start:.2f}" width="{width:.2f}" height="10"/>')
        start += width
    yield (
        f'<svg class="share" viewBox="0 0 {_WIDE} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="How the decisions divide up">{"".join(bars)}</svg>'
    )
    legend = (
        f'<li><svg class="share" viewBox="0 0 1 1" aria-hidden="true"><rect class="{style}" width="1" height="1"/>'
        f"</svg>{told}: {count:,}</li>"
        for style, (count, told) in counts.items()
        if count
    )
    yield f'<ul class="key">{"".join(legend)}</ul>'


def _sum(report: Report, *names: str) -> int:
    return sum(report.effects.get(name, 0) for name in names)


def _facts(report: Report) -> Iterator[str]:
    facts = [("Candidate", _code(report.candidate)), ("Range", _text(words.range_line(report)))]
    for place, (revision, count) in enumerate(report.baselines.items()):
        facts.append(("" if place else "On record", f"{_code(revision)} {_text(words.many(count, 'decision'))}"))
    ceilings = "those of the given configuration" if report.given_ceilings else "those of each record"
    facts.append(("Ceilings", ceilings))
    for place, (count, told) in enumerate(words.verdict_lines(report)):
        facts.append(("" if place else "Of these", _text(f"{count:,} {told}")))
    items = (f"<dt>{name}</dt><dd>{told}</dd>" for name, told in facts)
    yield f'<dl class="facts">{"".join(items)}</dl>'


def _part(heading: str, told: str, groups: Sequence[Group]) -> Iterator[str]:
    yield f"<h2>{heading}</h2><p>{told}</p>"
    if not groups:
        yield '<p class="difference">No difference.</p>'
    for difference, same in groupby(groups, key=lambda group: group.difference):
        yield from _difference(difference, list(same))


def _difference(difference: Difference, groups: Sequence[Group]) -> Iterator[str]:
    style = "warn" if difference.widens else "minus" if difference.refuses else ""
    name = words.title(difference).capitalize()
    yield f'<section class="difference"><h3 class="{style}">{name}</h3>'
    yield f'<span class="tag">{difference.value}</span><p>{_text(difference.meaning)}</p>'
    for group in groups:
        yield from _group(group)
    yield "</section>"


def _group(group: Group) -> Iterator[str]:
    role = f" {_code(group.role_arn)}" if group.role_arn else ""
    span = f"{group.first_time:%Y-%m-%d} to {group.last_time:%Y-%m-%d}"
    if group.first_time.date() == group.last_time.date():
        span = f"{group.first_time:%Y-%m-%d}"
    yield f'<article class="group"><header><b>{_text(words.who(group))}</b>'
    yield f'<span class="when">{span}</span>{role}</header>'
    yield _lines([*_signed("+", group.gained), *_signed("-", group.lost), *_signed("", group.reasons)])
    yield from _example(group)
    yield "</article>"


def _example(group: Group) -> Iterator[str]:
    example = group.example
    yield (
        f"<details><summary>Example: {_code(example.subject_id)} through {_code(example.actor_id)}, "
        f'<span class="when">{_text(words.time(example.time))}</span></summary><div><dl>'
    )
    facts = [
        ("Purpose", _text(example.purpose)),
        ("User of", _code(example.subject_issuer)),
        ("Record", f"{example.sequence:,} ({_text(example.kind)})"),
        ("Task", _code(example.task_id)),
        ("Decided by", _code(example.policy_revision)),
        ("Explain", _code(f"remit-server audit explain {example.input_digest}") if example.input_digest else ""),
    ]
    yield "".join(f"<dt>{name}</dt><dd>{told}</dd>" for name, told in facts if told and told != "<code></code>")
    yield "</dl>"
    yield _lines([_sign_of(line) for line in example.shown])
    yield "</div></details>"


def _signed(sign: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((sign, line) for line in lines)


def _sign_of(line: str) -> tuple[str, str]:
    """Returns the sign that a line of an example begins with, and the rest."""
    return (line[0], line[2:]) if line[:2] in {"+ ", "- "} else ("", line)


def _lines(lines: Sequence[tuple[str, str]]) -> str:
    """Returns permissions and reasons as a list: the sign says what the colour says."""
    if not lines:
        return ""
    items = []
    for sign, line in lines:
        style, shown = {"+": ("plus", "+"), "-": ("minus", "\u2212")}.get(sign, ("reason", "\u00b7"))
        told = _code(line) if sign else _text(line)
        items.append(f'<li class="{style}" data-sign="{shown}">{told}</li>')
    return f'<ul class="lines">{"".join(items)}</ul>'


def _text(text: str) -> str:
    """Returns a text with nothing in it that HTML, a terminal or a bidirectional algorithm would take for more."""
    return escape(words.readable(text), quote=True)


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"
