"""A comparison as text for a terminal and a log."""

from collections.abc import Iterator

from remit_server.application.comparing.values import Comparison, Verdict
from remit_server.cli.policy.diffing.lines import sections

_MEANS = {
    Verdict.EQUAL: "equal: everybody reaches what they did",
    Verdict.NARROWING: "narrowing: nobody reaches more than before",
    Verdict.WIDENING: "widening: somebody reaches more than before",
    Verdict.UNPROVEN: "unproven: nothing wider was seen, and that is no proof",
}


def text_of(comparison: Comparison) -> str:
    """Returns the whole comparison as text, with a line break at its end."""
    return "".join(f"{_plain(line)}\n" for line in (*_head(comparison), *body(comparison), *tail(comparison)))


def verdict_words(comparison: Comparison) -> str:
    """Returns the verdict and what it means."""
    if comparison.verdict is Verdict.UNPROVEN and comparison.narrows:
        return "unproven: only what is narrower was seen, and that is no proof"
    return _MEANS[comparison.verdict]


def body(comparison: Comparison) -> Iterator[str]:
    """Yields the changes and doubts, line by line."""
    for section in sections(comparison):
        yield section.heading
        for line in section.lines:
            yield f"{line.sign} {line.text}"
            yield from (f"      {below}" for below in line.below)
        yield ""
    if comparison.doubts:
        yield "in doubt"
        yield from (f"? {doubt.text}" for doubt in comparison.doubts)
        yield ""


def tail(comparison: Comparison) -> Iterator[str]:
    """Yields how far it looked, and what to do about doubts that reading can settle."""
    looked = comparison.looked
    yield (
        f"asked about {looked.groups:,} of {looked.groups_known:,} groups: {looked.askers:,} kinds of asker, "
        f"{looked.intents:,} intents, {looked.questions:,} questions to each policy"
    )
    if looked.held:
        yield f"the same in every question, though rules read it: {', '.join(looked.held)} (vary it with --probes)"
    if comparison.verdict is Verdict.UNPROVEN and all(doubt.kind.reviewable for doubt in comparison.doubts):
        yield f"who has read what is in doubt may say so: --rules-reviewed {comparison.review}"
    yield f"verdict: {verdict_words(comparison)}"


def _head(comparison: Comparison) -> Iterator[str]:
    yield f"policy {comparison.before[:12]} -> {comparison.after[:12]}"
    yield ""


def _plain(line: str) -> str:
    """Returns a line in which nothing moves a terminal's cursor: names are their author's."""
    return "".join(character if character.isprintable() else "?" for character in line)
