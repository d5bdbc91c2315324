"""What AWS is told: the denies that are wanted become the texts of a few managed policies, and nothing else decides."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from remit_server.application.revocation.arranging import Lines, arranged, denied_by, lines_of_denies
from remit_server.application.revocation.folding import (
    Fold,
    Living,
    fold_of_everybody,
    folded_lines,
    folds_of,
    subjects_worth_asking,
)
from remit_server.application.revocation.lines import Line, is_sound, line_of
from remit_server.application.revocation.placing import Placed, Room, place
from remit_server.application.revocation.texts import policy_text
from remit_server.domain.revocation import SessionDeny

OPTIONAL_LIVES: Final = timedelta(seconds=120)  # an ended task's deny is worth writing while it has more than this
OPTIONAL_SHARE: Final = 0.75  # of the room: a quarter stays free of what need not be written


@dataclass(frozen=True, slots=True)
class Rendered:
    """The policies, and what they mean for each deny by its number.

    `told`: every session of it is refused by these texts. `left_out`: it has to be written, or was, and finds no room.
    `waived`: it is optional, and its credentials end by their own time guard. `mark` is that of the ledger.
    """

    pages: tuple[frozenset[Line], ...]
    told: tuple[int, ...]
    left_out: tuple[int, ...] = ()
    waived: tuple[int, ...] = ()
    mark: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of each policy."""
        return tuple(policy_text(page, self.mark) for page in self.pages)

    def with_canaries(self, canaries: Sequence[Line | None]) -> "Rendered":
        """Returns the same with a canary's line in each policy that is given one."""
        pages = zip(self.pages, canaries, strict=True)
        return replace(self, pages=tuple(page if line is None else page | {line} for page, line in pages))


def questions(wanted: Iterable[SessionDeny], now: datetime, room: Room) -> tuple[str | None, ...]:
    """Returns whose living sessions `render` has to know; empty while everything has room as it stands."""
    musts = [deny for deny in _wanted(wanted, now) if _must(deny)]
    if not _placed(musts, (), room).outside:
        return ()
    return subjects_worth_asking(musts)


def render(wanted: Iterable[SessionDeny], now: datetime, living: Living, room: Room) -> Rendered:
    """Returns the texts: the same ones for the same arguments, in whatever order the denies are given.

    Each deny that must be written is, as it stands or under a coarser line that no living session falls under. What
    finds no room even so is left out: what covers most, and longest, comes first.
    """
    everything = _wanted(wanted, now)
    musts = [deny for deny in everything if _must(deny)]
    placed = _fitting(musts, living, now, room)
    if not placed.outside:
        _add_optional([deny for deny in everything if not _must(deny)], placed, now, room)
    by_key = denied_by(placed.inside)
    told = {deny.number for deny in everything if by_key(deny)}
    missing = [deny for deny in everything if deny.number not in told]
    return Rendered(
        placed.pages,
        tuple(sorted(told)),
        tuple(sorted(deny.number for deny in missing if _must(deny))),
        tuple(sorted(deny.number for deny in missing if not _must(deny))),
    )


def unsound(wanted: Iterable[SessionDeny]) -> tuple[int, ...]:
    """Returns the numbers of denies that are never written, because they could refuse those who are to live."""
    return tuple(sorted(deny.number for deny in wanted if not is_sound(deny)))


def _wanted(wanted: Iterable[SessionDeny], now: datetime) -> list[SessionDeny]:
    """Returns what is to be denied now, in the order of the outbox."""
    return sorted(
        (deny for deny in wanted if is_sound(deny) and now <= deny.covers_until), key=lambda deny: deny.number
    )


def _must(deny: SessionDeny) -> bool:
    """Says whether it has to stand in the text: what AWS was told once stays told, or the dead would live again."""
    return deny.required or deny.written


def _fitting(musts: Sequence[SessionDeny], living: Living, now: datetime, room: Room) -> Placed:
    """Places the lines as they are; else folded by subject, as little as will do; else folded over everybody."""
    plain = _placed(musts, (), room)
    if not plain.outside:
        return plain
    folds = folds_of(musts, living, now)
    by_subject = _placed(musts, folds, room)
    if not by_subject.outside:
        return _least(musts, folds, room)
    everybody = _placed(musts, [*fold_of_everybody(musts, living, now), *folds], room)
    return min((plain, by_subject, everybody), key=lambda placed: len(placed.outside))


def _least(musts: Sequence[SessionDeny], folds: Sequence[Fold], room: Room) -> Placed:
    """Folds only as many subjects as are needed, found by halving; all of them are known to do."""
    low, high = 0, len(folds)
    while high - low > 1:
        middle = (low + high) // 2
        if _placed(musts, folds[:middle], room).outside:
            low = middle
        else:
            high = middle
    return _placed(musts, folds[:high], room)


def _placed(musts: Sequence[SessionDeny], folds: Iterable[Fold], room: Room) -> Placed:
    """Places the denies' lines under these folds."""
    lines: Lines = lines_of_denies(musts, folded_lines(folds))
    return place(arranged(musts, lines), room)


def _add_optional(optional: Iterable[SessionDeny], placed: Placed, now: datetime, room: Room) -> None:
    """Adds what need not be written, oldest first, while a quarter of the room stays free."""
    is_denied = denied_by(placed.inside)
    for deny in optional:
        if deny.covers_until - now <= OPTIONAL_LIVES or is_denied(deny):
            continue
        if not placed.add(line_of(deny), most=int(OPTIONAL_SHARE * room.whole)):
            return
