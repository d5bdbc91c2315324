"""Policy documents as frozen values: statements, their canonical text and its digest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition

VERSION = "2012-10-17"
# Past this many remembered look-ups a document answers without remembering: callers choose the actions.
_REMEMBERED = 4096
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


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
    def element(self) -> dict[str, object]:
        """The statement as JSON values: single-valued lists as strings, keys in canonical order."""
        block: dict[str, dict[str, object]] = {}
        for condition in self.conditions:
            block.setdefault(condition.operator, {})[condition.key] = _short(condition.values)
        out: dict[str, object] = {
            "NotAction" if self.not_action else "Action": _short([action.text for action in self.actions])
        }
        if block:
            out["Condition"] = block
        out["Effect"] = self.effect.value
        out["NotResource" if self.not_resource else "Resource"] = _short([r.text for r in self.resources])
        return out

    def holds_action(self, action: ActionPattern) -> bool:
        """Tells whether the statement is about every action of the pattern; True only when proven."""
        if self.not_action:
            return not any(mine.overlaps(action) for mine in self.actions)
        return any(mine.includes(action) for mine in self.actions)

    def touches_action(self, action: ActionPattern) -> bool:
        """Tells whether the statement may be about some action of the pattern; doubt is a yes."""
        if self.not_action:
            return not any(mine.includes(action) for mine in self.actions)
        return any(mine.overlaps(action) for mine in self.actions)

    def holds_resource(self, resource: ResourcePattern) -> bool:
        """Tells whether the statement is about every resource of the pattern; True only when proven."""
        if self.not_resource:
            return not any(mine.overlaps(resource) for mine in self.resources)
        return any(mine.includes(resource) for mine in self.resources)

    def touches_resource(self, resource: ResourcePattern) -> bool:
        """Tells whether the statement may be about some resource of the pattern; doubt is a yes."""
        if self.not_resource:
            return not any(mine.includes(resource) for mine in self.resources)
        return any(mine.overlaps(resource) for mine in self.resources)

    @property
    def leads(self) -> tuple[str, ...]:
        """The texts with which every resource pattern that it holds begins, one of them at least."""
        return ("",) if self.not_resource else tuple({resource.lead for resource in self.resources})


@dataclass(frozen=True, slots=True)
class Numbered:
    """Holds a statement with its number in its document and its leads, for quick refusal."""

    number: int
    leads: tuple[str, ...]
    statement: Statement


@dataclass(frozen=True, slots=True)
class Concerned:
    """Holds the Allows about a whole action and the Denies that may touch it."""

    allows: tuple[Numbered, ...]
    denies: tuple[Numbered, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Holds the statements of a policy in the order given, its canonical text, and that text's digest.

    NOTE: an empty document grants nothing here, but no policy at all means the full role to STS; whoever sends
    one checks `is_empty` first.
    """

    statements: tuple[Statement, ...]
    _text: str | None = field(default=None, init=False, compare=False, repr=False)
    _sha256: str | None = field(default=None, init=False, compare=False, repr=False)
    _by_service: dict[str, Concerned] | None = field(default=None, init=False, compare=False, repr=False)
    _by_action: dict[ActionPattern, Concerned] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, source: "Mapping[str, object] | str | bytes", *, authored: bool = False) -> "Document":
        """Reads a policy strictly; `authored` admits policy variables. Raises MalformedPolicy."""
        from remit_server.iam.language.parsing import parsed  # noqa: PLC0415 - parsing builds these values

        return cls(parsed(source, authored=authored))

    @property
    def is_empty(self) -> bool:
        """Whether no statement is left."""
        return not self.statements

    @property
    def text(self) -> str:
        """The canonical compact JSON: sorted keys, single values as strings, statements in their order."""
        text = self._text
        if text is None:
            body = {"Statement": [statement.element for statement in self.statements], "Version": VERSION}
            text = _JSON.encode(body)
            object.__setattr__(self, "_text", text)
        return text

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text's UTF-8 bytes, in hex."""
        digest = self._sha256
        if digest is None:
            digest = sha256(self.text.encode()).hexdigest()
            object.__setattr__(self, "_sha256", digest)
        return digest

    def concerned(self, action: ActionPattern) -> Concerned:
        """Returns the Allows that hold every action of the pattern and the Denies that may touch one."""
        known = self._by_action.get(action)
        if known is not None:
            return known
        among = self._concerned_by_service(action.service)
        found = Concerned(
            allows=tuple(each for each in among.allows if each.statement.holds_action(action)),
            denies=tuple(each for each in among.denies if each.statement.touches_action(action)),
        )
        if len(self._by_action) < _REMEMBERED:
            self._by_action[action] = found
        return found

    @property
    def numbered(self) -> Concerned:
        """All statements, by effect, with their numbers."""
        return self._concerned_by_service("*")

    def _concerned_by_service(self, service: str) -> Concerned:
        """Narrows the statements to those that can be about a service; all of them for `*`."""
        by_service = self._by_service
        if by_service is None:
            every = [Numbered(number, each.leads, each) for number, each in enumerate(self.statements)]
            named = {a.service for each in self.statements if not each.not_action for a in each.actions}
            by_service = {name: _concerned([each for each in every if _about(each, name)]) for name in named | {""}}
            by_service["*"] = _concerned(every)
            object.__setattr__(self, "_by_service", by_service)
        return by_service.get(service) or by_service[""]


def _about(each: Numbered, service: str) -> bool:
    statement = each.statement
    return statement.not_action or any(action.service in (service, "*") for action in statement.actions)


def _concerned(among: Sequence[Numbered]) -> Concerned:
    return Concerned(
        allows=tuple(each for each in among if each.statement.effect is Effect.ALLOW),
        denies=tuple(each for each in among if each.statement.effect is Effect.DENY),
    )


def _short(values: Sequence[str]) -> object:
    return values[0] if len(values) == 1 else list(values)
