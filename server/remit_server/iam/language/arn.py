"""The two kinds of pattern a statement holds: actions (`s3:Get*`) and resources (six-segment ARNs)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from remit_server.iam.language.automaton import Steps
from remit_server.iam.language.pattern import Pattern

MAX_ACTION = 128
MAX_RESOURCE = 1600
_SEGMENTS = 6
# Patterns are values: texts seen again are not read again. Both bounds together bound the memory, whoever writes.
_REMEMBERED = 4096
_REMEMBERED_LENGTH = 256
# Fixed expressions on bounded text, each matched whole; nothing a caller writes becomes an expression.
_ACTION = re.compile(r"[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,64}")
_LITERAL_SEGMENT = re.compile(r"[a-z0-9-]{1,64}")
_ARN = re.compile(
    r"arn:([a-z0-9-]{1,64}):([a-z0-9-]{1,64}):((?:[a-z0-9-]{1,64}|\*)?):((?:[a-z0-9-]{1,64}|\*)?):([\x20-\x7e]+)"
)
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class MalformedPattern(ValueError):  # noqa: N818 - it names what was found
    """Says which rule of the grammar a pattern breaks, never the pattern itself."""


@dataclass(frozen=True, slots=True)
class ActionPattern:
    """Holds `*`, or a literal service and a wildcard name; ASCII, compared without regard to case.

    `text` keeps the author's spelling for printing; `service` and `name` are lower-cased. `folded` is both as one
    text, and alone decides equality. In `*` the service is `*` too. `lead` is the folded text before the first
    wildcard: what the pattern includes begins with it. `cost` is how many steps of a budget one comparison counts
    for: few for a literal, which is only looked up.
    """

    text: str = field(compare=False)
    service: str = field(compare=False)
    name: Pattern = field(compare=False)
    folded: str = field(init=False, repr=False)
    lead: str = field(init=False, compare=False, repr=False)
    cost: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "folded", f"{self.service}:{self.name.text}")
        put(self, "lead", "" if self.service == "*" else f"{self.service}:{self.name.head}")
        put(self, "cost", 1 if self.name.is_literal else 8 * self.name.cost)

    @classmethod
    def parse(cls, text: str) -> "ActionPattern":
        """Reads `service:Name` with `*` and `?` in the name, or `*`; raises MalformedPattern.

        Non-ASCII letters are refused before lower-casing: U+017F and U+212A fold to `s` and `k`.
        """
        if len(text) > MAX_ACTION:
            raise MalformedPattern(_ACTION_RULE)
        return _action(text)

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.folded)

    @property
    def trail(self) -> str:
        """The text after the last wildcard: what the pattern includes ends with it."""
        return self.name.tail

    @property
    def is_literal(self) -> bool:
        """Whether it names exactly one action."""
        return self.name.is_literal

    def matches(self, action: str) -> bool:
        """Tells whether the concrete action is one of these."""
        if self.service == "*":
            return True
        service, colon, name = action.lower().partition(":")
        return bool(colon) and action.isascii() and service == self.service and self.name.matches(name)

    def includes(self, other: "ActionPattern") -> bool:
        """Tells whether every action of the other is one of these; True only when proven."""
        return self.service == "*" or (self.service == other.service and self.name.includes(other.name))

    def overlaps(self, other: "ActionPattern") -> bool:
        """Tells whether some action is one of both."""
        if "*" in (self.service, other.service):
            return True
        return self.service == other.service and self.name.overlaps(other.name)

    def intersect(self, other: "ActionPattern", steps: Steps | None = None) -> "tuple[ActionPattern, ...]":
        """Returns patterns whose union is exactly what both match; raises what `Pattern.intersect` raises."""
        if self.includes(other):
            return (other,)
        if other.includes(self):
            return (self,)
        if self.service != other.service:
            return ()
        names = self.name.intersect(other.name, steps)
        return tuple(ActionPattern(f"{self.service}:{name.text}", self.service, name) for name in names)


@dataclass(frozen=True, slots=True)
class ResourcePattern:
    """Holds `*`, or an ARN of exactly six segments whose wildcards never cross the first five colons.

    Partition and service are literal; region and account are literal, empty or `*`; `name`, the sixth segment,
    is a wildcard text and alone may hold policy variables. `is_universal` is `*` alone, which also matches the
    resource `*` of actions that name none; all its head segments are `*`. `lead` is the text before the first
    wildcard or variable: what the pattern includes begins with it.
    """

    text: str
    head: tuple[str, str, str, str] = field(compare=False, repr=False)
    name: Pattern = field(compare=False, repr=False)
    starred_head: bool = field(init=False, compare=False, repr=False)
    is_universal: bool = field(init=False, compare=False, repr=False)
    lead: str = field(init=False, compare=False, repr=False)
    _whole: Pattern | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        text, starred = self.text, "*" in self.head
        put = object.__setattr__
        put(self, "starred_head", starred)
        put(self, "is_universal", text == "*")
        put(
            self,
            "lead",
            text.partition("*")[0] if starred else text[: len(text) - len(self.name.text) + len(self.name.head)],
        )

    @classmethod
    def parse(cls, text: str, *, authored: bool = False) -> "ResourcePattern":
        """Reads an ARN pattern or `*`; policy variables only in what the security team authored.

        Short ARNs are refused: to AWS their missing segments are wildcards. Raises MalformedPattern.
        """
        pattern = cls.parse_authored(text)
        if pattern.has_variables and not authored:
            raise MalformedPattern("a policy variable is only allowed in what the security team authored")
        return pattern

    @classmethod
    def parse_authored(cls, text: str) -> "ResourcePattern":
        """Reads what the security team authored, as `parse` does."""
        return _known_resource(text) if len(text) <= _REMEMBERED_LENGTH else _resource(text)

    @classmethod
    def of(cls, head: tuple[str, str, str, str], name: Pattern) -> "ResourcePattern":
        """Puts an ARN together from head segments and a sixth segment that follow the grammar already."""
        return cls(":".join(("arn", *head, name.text)), head, name)

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def cost(self) -> int:
        """How many steps of a budget one comparison counts for."""
        return self.name.cost

    @property
    def trail(self) -> str:
        """The text after the last wildcard or variable: what the pattern includes ends with it."""
        return self.name.tail

    @property
    def is_literal(self) -> bool:
        """Whether it names exactly one resource."""
        return not self.starred_head and self.name.is_literal

    @property
    def has_variables(self) -> bool:
        """Whether a policy variable occurs in it."""
        return self.name.has_variables

    @property
    def has_open_head(self) -> bool:
        """Whether it is an ARN whose region or account is `*`."""
        return self.starred_head and not self.is_universal

    @property
    def whole(self) -> Pattern:
        """The text as one pattern whose wildcards run over colons, read when first asked for."""
        whole = self._whole
        if whole is None:
            whole = Pattern(self.text)
            object.__setattr__(self, "_whole", whole)
        return whole

    def widened(self) -> "ResourcePattern":
        """Returns the pattern with each policy variable replaced by `*`: the most it can mean."""
        return ResourcePattern.of(self.head, self.name.widened()) if self.has_variables else self

    def matches(self, resource: str) -> bool:
        """Tells whether the concrete resource (an ARN, or `*`) is one of these; variables match nothing."""
        if self.is_universal:
            return True
        parts = resource.split(":", _SEGMENTS - 1)
        if len(parts) != _SEGMENTS or parts[0] != "arn":
            return False
        head = zip(self.head, parts[1:-1], strict=True)
        return all(mine in ("*", theirs) for mine, theirs in head) and self.name.matches(parts[-1])

    def holds_head_of(self, other: "ResourcePattern") -> bool:
        """Tells whether each head segment of the other is the same here, or `*` here."""
        if not self.starred_head:
            return self.head == other.head
        return all(mine in ("*", theirs) for mine, theirs in zip(self.head, other.head, strict=True))

    def includes(self, other: "ResourcePattern") -> bool:
        """Tells whether every resource of the other is one of these; True only when proven.

        Holds under both readings of AWS's wildcards: bound to their segment, and crossing colons.
        """
        if self.is_universal:
            return True
        if not other.text.startswith(self.lead):
            return False
        return not other.is_universal and self.holds_head_of(other) and self.name.includes(other.name)

    def meets_by_segment(self, other: "ResourcePattern") -> bool:
        """Tells whether some resource is one of both when no wildcard crosses the first five colons."""
        if self.is_universal or other.is_universal:
            return True
        if not (self.starred_head or other.starred_head):
            return self.head == other.head and self.name.overlaps(other.name)
        heads = zip(self.head, other.head, strict=True)
        return all(mine == theirs or "*" in (mine, theirs) for mine, theirs in heads) and self.name.overlaps(other.name)

    def meets_across_colons(self, other: "ResourcePattern") -> bool:
        """Tells whether some resource is one of both when a `*` may also run over colons.

        NOTE: AWS documents that a `*` at the end of a segment can match beyond the colon, so a Deny counts as
        touching under either reading (IAM user guide, "IAM JSON policy elements: Resource").
        """
        if not (self.has_open_head or other.has_open_head):
            return False
        if self.is_universal or other.is_universal:
            return True
        if self.head[:2] != other.head[:2]:
            return False
        return self.whole.overlaps(other.whole)

    def overlaps(self, other: "ResourcePattern") -> bool:
        """Tells whether some resource is one of both under either reading of a wildcard; doubt is a yes."""
        return self.meets_by_segment(other) or self.meets_across_colons(other)

    def intersect(self, other: "ResourcePattern", steps: Steps | None = None) -> "tuple[ResourcePattern, ...]":
        """Returns patterns whose union is exactly what both match by segment, as `Pattern.intersect` does."""
        if self.is_universal:
            return (other,)
        if other.is_universal:
            return (self,)
        if not (self.lead.startswith(other.lead) or other.lead.startswith(self.lead)):
            return ()
        heads = list(zip(self.head, other.head, strict=True))
        if not all(mine == theirs or "*" in (mine, theirs) for mine, theirs in heads):
            return ()
        partition, service, region, account = (theirs if mine == "*" else mine for mine, theirs in heads)
        names = self.name.intersect(other.name, steps)
        return tuple(ResourcePattern.of((partition, service, region, account), name) for name in names)


def _broken_rule(text: str) -> str:
    """Says which rule a printable text breaks that is no ARN pattern."""
    parts = text.split(":", _SEGMENTS - 1)
    if len(parts) != _SEGMENTS or parts[0] != "arn" or not parts[-1]:
        return "a resource is * or an ARN of six segments"
    if not (_LITERAL_SEGMENT.fullmatch(parts[1]) and _LITERAL_SEGMENT.fullmatch(parts[2])):
        return "the partition and the service of an ARN are literal"
    return "the region and the account of an ARN are literal, empty or *"


_ANYTHING = Pattern("*")
_EVERY_RESOURCE = ResourcePattern("*", ("*", "*", "*", "*"), _ANYTHING)
_ACTION_RULE = "an action is service:Name in ASCII letters and digits, * and ? in the name only"


@lru_cache(_REMEMBERED)
def _action(text: str) -> ActionPattern:
    if text == "*":
        return ActionPattern("*", "*", _ANYTHING)
    if not _ACTION.fullmatch(text):
        raise MalformedPattern(_ACTION_RULE)
    service, _, name = text.lower().partition(":")
    return ActionPattern(text, service, Pattern(name))


def _resource(text: str) -> ResourcePattern:
    if text == "*":
        return _EVERY_RESOURCE
    if len(text) > MAX_RESOURCE or not _PRINTABLE.fullmatch(text):
        raise MalformedPattern("a resource is printable ASCII of bounded length without outer spaces")
    arn = _ARN.fullmatch(text)
    if arn is None:
        raise MalformedPattern(_broken_rule(text))
    partition, service, region, account, name = arn.groups()
    try:
        pattern = Pattern(name)
    except ValueError as error:
        raise MalformedPattern("a policy variable is not closed") from error
    return ResourcePattern.of((partition, service, region, account), pattern)


_known_resource = lru_cache(_REMEMBERED)(_resource)
