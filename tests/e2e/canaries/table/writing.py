"""The table of every kind of secret against every sink, as the README has it: `python -m` writes it there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.e2e.canaries.second.sinks import SECOND_SINKS
from tests.e2e.canaries.sinks import SINKS
from tests.e2e.canaries.table.kinds import KINDS, Kind, Side, When

README: Final = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- the table begins -->\n", "<!-- the table ends -->\n"
ABROAD: Final = (
    "what a program in TypeScript shows and logs, and its crash",
    "what a program in Go shows and logs, and its panic",
)
PLACES: Final = (*dict.fromkeys((*SINKS, *SECOND_SINKS)), *ABROAD)
REASONS: Final = {
    "a": "It is never sent to the gateway, so that nothing behind the gateway can have it.",
    "b": "It is the gateway's own: no answer of the API has a field for it, and the process of a client never sees it.",
    "c": "These clients have no sign-in, no endpoint, no MCP server and no command for operators.",
    "d": "The records and questions of both gateways are made by the same code before a ledger or an engine is chosen: "
    "the other gateway's ledger, searched for it, has the same rows; an engine is asked what policies may read.",
    "e": "As d, the other way round: SQLite's rows are PostgreSQL's, and figures and spans are told by the same code.",
    "f": "A command's, on the machine of whoever signs; no gateway has it.",
}


def searched(kind: Kind, place: str) -> str:
    """Returns in which journeys a kind is looked for at a place: `1` and `2`, with `x` in extended runs only."""
    if place in ABROAD:
        return "T" if kind.abroad and place == ABROAD[0] else "G" if kind.abroad else ""
    found = []
    for name, when, sinks in (("1", kind.first, SINKS), ("2", kind.second, SECOND_SINKS)):
        if when is not When.NEVER and place in sinks:
            found.append(name + ("x" if when is When.EXTENDED else ""))
    return " ".join(found)


def reason(kind: Kind, place: str) -> str:
    """Returns why a kind cannot come to a place where it is not looked for."""
    if place in ABROAD:
        return "b" if kind.side is Side.GATEWAY else "c"
    if kind.side is Side.MACHINE:
        return "a"
    if kind.side is Side.OPERATOR:
        return "f"
    return "d" if place in SECOND_SINKS else "e"


def table() -> Iterator[str]:
    """Yields the lines of the table and what explains it."""
    letters = [chr(ord("A") + number) for number in range(len(PLACES))]
    yield "| sink | what it is |"
    yield "|---|---|"
    yield from (f"| {letter} | {place} |" for letter, place in zip(letters, PLACES, strict=True))
    yield ""
    yield f"| secret | comes in | {' | '.join(letters)} |"
    yield f"|---|---|{'---|' * len(PLACES)}"
    for kind in KINDS:
        cells = " | ".join(searched(kind, place) or f"*{reason(kind, place)}*" for place in PLACES)
        yield f"| {kind.name} | {', '.join(f'`{one}`' for one in kind.found)} | {cells} |"
    yield ""
    yield from (f"- *{letter}*: {text}" for letter, text in REASONS.items())


def written(text: str) -> str:
    """Returns the README with the table as it has to be."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n".join(table()) + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
