"""Wildcard patterns as bit-parallel automata: one integer holds every position a text can stand at.

A pattern with `n` single tokens has positions 0..n. Reading a letter moves each position whose token takes
the letter one to the left (in bits), and keeps each position where a `*` sits. There is no backtracking and
no regular expression, so a hostile pattern costs no more than its length; only `walk`, which makes sets of
positions of several patterns deterministic, can grow, and it counts its states.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ANY = "?"
STAR = "*"
VARIABLE = "${"
# A letter no pattern names, for concrete examples: readable first, then anything.
_UNNAMED = "xyz0123456789abcdefghijklmnopqrstuvw-_./XYZABCDEFGHIJKLMNOPQRSTUVW+=@,;!%&()~^#|<>[]{}'\"\\ :$"
_LAST_RESORT = "\u0100"


class BudgetError(Exception):
    """Says how many steps a procedure would have to exceed."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Holds one pattern's transitions as bit masks over its positions.

    `singles` are the tokens that are not `*`: a letter, `?`, or a policy variable as one opaque token.
    `stars` has a bit where a `*` sits; `slack` has one at every position of a run that holds a `*`, because
    `??*`, `?*?` and `*??` are one language. `letters` includes the `any` bits.
    """

    singles: tuple[str, ...]
    stars: int
    slack: int
    any: int
    letters: dict[str, int]

    @property
    def end(self) -> int:
        """The bit of the accepting position."""
        return 1 << len(self.singles)

    def accepts(self, text: str) -> bool:
        """Tells whether the pattern matches the whole text."""
        at = 1
        for letter in text:
            at = ((at & self.letters.get(letter, self.any)) << 1) | (at & self.stars)
            if not at:
                return False
        return bool(at & self.end)

    def embeds(self, other: "Machine") -> bool:
        """Tells whether every text of the other is matched in one uniform way, and therefore matched.

        The other's `*` must lie inside one of ours; a policy variable is taken by the same variable or by `*`.
        NOTE: a yes is a proof. That a no means no, without variables, is only known from an exhaustive comparison
        of all short patterns; nothing rests on it.
        """
        at = 1
        for position in range(len(other.singles) + 1):
            if other.stars >> position & 1:
                at &= self.slack
            if position < len(other.singles):
                token = other.singles[position]
                takes = self.letters.get(token, 0 if token.startswith(VARIABLE) else self.any)
                at = ((at & takes) << 1) | (at & self.slack)
            if not at:
                return False
        return bool(at & self.end)

    def meets(self, other: "Machine") -> bool:
        """Tells whether some text is matched by both; exact for patterns without variables."""
        everything = self.end - 1
        at = 1
        for position in range(len(other.singles) + 1):
            if other.stars >> position & 1:
                at |= (self.end << 1) - (at & -at)  # every position from the lowest one upwards
            if position < len(other.singles):
                token = other.singles[position]
                takes = everything if token == ANY else self.letters.get(token, self.any)
                at = ((at & takes) << 1) | (at & self.stars)
            if not at:
                return False
        return bool(at & self.end)


def tokens(text: str) -> Iterator[str]:
    """Yields letters, `*`, `?` and whole policy variables; raises ValueError for an unclosed `${`."""
    at = 0
    while at < len(text):
        if not text.startswith(VARIABLE, at):
            yield text[at]
            at += 1
            continue
        close = text.find("}", at)
        if close < 0:
            raise ValueError("a policy variable is not closed")
        yield text[at : close + 1]
        at = close + 1


def normal(text: str) -> str:
    """Returns the pattern with each run of wildcards in one spelling: its `?` first, then at most one `*`."""
    if "**" not in text and "*?" not in text:
        return text
    out: list[str] = []
    starred = False
    for token in tokens(text):
        if token == STAR:
            starred = True
            continue
        if starred and token != ANY:
            out.append(STAR)
            starred = False
        out.append(token)
    return "".join(out) + ("*" if starred else "")


def compiled(text: str) -> Machine:
    """Builds the machine of a pattern in normal spelling."""
    singles: list[str] = []
    stars = 0
    for token in tokens(text):
        if token == STAR:
            stars |= 1 << len(singles)
        else:
            singles.append(token)
    wild = sum(1 << at for at, token in enumerate(singles) if token == ANY)
    letters: dict[str, int] = {}
    for at, token in enumerate(singles):
        if token != ANY:
            letters[token] = letters.get(token, 0) | 1 << at
    for token in letters:
        if not token.startswith(VARIABLE):
            letters[token] |= wild
    return Machine(tuple(singles), stars, _slack(singles, stars), wild, letters)


def _slack(singles: Sequence[str], stars: int) -> int:
    slack = stars
    for at in range(len(singles) - 1, -1, -1):  # a star lends itself to the `?` before it ...
        if slack >> at + 1 & 1 and singles[at] == ANY:
            slack |= 1 << at
    for at, token in enumerate(singles):  # ... and to the `?` after it
        if slack >> at & 1 and token == ANY:
            slack |= 1 << at + 1
    return slack


class Steps:
    """Counts down what a procedure may do, and says what was counted when there is no more."""

    __slots__ = ("left", "most", "of")

    def __init__(self, most: int, of: str = "steps") -> None:
        self.most = self.left = most
        self.of = of

    @property
    def spent(self) -> int:
        """How many were used up; never more than there were."""
        return self.most - self.left

    def take(self, count: int = 1) -> None:
        """Uses up so many; raises BudgetError, and leaves none, where there are not as many left."""
        if count > self.left:
            self.left = 0
            raise BudgetError(f"more than {self.most:,} {self.of}")
        self.left -= count


def walk(base: Machine, others: Sequence[Machine], steps: Steps) -> Iterator[tuple[str, int]]:
    """Yields one shortest text of the base for each distinct set of others that match it.

    The set is a bit mask over the order of `others`. Letters that no pattern names behave alike, so one of
    them stands for all. No machine may hold a policy variable. Raises BudgetError.
    """
    machines = (*others, base)
    start = stars = wild = 0
    ends: list[int] = []
    letters: dict[str, int] = {}
    offset = 0
    for machine in machines:
        start |= 1 << offset
        stars |= machine.stars << offset
        wild |= machine.any << offset
        ends.append(machine.end << offset)
        for letter, mask in machine.letters.items():
            # a letter's own mask already holds the `?` of its machine, those of the others join below
            letters[letter] = letters.get(letter, 0) | mask << offset
        offset += len(machine.singles) + 1
    unnamed = next((letter for letter in _UNNAMED if letter not in letters), _LAST_RESORT)
    moves = [(unnamed, wild), *((letter, mask | wild) for letter, mask in sorted(letters.items()))]
    alive = ((base.end << 1) - 1) << offset - len(base.singles) - 1
    deciding = sum(ends[:-1])
    reported: set[int] = set()
    start, lead = _past_the_lead(start, stars, dict(moves), base)
    for at, rest in _states(start, stars, moves, alive, steps):
        if at & ends[-1] and at & deciding not in reported:
            reported.add(at & deciding)
            yield lead + rest, sum(1 << bit for bit, end in enumerate(ends[:-1]) if at & end)


def _past_the_lead(start: int, stars: int, letters: dict[str, int], base: Machine) -> tuple[int, str]:
    """Reads the letters with which all texts of the base begin: no choice, so no states to count."""
    lead: list[str] = []
    for at, token in enumerate(base.singles):
        if token == ANY or base.stars >> at & 1:
            break
        start = ((start & letters[token]) << 1) | (start & stars)
        lead.append(token)
    return start, "".join(lead)


def _states(
    start: int, stars: int, moves: Sequence[tuple[str, int]], alive: int, steps: Steps
) -> Iterator[tuple[int, str]]:
    """Yields each set of positions with a shortest text that leads there, nearest first."""
    seen = {start}
    level = [(start, "")]
    steps.take()
    while level:
        yield from level
        following: list[tuple[int, str]] = []
        for at, text in level:
            kept = at & stars
            for letter, mask in moves:
                after = ((at & mask) << 1) | kept
                if after & alive and after not in seen:
                    steps.take()
                    seen.add(after)
                    following.append((after, text + letter))
        level = following
