"""Wildcard texts: `*` is any run of characters, `?` is any one character, all else stands for itself."""

from dataclasses import dataclass, field

from remit_server.iam.automaton import (
    ANY,
    VARIABLE,
    BudgetExceeded,
    Machine,
    Steps,
    compiled,
    escapes,
    example,
    normal,
    tokens,
)

# What one inclusion may cost beyond the linear checks, and how many patterns an intersection may have.
INCLUSION_STATES = 500
INTERSECTION_PATTERNS = 64
INTERSECTION_STEPS = 20_000


class PatternTooComplex(Exception):  # noqa: N818 - it names what was found, not a fault of ours
    """Says that an exact answer would take more steps, or more patterns, than allowed."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Holds a wildcard text in normal spelling (`**` is `*`, `*?` is `?*`) and answers questions about its language.

    A policy variable (`${...}`) is one opaque token: equal only to itself, matched by no text, taken by `*` and
    never by `?`. For overlap it is read as `*`, because it may be anything.
    Raises ValueError for an unclosed `${`.
    """

    text: str
    head: str = field(init=False, compare=False, repr=False)
    is_literal: bool = field(init=False, compare=False, repr=False)
    is_prefix: bool = field(init=False, compare=False, repr=False)
    has_variables: bool = field(init=False, compare=False, repr=False)
    _machine: Machine | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        text = normal(self.text)
        has_variables = VARIABLE in text
        if has_variables:
            list(tokens(text))  # refuses an unclosed variable
        cut = min(at for at in (text.find("*"), text.find(ANY), text.find(VARIABLE), len(text)) if at >= 0)
        put = object.__setattr__
        put(self, "text", text)
        put(self, "head", text[:cut])
        put(self, "is_literal", cut == len(text))
        put(self, "is_prefix", cut == len(text) - 1 and text[cut] == "*")
        put(self, "has_variables", has_variables)
        put(self, "_machine", None)

    @property
    def machine(self) -> Machine:
        """The automaton of the pattern, built when first asked for."""
        machine = self._machine
        if machine is None:
            machine = compiled(self.text)
            object.__setattr__(self, "_machine", machine)
        return machine

    def widened(self) -> "Pattern":
        """Returns the pattern with each policy variable replaced by `*`: the most it can mean."""
        if not self.has_variables:
            return self
        return Pattern("".join("*" if token.startswith(VARIABLE) else token for token in tokens(self.text)))

    def matches(self, text: str) -> bool:
        """Tells whether the whole text matches; a pattern with policy variables matches no text."""
        if self.is_literal:
            return text == self.text
        if not text.startswith(self.head) or self.has_variables:
            return False
        return self.is_prefix or self.machine.accepts(text)

    def includes(self, other: "Pattern") -> bool:
        """Tells whether every text of the other is one of this; True only when proven.

        Exact but for patterns past INCLUSION_STATES and patterns with variables, where the answer is False.
        """
        if self.is_prefix and not self.has_variables:
            return other.head.startswith(self.head)
        if self.text == other.text:
            return True
        if other.is_literal:
            return self.matches(other.text)
        # What remains has a wildcard in the other: a literal cannot hold it, nor can a longer fixed head.
        if self.is_literal or not other.head.startswith(self.head):
            return False
        if self.machine.embeds(other.machine):
            return True
        return not (self.has_variables or other.has_variables) and self._includes_by_search(other)

    def _includes_by_search(self, other: "Pattern") -> bool:
        mine, theirs = self.machine, other.machine
        filler = "\u0100" * (len(mine.singles) + 1)
        if not (mine.accepts(example(theirs, "")) and mine.accepts(example(theirs, filler))):
            return False
        try:
            return not escapes(theirs, mine, Steps(INCLUSION_STATES))
        except BudgetExceeded:
            return False

    def overlaps(self, other: "Pattern") -> bool:
        """Tells whether some text matches both: exact, and always True where a policy variable could make it so."""
        if self.is_literal and not other.has_variables:
            return other.matches(self.text)
        if other.is_literal and not self.has_variables:
            return self.matches(other.text)
        if not (self.head.startswith(other.head) or other.head.startswith(self.head)):
            return False
        if self.is_prefix and other.is_prefix:
            return True
        return self.widened().machine.meets(other.widened().machine)

    def intersect(self, other: "Pattern") -> "tuple[Pattern, ...]":
        """Returns patterns whose union is exactly what both match, none included in another.

        Raises PatternTooComplex past INTERSECTION_PATTERNS or INTERSECTION_STEPS, and for variables that are
        neither apart nor one inside the other.
        """
        if self.includes(other):
            return (other,)
        if other.includes(self):
            return (self,)
        if not self.overlaps(other):
            return ()
        if self.has_variables or other.has_variables:
            raise PatternTooComplex("patterns with policy variables have no exact intersection")
        return _Intersection(list(tokens(self.text)), list(tokens(other.text))).patterns()


class _Intersection:
    """Builds the intersection from the ends of both patterns to their starts, one table of suffix pairs."""

    def __init__(self, left: list[str], right: list[str]) -> None:
        self._left = left
        self._right = right
        self._steps = INTERSECTION_STEPS
        self._table: dict[tuple[int, int], frozenset[str]] = {}

    def patterns(self) -> tuple[Pattern, ...]:
        for i in range(len(self._left), -1, -1):
            for j in range(len(self._right), -1, -1):
                self._table[i, j] = self._pruned(self._suffixes(i, j))
        found = sorted(self._table[0, 0], key=lambda text: (len(text), text))
        kept: list[Pattern] = []
        for pattern in sorted((Pattern(text) for text in found), key=lambda p: (not p.text.count("*"), len(p.text))):
            if not any(wider.includes(pattern) for wider in kept):
                kept = [narrower for narrower in kept if not pattern.includes(narrower)]
                kept.append(pattern)
        if len(kept) > INTERSECTION_PATTERNS:
            raise PatternTooComplex("the intersection of two patterns has too many parts")
        return tuple(sorted(kept, key=lambda pattern: pattern.text))

    def _suffixes(self, i: int, j: int) -> frozenset[str]:
        """Returns the intersection of left[i:] and right[j:]."""
        mine = self._left[i] if i < len(self._left) else ""
        theirs = self._right[j] if j < len(self._right) else ""
        if mine == theirs == "":
            return frozenset({""})
        if mine == theirs == "*":  # one of the two stars reaches at least as far as the other
            return self._led("*", self._table[i + 1, j] | self._table[i, j + 1])
        if mine == "*":
            return self._table[i + 1, j] | (self._led(theirs, self._table[i, j + 1]) if theirs else frozenset())
        if theirs == "*":
            return self._table[i, j + 1] | (self._led(mine, self._table[i + 1, j]) if mine else frozenset())
        if mine and theirs and (mine == theirs or ANY in (mine, theirs)):
            return self._led(theirs if mine == ANY else mine, self._table[i + 1, j + 1])
        return frozenset()

    def _led(self, token: str, rests: frozenset[str]) -> frozenset[str]:
        return frozenset(normal(token + rest) for rest in rests)

    def _pruned(self, texts: frozenset[str]) -> frozenset[str]:
        self._steps -= 1 + len(texts)
        if self._steps < 0 or len(texts) > 2 * INTERSECTION_PATTERNS:
            raise PatternTooComplex("the intersection of two patterns has too many parts")
        return texts
