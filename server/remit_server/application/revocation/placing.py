"""Which line stands in which policy: a place of its own by its hash, so that one more line changes one policy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from remit_server.application.revocation.lines import Line
from remit_server.application.revocation.texts import MARK_CHARACTERS, MOST_CHARACTERS, Page

CANARY_ROOM: Final = 192 + MARK_CHARACTERS  # of each policy: kept for a canary's line, and for the ledger's mark


@dataclass(frozen=True, slots=True)
class Room:
    """How many policies there are, and how many characters each takes."""

    policies: int = 4
    characters: int = MOST_CHARACTERS

    @property
    def whole(self) -> int:
        """The characters of all policies, those kept for canaries and marks excepted."""
        return self.policies * (self.characters - CANARY_ROOM)


@dataclass(slots=True)
class Placed:
    """The policies as they are filled, and the lines that found no room."""

    filled: tuple[Page, ...]
    outside: tuple[Line, ...]

    @property
    def pages(self) -> tuple[frozenset[Line], ...]:
        """The lines of each policy."""
        return tuple(frozenset(page.lines) for page in self.filled)

    @property
    def inside(self) -> frozenset[Line]:
        """Every line that has its place."""
        return frozenset[Line]().union(*self.pages)

    @property
    def used(self) -> int:
        """The characters of all policies."""
        return sum(page.used for page in self.filled)

    def add(self, line: Line, *, most: int) -> bool:
        """Adds one line if the policies then take at most so many characters; says whether it did."""
        page = next((page for page in _from_home(self.filled, line) if page.used + page.cost(line) <= page.room), None)
        return page is not None and self.used + page.cost(line) <= most and page.takes(line)


def place(lines: Iterable[Line], room: Room) -> Placed:
    """Places lines, the ones that matter most first; who comes later finds less room."""
    pages = tuple(Page(room.characters - CANARY_ROOM) for _ in range(room.policies))
    outside = [line for line in lines if not any(page.takes(line) for page in _from_home(pages, line))]
    return Placed(pages, tuple(outside))


def cost_of(lines: Iterable[Line]) -> int:
    """Returns about how many characters the lines take together."""
    page = Page(room=10**9)
    for line in lines:
        page.takes(line)
    return page.used


def _from_home(pages: Sequence[Page], line: Line) -> Sequence[Page]:
    """Returns the pages, beginning with the line's own; lines with a time keep together by it."""
    name = line.pattern if line.before is None else line.before.isoformat()
    home = sha256(f"{line.tag} {name}".encode()).digest()[0] % len(pages)
    return [*pages[home:], *pages[:home]]
