"""Concrete actions and resources that stand for all others: one for each distinct set of rules that match."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, product

from remit_server.iam.containment.rules import Rule
from remit_server.iam.containment.verdict import Purse
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import Machine, walk
from remit_server.iam.language.pattern import Pattern

_SERVICES = ("anyservice",)
_REGIONS = ("us-east-1", "eu-west-1")
_ACCOUNTS = ("111122223333", "444455556666")


@dataclass(frozen=True, slots=True)
class Example:
    """Holds one concrete text and the rules that match it on this side, as a bit mask over their order."""

    text: str
    matched: int


def actions(base: ActionPattern, rules: Sequence[Rule], in_play: int, purse: Purse) -> list[Example]:
    """Returns examples for every way in which actions of the base meet the rules in play, a mask over them.

    Rules out of play count as not matching. Raises BudgetError.
    """
    playing = [(at, rule) for at, rule in enumerate(rules) if in_play >> at & 1]
    services: Iterable[str] = (base.service,)
    if base.service == "*":
        named = {action.service for _, rule in playing for action in rule.actions} - {"*"}
        services = (*sorted(named), _unnamed(_SERVICES, named))
    found: dict[int, Example] = {}
    for service in services:
        sides = [
            (at, rule.not_action, [each.name for each in rule.actions if each.service in (service, "*")])
            for at, rule in playing
        ]
        for example in _along(base.name, sides, purse):
            found.setdefault(example.matched, Example(f"{service}:{example.text}", example.matched))
    return list(found.values())


def resources(base: ResourcePattern, rules: Sequence[Rule], in_play: int, purse: Purse) -> list[Example]:
    """Returns examples for every way in which resources of the base meet the rules in play, a mask over them.

    Rules out of play count as not matching. Raises BudgetError.
    """
    playing = [(at, rule) for at, rule in enumerate(rules) if in_play >> at & 1]
    found: dict[int, Example] = {}
    if base.is_universal:
        nothing = sum(
            (any(each.is_universal for each in rule.resources) != rule.not_resource) << at for at, rule in playing
        )
        found[nothing] = Example("*", nothing)
    walked: set[tuple[tuple[str, ...], ...]] = set()
    for head in _heads(base, [rule for _, rule in playing]):
        purse.states.take(1 + len(playing) // 16)  # what choosing the patterns of one head costs
        sides = [
            (at, rule.not_resource, [each.name for each in rule.resources if _under(each, head)])
            for at, rule in playing
        ]
        shape = tuple(tuple(name.text for name in names) for _, _, names in sides)
        if shape in walked:
            continue
        walked.add(shape)
        for example in _along(base.name, sides, purse):
            found.setdefault(example.matched, Example(":".join(("arn", *head, example.text)), example.matched))
    return list(found.values())


def _heads(base: ResourcePattern, rules: Sequence[Rule]) -> Iterator[tuple[str, str, str, str]]:
    """Yields each head segment combination the rules tell apart, and one that none of them names."""
    arns = [each for rule in rules for each in rule.resources if not each.is_universal]
    owners = {each.head[:2] for each in arns}
    if not base.is_universal:
        owners = {base.head[:2]}
    else:
        owners.add(("aws", _unnamed(_SERVICES, {service for _, service in owners})))
    for partition, service in sorted(owners):
        about = [each.head for each in arns if each.head[:2] == (partition, service)]
        regions = _choices(base.head[2], {head[2] for head in about}, _REGIONS)
        accounts = _choices(base.head[3], {head[3] for head in about}, _ACCOUNTS)
        for region, account in product(regions, accounts):
            yield partition, service, region, account


def _choices(segment: str, named: set[str], preferred: Sequence[str]) -> tuple[str, ...]:
    if segment != "*":
        return (segment,)
    literal = named - {"*"}
    return (_unnamed(preferred, literal), *sorted(literal))


def _unnamed(preferred: Sequence[str], named: set[str]) -> str:
    generated = (f"{preferred[0]}-{number}" for number in count(2))
    return next(name for name in chain(preferred, generated) if name not in named)


def _under(pattern: ResourcePattern, head: tuple[str, str, str, str]) -> bool:
    return all(mine in ("*", theirs) for mine, theirs in zip(pattern.head, head, strict=True))


def _along(base: Pattern, sides: Sequence[tuple[int, bool, Sequence[Pattern]]], purse: Purse) -> Iterator[Example]:
    """Walks the base with every pattern that neither holds all of it nor none of it.

    `sides` are the rules by their bit, whether their list is negated, and the patterns of the list.
    """
    machines: list[Machine] = []
    places: dict[str, int] = {}
    tests: list[tuple[int, bool, bool, int]] = []
    purse.comparisons.take(base.cost * sum(len(patterns) for _, _, patterns in sides))
    for bit, negated, patterns in sides:
        always = any(pattern.machine.embeds(base.machine) for pattern in patterns)
        watched = 0
        for pattern in () if always else patterns:
            if pattern.overlaps(base):
                if pattern.text not in places:
                    places[pattern.text] = len(machines)
                    machines.append(pattern.machine)
                watched |= 1 << places[pattern.text]
        tests.append((bit, negated, always, watched))
    for text, seen in walk(base.machine, machines, purse.states):
        yield Example(
            text, sum(((always or bool(seen & watched)) != negated) << bit for bit, negated, always, watched in tests)
        )
