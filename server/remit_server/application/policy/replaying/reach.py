"""Compares what a subject could have asked for through an agent, as two revisions have it, symbolically."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from remit_server.application.comparing.judging.limits import is_as_lax
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import union
from remit_server.application.planning.recent import Recent
from remit_server.application.policy.replaying.answers import networks, seconds, who_is_asked
from remit_server.application.policy.replaying.differences import Difference, Finding
from remit_server.application.policy.replaying.permissions import Surplus, bounded, lines_of, surplus, within
from remit_server.domain.approval import joined
from remit_server.domain.decision import Allow, Decision
from remit_server.domain.entitlement import ApprovalRule, Entitlement
from remit_server.domain.permission import as_document
from remit_server.iam import Document

MOST_REMEMBERED = 512  # pairs of decisions: people of the same groups get the same two


@dataclass(frozen=True, slots=True)
class Reach:
    """Compares reaches under one set of ceilings; equal decisions are compared once."""

    ceilings: Ceilings
    _known: Recent[tuple[str, str], tuple[Finding, ...]] = field(
        default_factory=lambda: Recent(MOST_REMEMBERED), init=False, repr=False
    )

    def __call__(self, before: Decision, after: Decision) -> tuple[Finding, ...]:
        """Returns the differences, in a fixed order. A no of policy is no reach at all.

        What a candidate's own no takes away is not told again here: `NEWLY_REFUSED` says it.
        """
        key = before.kept.digest, after.kept.digest
        if key[0] == key[1]:
            return ()
        found = self._known.of(key)
        return self._known.keep(key, tuple(self._compared(before, after))) if found is None else found

    def _compared(self, before: Decision, after: Decision) -> Iterator[Finding]:
        had, has = (one.entitlements if isinstance(one, Allow) else () for one in (before, after))
        roles = list(dict.fromkeys(one.role_arn for one in (*has, *had) if self.ceilings.knows(one.role_arn)))
        for role in roles:
            yield from self._of_role(role, _of(role, had), _of(role, has))
        yield from _terms(had, has)

    def _of_role(self, role: str, had: Sequence[Entitlement], has: Sequence[Entitlement]) -> Iterator[Finding]:
        """Compares everything that can be had of a role, then what can be had of it at once."""
        gained, lost = self._both_ways(role, _document(had), _document(has))
        if gained.parts:
            yield Finding(Difference.REACH_WIDER, role, gained=gained.lines, reasons=_doubt(gained))
        elif gained.undecided:
            yield Finding(Difference.REACH_UNDECIDED, role, reasons=_doubt(gained))
        unasked, asked = self._both_ways(role, _document(_at_once(had)), _document(_at_once(has)))
        unasked, asked = _without(unasked, gained), _without(asked, lost)
        if unasked.parts:
            yield Finding(Difference.REACH_UNASKED, role, gained=unasked.lines, reasons=_doubt(unasked))
        elif unasked.undecided:
            yield Finding(Difference.REACH_UNDECIDED, role, reasons=("without anybody being asked", *_doubt(unasked)))
        if not has:
            return
        if lost.parts:
            yield Finding(Difference.REACH_NARROWER, role, lost=lost.lines, reasons=_doubt(lost))
        if asked.parts:
            yield Finding(Difference.REACH_ASKED, role, lost=asked.lines, reasons=_doubt(asked))

    def _both_ways(self, role: str, had: Document, has: Document) -> tuple[Surplus, Surplus]:
        """Returns what is gained and what is lost of what the role itself may do."""
        ceilings = self.ceilings.documents(role)
        return within(surplus(has, had), ceilings), within(surplus(had, has), ceilings)


def _of(role: str, entitlements: Sequence[Entitlement]) -> tuple[Entitlement, ...]:
    return tuple(one for one in entitlements if one.role_arn == role)


def _at_once(entitlements: Sequence[Entitlement]) -> tuple[Entitlement, ...]:
    """Returns those that nobody is asked about before."""
    return tuple(one for one in entitlements if one.approval is None or one.is_break_glass)


def _document(entitlements: Sequence[Entitlement]) -> Document:
    return union(entitlements) if entitlements else as_document(())


def _without(found: Surplus, told: Surplus) -> Surplus:
    """Returns what of a surplus was not told already."""
    return Surplus(tuple(part for part in found.parts if part not in told.parts), found.undecided)


def _doubt(found: Surplus) -> tuple[str, ...]:
    return (f"not wholly decided: {found.undecided}",) if found.undecided else ()


def _terms(had: Sequence[Entitlement], has: Sequence[Entitlement]) -> Iterator[Finding]:
    """Compares the terms of entitlements that both have, by role, and those of what only has another name now."""
    before = {one.entitlement_id: one for one in had}
    told: dict[tuple[str, Difference], list[str]] = {}
    for one in has:
        was = before.get(one.entitlement_id)
        changes = list(_changes(was, one)) if was is not None else []
        if not any(is_looser for is_looser, _ in changes):
            changes += _moved(had, one)
        for is_looser, line in changes:
            kind = Difference.TERMS_LOOSER if is_looser else Difference.TERMS_STRICTER
            told.setdefault((one.role_arn, kind), []).append(f"{one.entitlement_id}: {line}")
    for (role, kind), lines in told.items():
        yield Finding(kind, role, reasons=bounded(lines))


def _moved(had: Sequence[Entitlement], one: Entitlement) -> Iterator[tuple[bool, str]]:
    """Yields what an entitlement gives that could be had before, but only by another one and on harder terms.

    An entitlement that is renamed, or to which permissions were moved, says nothing of it by its name.
    """
    if one in had:
        return
    of_role = _of(one.role_arn, had)
    easy = tuple(other for other in of_role if is_as_lax(other, one))
    if len(easy) == len(of_role):
        return
    given = as_document(one.permissions)
    easier, new = surplus(given, _document(easy)), surplus(given, _document(of_role))
    lines = lines_of(part for part in easier.parts if part not in new.parts)
    if lines or (easier.undecided and not easier.parts and not new.undecided):
        yield True, f"gives on easier terms than before: {', '.join(lines) or easier.undecided}"


def _changes(was: Entitlement, now: Entitlement) -> Iterator[tuple[bool, str]]:
    """Yields each term that changed: whether that makes it easier (in doubt yes), and a line that says it."""
    for name, old, new in (
        ("credentials", was.max_credential, now.max_credential),
        ("task", was.max_task, now.max_task),
    ):
        if old != new:
            told = f"{name} for up to {seconds(new.total_seconds())} instead of {seconds(old.total_seconds())}"
            yield new > old, told
    if was.approval != now.approval:
        told = f"asked: {_asked(now.approval)} instead of {_asked(was.approval)}"
        yield not _is_stricter(was.approval, now.approval), told
    if was.kind is not now.kind:
        yield now.is_break_glass, f"{now.kind.value} instead of {was.kind.value}"
    if was.bind != now.bind:
        told = f"networks: {networks([now.bind]) or 'any'} instead of {networks([was.bind]) or 'any'}"
        yield was.bind is not None, told
    if was.offline_renewal != now.offline_renewal:
        yield now.offline_renewal, f"renewed while the user is away: {_yes(now.offline_renewal)}"


def _is_stricter(was: ApprovalRule | None, now: ApprovalRule | None) -> bool:
    """Says whether a rule surely asks no less than the one before: as many, of no further group, for no longer."""
    if was is None or now is None:
        return was is None
    no_less = now.min_approvers >= was.min_approvers and now.valid <= was.valid
    return no_less and now.by is was.by and set(now.groups) <= set(was.groups)


def _asked(rule: ApprovalRule | None) -> str:
    need = joined([rule] if rule else [])
    return who_is_asked(need) if need else "nobody"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
