"""Statements of policies as frozen values, in one order, with their canonical text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from json.encoder import encode_basestring

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition


class Effect(StrEnum):
    """Names what a statement does with what it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class MalformedPolicy(ValueError):  # noqa: N818 - it names what was found
    """Says where a policy breaks which rule; never repeats what was written there."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path = path
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Statement:
    """Holds one statement, its lists sorted and without doubles, so that equal meaning in one order is equal.

    With `not_action` the statement is about every action but those listed, `not_resource` likewise.
    Raises MalformedPolicy for an empty list and for one operator and key given twice, which no text can hold.
    """

    effect: Effect
    actions: tuple[ActionPattern, ...]
    resources: tuple[ResourcePattern, ...]
    conditions: tuple[Condition, ...] = ()
    not_action: bool = False
    not_resource: bool = False
    _text: str | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.actions:
            raise MalformedPolicy("Action", "a statement names at least one action")
        if not self.resources:
            raise MalformedPolicy("Resource", "a statement names at least one resource")
        put = object.__setattr__
        if len(self.actions) > 1:
            by_name = {(action.service, action.name.text): action for action in reversed(self.actions)}
            put(self, "actions", tuple(action for _, action in sorted(by_name.items(), key=lambda item: item[0])))
        if len(self.resources) > 1:
            by_text = {resource.text: resource for resource in self.resources}
            put(self, "resources", tuple(resource for _, resource in sorted(by_text.items())))
        if len(self.conditions) > 1:
            by_key = {(condition.operator, condition.folded_key): condition for condition in self.conditions}
            if len(by_key) != len(set(self.conditions)):
                raise MalformedPolicy("Condition", "one operator and key stands once in a statement")
            put(self, "conditions", tuple(condition for _, condition in sorted(by_key.items())))

    @property
    def text(self) -> str:
        """The statement as canonical compact JSON: keys in order, single-valued lists as strings."""
        text = self._text
        if text is None:
            action = "NotAction" if self.not_action else "Action"
            resource = "NotResource" if self.not_resource else "Resource"
            actions, resources = _texts(self.actions), _texts(self.resources)
            block = f',"Condition":{{{_block(self.conditions)}}}' if self.conditions else ""
            text = f'{{"{action}":{actions}{block},"Effect":"{self.effect}","{resource}":{resources}}}'
            object.__setattr__(self, "_text", text)
        return text

    def holds_action(self, action: ActionPattern) -> bool:
        """Tells whether the statement is about every action of the pattern; True only when proven."""
        if self.not_action:
            return not any(mine.overlaps(action) for mine in self.actions)
        for mine in self.actions:  # noqa: SIM110 - asked most often of all, and faster so
            if mine.includes(action):
                return True
        return False

    def touches_action(self, action: ActionPattern) -> bool:
        """Tells whether the statement may be about some action of the pattern; doubt is a yes."""
        if self.not_action:
            return not any(mine.includes(action) for mine in self.actions)
        return any(mine.overlaps(action) for mine in self.actions)

    def holds_resource(self, resource: ResourcePattern) -> bool:
        """Tells whether the statement is about every resource of the pattern; True only when proven."""
        if self.not_resource:
            return not any(mine.overlaps(resource) for mine in self.resources)
        for mine in self.resources:  # noqa: SIM110 - asked most often of all, and faster so
            if mine.includes(resource):
                return True
        return False

    def touches_resource(self, resource: ResourcePattern) -> bool:
        """Tells whether the statement may be about some resource of the pattern; doubt is a yes."""
        if self.not_resource:
            return not any(mine.includes(resource) for mine in self.resources)
        return any(mine.overlaps(resource) for mine in self.resources)

    @property
    def leads(self) -> tuple[str, ...]:
        """The texts with which every resource pattern that it holds begins, one of them at least."""
        return ("",) if self.not_resource else tuple({resource.lead for resource in self.resources})


def _block(conditions: Sequence[Condition]) -> str:
    """Writes conditions, which stand in the order of their operators, by operator and key."""
    if len(conditions) == 1:
        (one,) = conditions
        return f"{encode_basestring(one.operator)}:{{{encode_basestring(one.key)}:{_listed(one.values)}}}"
    return ",".join(
        f"{encode_basestring(operator)}:{{{keys}}}"
        for operator, those in groupby(conditions, key=lambda one: one.operator)
        for keys in [",".join(f"{encode_basestring(one.key)}:{_listed(one.values)}" for one in those)]
    )


def _texts(patterns: Sequence[ActionPattern] | Sequence[ResourcePattern]) -> str:
    if len(patterns) == 1:
        return encode_basestring(patterns[0].text)
    return _listed([each.text for each in patterns])


def _listed(values: Sequence[str]) -> str:
    if len(values) == 1:
        return encode_basestring(values[0])
    return f"[{','.join(map(encode_basestring, values))}]"
