"""Capability templates compared with open parameters: what an intent that names one expands to, before and after.

It matters within entitlements only: whatever a template expands to is still held to the ceiling. So a name that is
new or gone changes nothing anybody has; one that now stands for more is wider, for agents ask for it already.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain, combinations, islice
from typing import Final

from remit_server.application.comparing.judging.proofs import Proofs, met
from remit_server.application.comparing.values import Change, Direction, Doubt, DoubtKind, Example, What
from remit_server.domain.capability import PARTITION, CapabilityTemplate, PermissionTemplate
from remit_server.domain.permission import Permission, as_document
from remit_server.iam import ActionPattern, Condition, Counterexample, Document, ResourcePattern, Undecided

MOST_WAYS: Final = 16
_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# NOTE: two samples of different lengths stand for every value: a `?` of a template takes one letter, never both.
_SAMPLES: Final = ("q", "qqzzqqzzqq")

Templates = Mapping[str, CapabilityTemplate]


def capability_changes(before: Templates, after: Templates, proofs: Proofs) -> tuple[list[Change], list[Doubt]]:
    """Returns what changed of the templates, and what could not be decided."""
    changes: list[Change] = []
    doubts: list[Doubt] = []
    for name in sorted({*before, *after}):
        then, now = before.get(name), after.get(name)
        if then is None or now is None:
            words = ("not there", "there") if then is None else ("there", "not there")
            changes.append(Change(Direction.NEUTRAL, What.CAPABILITY, name, before=words[0], after=words[1]))
        elif then.permissions != now.permissions or _asks(then) != _asks(now):
            changes += _compared(then, now, proofs, doubts)
    return changes, doubts


def _asks(template: CapabilityTemplate) -> tuple[object, ...]:
    return (dict(template.parameters), template.optional)


def _compared(
    then: CapabilityTemplate, now: CapabilityTemplate, proofs: Proofs, doubts: list[Doubt]
) -> Iterator[Change]:
    """Yields how one template changed: what may be put into it, and what it expands to."""
    for parameter in sorted(then.parameters.keys() & now.parameters.keys()):
        if then.parameters[parameter] is not now.parameters[parameter]:
            words = (f"{{{parameter}}} is {side.parameters[parameter].label}" for side in (then, now))
            told, tells = words
            yield Change(Direction.BOTH, What.CAPABILITY, now.name, before=told, after=tells)
    found = set()
    for given in _ways(then, now):
        for sample in _SAMPLES:
            wider, narrower = _expanded(now, given, sample), _expanded(then, given, sample)
            for change in _gained(now.name, given, proofs, doubts, wider=wider, narrower=narrower):
                found.add(change)
            for change in _gained(now.name, given, proofs, doubts, wider=narrower, narrower=wider):
                found.add(change.flipped())
    if not found:
        yield Change(Direction.NEUTRAL, What.CAPABILITY, now.name, before="written otherwise", after="the same rights")
    yield from sorted(found, key=lambda change: (change.direction, change.action, change.resource))


def _ways(then: CapabilityTemplate, now: CapabilityTemplate) -> Iterator[frozenset[str]]:
    """Yields which parameters may be given: all that are required, with each choice of the others, within a bound."""
    known = then.parameters.keys() | now.parameters.keys()
    required = (then.parameters.keys() - then.optional) & (now.parameters.keys() - now.optional)
    free = sorted(known - required)
    choices = chain.from_iterable(combinations(free, size) for size in range(len(free) + 1))
    for chosen in islice(choices, MOST_WAYS):
        yield frozenset(required) | frozenset(chosen)


def _expanded(template: CapabilityTemplate, given: frozenset[str], sample: str) -> Document:
    """Returns what the template stands for with a sample in every place; nothing where it would be refused."""
    unknown = given - template.parameters.keys()
    missing = template.parameters.keys() - template.optional - given
    if unknown or missing:
        return Document(())
    return as_document(
        _rendered(permission, sample)
        for permission in template.permissions
        if (permission.needs is None or permission.needs in given)
        and (permission.without is None or permission.without not in given)
    )


def _rendered(template: PermissionTemplate, sample: str) -> Permission:
    """Fills each placeholder with a sample of its own."""
    return Permission(
        tuple(ActionPattern.parse(action) for action in template.actions),
        tuple(ResourcePattern.parse(_filled(resource, sample)) for resource in template.resources),
        tuple(
            Condition(one.operator, one.key, tuple(_filled(value, sample) for value in one.values))
            for one in template.conditions
        ),
    )


def _filled(text: str, sample: str) -> str:
    def value(found: re.Match[str]) -> str:
        return "aws" if found[1] == PARTITION else f"{found[1].replace('_', '-')}-{sample}"

    return _PLACEHOLDER.sub(value, text)


def _gained(
    name: str, given: frozenset[str], proofs: Proofs, doubts: list[Doubt], *, wider: Document, narrower: Document
) -> Iterator[Change]:
    """Yields the first call that the one expansion allows and the other does not."""
    found = proofs.held(wider, narrower)
    if isinstance(found, Undecided):
        doubt = Doubt(DoubtKind.UNDECIDED, f"capability {name}: whether it is wider could not be decided")
        if doubt not in doubts:
            doubts.append(doubt)
    elif isinstance(found, Counterexample):
        by = ", ".join(sorted(given)) or "no parameter"
        action = next(
            (one.text for part in wider.statements for one in part.actions if one.text.lower() == found.action.lower()),
            found.action,
        )
        yield Change(
            Direction.WIDENING,
            What.CAPABILITY,
            name,
            action=action,
            conditions=f"given {by}",
            example=Example(action, found.resource, met(found)),
        )
