"""Changes as lines that people read: what is alike is told together, with whom it is for and one example."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from remit_server.application.comparing.asking.askers import UNNAMED_ISSUER
from remit_server.application.comparing.values import Asker, Change, Comparison, Direction, Example, Reach, What

SIGNS: Final = {Direction.WIDENING: "+", Direction.NARROWING: "-", Direction.BOTH: "!", Direction.NEUTRAL: "="}
MOST_NAMED: Final = 4
_S3: Final = "arn:aws:s3:::"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its sign, what it says, and below it for whom, and an example."""

    sign: str
    text: str
    below: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a heading."""

    heading: str
    lines: tuple[Line, ...]


def sections(comparison: Comparison) -> Iterator[Section]:
    """Yields the changes by groups, then what else changed."""
    by_groups: dict[tuple[str, ...], list[Reach]] = {}
    for reach in comparison.reaches:
        if reach.change.what is not What.REASON:
            by_groups.setdefault(reach.groups, []).append(reach)
    for groups, reaches in by_groups.items():
        yield Section(_heading(groups), tuple(_of_reaches(reaches)))
    reasons = [reach for reach in comparison.reaches if reach.change.what is What.REASON]
    if reasons:
        yield Section("refusals that read otherwise; nobody reaches more or less by them", tuple(_of_reasons(reasons)))
    security = [change for change in comparison.others if change.what is What.ADMINISTRATION]
    templates = [change for change in comparison.others if change.what is What.CAPABILITY]
    order = [change for change in comparison.others if change.what is What.ROLE_ORDER]
    if templates:
        yield Section("capabilities (what they expand to; entitlements bound it all the same)", tuple(_told(templates)))
    if security:
        yield Section("the security side", tuple(_told(security)))
    if order:
        yield Section("the catalogue", tuple(_told(order)))


def _heading(groups: tuple[str, ...]) -> str:
    if not groups:
        return "whoever is in no group"
    return f"group {groups[0]}" if len(groups) == 1 else f"whoever is in {' and '.join(groups)} at once"


def _of_reaches(reaches: Sequence[Reach]) -> Iterator[Line]:
    """Yields a line for all changes that are alike but for the action, or the call that is refused."""
    alike: dict[tuple[object, ...], list[Reach]] = {}
    for reach in reaches:
        change = reach.change
        resource = "" if change.what is What.REFUSAL else change.resource
        key = (change.direction, change.what, change.where, change.entitlement, resource, change.conditions)
        alike.setdefault((*key, change.before, change.after, reach.askers), []).append(reach)
    for same in alike.values():
        changes = [reach.change for reach in same]
        shown = sorted((change.example for change in changes if change.example), key=lambda one: "*" in one.resource)
        below = (*_who(same[0].askers), _example(shown[0] if shown else None))
        yield Line(SIGNS[changes[0].direction], _text(changes), tuple(line for line in below if line))


def _of_reasons(reaches: Sequence[Reach]) -> Iterator[Line]:
    """Yields a line for all that is refused by the same before, and by the same now."""
    alike: dict[tuple[str, str], list[Reach]] = {}
    for reach in reaches:
        alike.setdefault((reach.change.before, reach.change.after), []).append(reach)
    for (before, after), same in alike.items():
        calls = dict.fromkeys(
            f"{one.action} on {short(one.resource)}" for one in (reach.change for reach in same) if one.action
        )
        groups = dict.fromkeys(" and ".join(reach.groups) or "no group" for reach in same)
        text = f"{_some(list(calls)) or 'whatever is asked for'}: refused by {before} before, by {after} now"
        yield Line(SIGNS[Direction.NEUTRAL], text, (f"groups: {_some(list(groups))}",))


def _text(changes: Sequence[Change]) -> str:
    """Returns what changed, in words."""
    change = changes[0]
    role = change.where.rpartition("/")[2]
    if change.what is What.PERMISSION:
        conditions = f" if {change.conditions}" if change.conditions else ""
        actions = ", ".join(dict.fromkeys(one.action for one in changes))
        return f"{actions} on {short(change.resource)}{conditions} ({role}, {change.entitlement})"
    if change.what is What.REFUSAL:
        calls = _some(list(dict.fromkeys(f"{one.action} on {short(one.resource)}" for one in changes)))
        if change.direction.widens:
            return f"{calls}: no longer refused by {change.before} ({role})"
        return f"{calls}: refused now, {change.after} ({role})"
    part = f" for {change.action} on {short(change.resource)}" if change.action else ""
    return f"{change.entitlement}{part}: {change.what.value} {change.before} -> {change.after} ({role})"


def _told(changes: Iterable[Change]) -> Iterator[Line]:
    """Yields a line for what is no matter of groups; calls of the security side that changed alike stand in one."""
    alike: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        action = "" if change.what is What.ADMINISTRATION else change.action
        alike.setdefault(
            (change.direction, change.where, action, change.conditions, change.before, change.after), []
        ).append(change)
    for same in alike.values():
        change = same[0]
        below = (_example(change.example),) if change.example else ()
        yield Line(SIGNS[change.direction], _words(change, same), tuple(line for line in below if line))


def _words(change: Change, same: Sequence[Change]) -> str:
    if change.what is What.ADMINISTRATION:
        calls = ", ".join(one.action for one in same)
        return f"{change.where}: {calls}: {change.before} -> {change.after}"
    if change.what is What.ROLE_ORDER:
        return f"roles are tried in another order: {change.before} -> {change.after}"
    if change.action:
        way = "stands for" if change.direction.widens else "no longer stands for"
        return f"{change.where} {way} {change.action}, {change.conditions}"
    return f"{change.where}: {change.before} -> {change.after}"


def _who(askers: Sequence[Asker]) -> Iterator[str]:
    """Yields for which agents, and under what else, a change holds."""
    yield f"agents: {_some(sorted({asker.actor_class for asker in askers}))}"
    issuers = sorted({asker.issuer for asker in askers})
    if UNNAMED_ISSUER not in issuers:
        yield f"issuers: {_some(issuers)}"
    labels = {asker.labels for asker in askers}
    if () not in labels:
        yield f"task labels: {_some(sorted(' and '.join(f'{name}={value}' for name, value in one) for one in labels))}"
    moments = sorted({asker.moment for asker in askers} - {"at any time"})
    if moments:
        yield f"hours: {_some(moments)}"
    if all(asker.variation for asker in askers):
        yield f"with your probes {_some([str(number) for number in sorted({asker.variation for asker in askers})])}"


def _example(example: Example | None) -> str:
    """Returns one concrete call, and how it is known."""
    if example is None:
        return ""
    context = " and ".join(f"{'' if holds else 'not '}{condition}" for condition, holds in example.context)
    known = [
        *(["evaluated"] if example.evaluated else []),
        *([f"the rules: {example.engine}"] if example.engine else []),
    ]
    return f"such as {example.action} on {example.resource}{f' where {context}' if context else ''}" + (
        f" ({'; '.join(known)})" if known else ""
    )


def short(resource: str) -> str:
    """Returns a resource as people call it: an S3 ARN without what all of them begin with."""
    return resource.removeprefix(_S3)


def _some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
