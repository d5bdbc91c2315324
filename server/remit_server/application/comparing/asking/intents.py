"""What is asked for: the parts of what either side lets one reach, since rules may look at the intent."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from remit_server.application.comparing.values import Entry
from remit_server.domain.decision import Allow, Decision
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, Condition, MalformedPattern, Pattern, PatternTooComplex, ResourcePattern

MOST_INTENTS: Final = 160
MOST_LITERALS: Final = 400
MOST_MENTIONED: Final = 96
_WORD: Final = "any"


def intents_of(
    decisions: Iterable[Decision], entries: Iterable[Entry], literals: Sequence[str]
) -> tuple[tuple[Permission, ...], int]:
    """Returns permissions to ask for, one at a time, and how many were left out.

    Each is a pair of an action and a resource of some entitlement, as a pattern and as literal examples of it; where a
    text of the rules or their data fits into a pattern, the example is made of it.
    """
    found: dict[str, Permission] = {}
    total = 0
    for action, resource, conditions in _pairs(decisions, entries):
        for permission in _examples(action, resource, conditions, literals):
            text = permission.statement().text
            if text not in found:
                total += 1
                if len(found) < MOST_INTENTS:
                    found[text] = permission
    return tuple(found.values()), total - len(found)


def mentioned(literals: Sequence[str]) -> tuple[tuple[Permission, ...], int]:
    """Returns what rules and data name together, an action and a resource of one service, and how many were left out.

    It is asked for when rules changed, whether or not anybody could have it: so a rule that went is named.
    """
    actions = [one for text in literals if not text.startswith("arn:") for one in _action(text)]
    found = []
    for text in (text for text in literals if text.startswith("arn:")):
        for resource in _resource(text if "*" in text else f"{text}*", ResourcePattern.parse("*")):
            found += [Permission((one,), (resource,)) for one in actions if one.service == text.split(":")[2]]
    return tuple(found[:MOST_MENTIONED]), len(found[MOST_MENTIONED:])


def _pairs(
    decisions: Iterable[Decision], entries: Iterable[Entry]
) -> Iterator[tuple[ActionPattern, ResourcePattern, tuple[Condition, ...]]]:
    """Yields every action with every resource, of what was answered and of what the catalogue says."""
    answered = [one.entitlements for one in decisions if isinstance(one, Allow)]
    for permission in (part for entitlements in answered for one in entitlements for part in one.permissions):
        for action in permission.actions:
            yield from ((action, resource, permission.conditions) for resource in permission.resources)
    for entry in entries:
        for actions, resources in entry.permissions:
            for action in map(ActionPattern.parse, actions):
                for text in resources:
                    yield action, ResourcePattern.parse(text, authored=True), ()


def _examples(
    action: ActionPattern, resource: ResourcePattern, conditions: tuple[Condition, ...], literals: Sequence[str]
) -> Iterator[Permission]:
    """Yields the pair itself, and literal examples of it."""
    if not resource.has_variables:
        yield Permission((action,), (resource,), conditions)
    for name in islice(literal_actions(action, literals), 4):
        for arn in islice(literal_resources(resource, literals), 4):
            yield Permission((name,), (arn,), conditions)


def literal_actions(pattern: ActionPattern, literals: Sequence[str]) -> Iterator[ActionPattern]:
    """Yields single actions that the pattern matches: what the texts name first, then any."""
    if pattern.is_literal and pattern.service != "*":
        yield pattern
        return
    mentioned = (text for text in literals if ":" in text and not text.startswith("arn:"))
    for text in (*mentioned, *([] if pattern.service == "*" else [f"{pattern.service}:"])):
        service, _, name = text.partition(":")
        if pattern.service in {"*", service.lower()}:
            for made in _met(f"{name.lower()}*", "*" if pattern.service == "*" else pattern.name.text):
                yield from _action(f"{service}:{made}")
    if pattern.service == "*":
        yield ActionPattern.parse("s3:any")


def literal_resources(pattern: ResourcePattern, literals: Sequence[str]) -> Iterator[ResourcePattern]:
    """Yields single resources that the pattern matches: what the texts begin first, then any."""
    if pattern.has_variables:
        return
    if "*" not in pattern.text and "?" not in pattern.text:
        yield pattern
        return
    for text in (text for text in literals if text.startswith("arn:")):
        for made in _met(f"{text}*", pattern.text):
            yield from _resource(made, pattern)
    yield from _resource(_filled(pattern.text), pattern)
    if pattern.is_universal:
        yield ResourcePattern.parse("arn:aws:s3:::any")


def _met(one: str, other: str) -> Iterator[str]:
    """Yields a text that both patterns match, where there is one; with wildcards in the text taken as such."""
    try:
        for both in islice(Pattern(one).intersect(Pattern(other)), 2):
            yield _filled(both.text)
    except (PatternTooComplex, ValueError):
        return


def _filled(text: str) -> str:
    """Returns a text that the pattern matches."""
    return text.replace("*", _WORD).replace("?", "x")


def _action(text: str) -> Iterator[ActionPattern]:
    """Yields the action, where it is one."""
    try:
        yield ActionPattern.parse(text)
    except MalformedPattern:
        return


def _resource(text: str, pattern: ResourcePattern) -> Iterator[ResourcePattern]:
    """Yields the resource, where it is one and the pattern matches it."""
    try:
        made = ResourcePattern.parse(text)
    except MalformedPattern:
        return
    if pattern.matches(made.text):
        yield made
