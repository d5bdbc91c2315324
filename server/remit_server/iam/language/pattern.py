"""Wildcard texts: `*` is any run of characters, `?` is any one character, all else stands for itself."""

from dataclasses import dataclass, field

from remit_server.iam.language.automaton import (
    ANY,
    VARIABLE,
    Machine,
    Steps,
    compiled,
    normal,
    tokens,
)

# How many patterns an intersection may have, and what it may cost.
INTERSECTION_PATTERNS = 64
INTERSECTION_STEPS = 20_000


class PatternTooComplex(Exception):  # noqa: N818 - it names what was found, not a fault of ours
    """Says that an exact answer would take more steps, or more patterns, than allowed."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Holds a wildcard text in normal spelling (`**` is `*`, `*?` is `?*`) and answers questions about its language.

    A policy variable (`${...}`) is one opaque token: equal only to itself, matched by no text, taken by `*` and
    never by `?`. For overlap it is read as `*`, because it may be anything. `cost` is how many steps of a budget
    one comparison with another pattern counts for.
    Raises ValueError for an unclosed `${`.
    """

    text: str
    head: str = field(init=False, compare=False, repr=False)
    tail: str = field(init=False, compare=False, repr=False)
    is_literal: bool = field(init=False, compare=False, repr=False)
    is_prefix: bool = field(init=False, compare=False, repr=False)
    has_variables: bool = field(init=False, compare=False, repr=False)
    cost: int = field(init=False, compare=False, repr=False)
    _machine: Machine | None = field(default=None, init=False, compare=False, repr=False)
    _widened: "Pattern | None" = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        text = normal(self.text)
        has_variables = VARIABLE in text
        if has_variables:
            list(tokens(text))  # refuses an unclosed variable
        cut = min(at for at in (text.find("*"), text.find(ANY), text.find(VARIABLE), len(text)) if at >= 0)
        put = object.__setattr__
        put(self, "text", text)
        put(self, "head", text[:cut])
        put(self, "tail", text[max(text.rfind(end) for end in ("*", ANY, "}" if has_variables else "*")) + 1 :])
        put(self, "is_literal", cut == len(text))
        put(self, "is_prefix", cut == len(text) - 1 and text[cut] == "*")
        put(self, "has_variables", has_variables)
        put(self, "cost", 1 + len(text) // 16)

    def __hash__(self) -> int:
        return hash(self.text)

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
        widened = self._widened
        if widened is None:
            widened = Pattern("".join("*" if token.startswith(VARIABLE) else token for token in tokens(self.text)))
            object.__setattr__(self, "_widened", widened)
        return widened

    def matches(self, text: str) -> bool:
        """Tells whether the whole text matches; a pattern with policy variables matches no text."""
        if self.is_literal:
            return text == self.text
        if not text.startswith(self.head) or self.has_variables:
            return False
        return self.is_prefix or self.machine.accepts(text)

    def includes(self, other: "Pattern") -> bool:
        """Tells whether every text of the other is one of this; True only when proven.

        Takes as many steps as the other has letters. Without variables no inclusion is known that it does not see.
        """
        if self.is_prefix and not self.has_variables:
            return other.head.startswith(self.head)
        if self.text == other.text:
            return True
        if other.is_literal:
            return self.matches(other.text)
        # What remains has a wildcard in the other: a literal cannot hold it, nor can a longer fixed head or tail.
        if self.is_literal or not (other.head.startswith(self.head) and other.tail.endswith(self.tail)):
            return False
        return self.machine.embeds(other.machine)

    def overlaps(self, other: "Pattern") -> bool:
        """Tells whether some text matches both: exact, and always True where a policy variable could make it so."""
        if self.is_literal and not other.has_variables:
            return other.matches(self.text)
        if other.is_literal and not self.has_variables:
            return self.matches(other.text)
        if not (self.head.startswith(other.head) or other.head.startswith(self.head)):
            return False
        if not (self.tail.endswith(other.tail) or other.tail.endswith(self.tail)):
            return False
        if self.is_prefix and other.is_prefix:
            return True
        return self.widened().machine.meets(other.widened().machine)

    def intersect(self, other: "Pattern", steps: Steps | None = None) -> "tuple[Pattern, ...]":
        """Returns patterns whose union is exactly what both match, none included in another.

        `steps` is what is left to this and other intersections together; raises BudgetError when it is used up.
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
        return _Intersection(list(tokens(self.text)), list(tokens(other.text)), steps).patterns()


class _Intersection:
    """Builds the intersection from the ends of both patterns to their starts, one table of suffix pairs."""

    def __init__(self, left: list[str], right: list[str], steps: Steps | None) -> None:
        self._left = left
        self._right = right
        self._shared = steps
        self._steps = INTERSECTION_STEPS
        self._table: dict[tuple[int, int], frozenset[str]] = {}

    def patterns(self) -> tuple[Pattern, ...]:
        for i, j in sorted(self._reachable(), reverse=True):
            texts = frozenset[str]().union(*(self._led(token, at) for token, at in self._moves(i, j)))
            is_end = i == len(self._left) and j == len(self._right)
            self._table[i, j] = frozenset({""}) if is_end else self._counted(texts)
        kept: list[Pattern] = []
        # In order, because what is counted must not depend on how this process hashes texts.
        for text in sorted(self._table[0, 0]):
            pattern = Pattern(text)
            self._take(pattern.cost * len(kept))
            if not any(wider.includes(pattern) for wider in kept):
                kept = [narrower for narrower in kept if not pattern.includes(narrower)]
                kept.append(pattern)
        if len(kept) > INTERSECTION_PATTERNS:
            raise PatternTooComplex("the intersection of two patterns has too many parts")
        return tuple(kept)

    def _reachable(self) -> set[tuple[int, int]]:
        seen = {(0, 0)}
        pending = [(0, 0)]
        while pending:
            for _, at in self._moves(*pending.pop()):
                if at not in seen:
                    seen.add(at)
                    pending.append(at)
            if len(seen) > INTERSECTION_STEPS:
                raise PatternTooComplex("the intersection of two patterns takes too many steps")
        self._take(len(seen))
        return seen

    def _moves(self, i: int, j: int) -> list[tuple[str, tuple[int, int]]]:
        """Returns what the intersection of left[i:] and right[j:] can begin with, and what then remains."""
        mine = self._left[i] if i < len(self._left) else ""
        theirs = self._right[j] if j < len(self._right) else ""
        if mine == theirs == "*":  # one of the two stars reaches at least as far as the other
            return [("*", (i + 1, j)), ("*", (i, j + 1))]
        if mine == "*":
            return [("", (i + 1, j)), *([(theirs, (i, j + 1))] if theirs else [])]
        if theirs == "*":
            return [("", (i, j + 1)), *([(mine, (i + 1, j))] if mine else [])]
        if mine and theirs and (mine == theirs or ANY in (mine, theirs)):
            return [(theirs if mine == ANY else mine, (i + 1, j + 1))]
        return []

    def _led(self, token: str, at: tuple[int, int]) -> frozenset[str]:
        return frozenset(normal(token + rest) for rest in self._table[at])

    def _counted(self, texts: frozenset[str]) -> frozenset[str]:
        self._take(len(texts))
        if len(texts) > 2 * INTERSECTION_PATTERNS:
            raise PatternTooComplex("the intersection of two patterns has too many parts")
        return texts

    def _take(self, count: int) -> None:
        if self._shared is not None:
            self._shared.take(count)
        self._steps -= count
        if self._steps < 0:
            raise PatternTooComplex("the intersection of two patterns takes too many steps")
