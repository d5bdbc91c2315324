"""What a containment proof answers, as frozen values; only a Witness lets anything be issued."""

from dataclasses import dataclass, field
from typing import NamedTuple

from remit_server.iam.language.automaton import Steps
from remit_server.iam.language.document import Document


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds one proof in counted steps, never in time, so that a replay repeats the answer.

    `parts` are pairs of an action and a resource in the issued document, `comparisons` patterns held against each
    other (long ones count more), `states` sets of pattern positions visited, `atoms` conditions free at once,
    `permissions` issued statements past the fast path, `evaluations` concrete requests and condition assignments
    decided.
    """

    parts: int = 10_000
    comparisons: int = 20_000
    states: int = 2_000
    atoms: int = 10
    permissions: int = 10
    evaluations: int = 20_000

    def counted(self) -> Steps:
        """Returns the comparisons that one fast proof may take."""
        return Steps(self.comparisons, "comparisons of patterns")

    def opened(self) -> "Purse":
        """Returns what may be spent, for one proof or for several together."""
        return Purse(
            self,
            self.counted(),
            Steps(self.states, "states"),
            Steps(self.evaluations, "evaluations of requests"),
        )


@dataclass(frozen=True, slots=True)
class Purse:
    """Holds what is left of a budget."""

    budget: Budget
    comparisons: Steps
    states: Steps
    evaluations: Steps


class Cover(NamedTuple):
    """Says which ceiling statements, by number, hold one action and resource of an issued statement."""

    statement: int
    action: str
    resource: str
    covered_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Witness:
    """Says that all the document allows is allowed by the ceiling, and why, for exactly these two texts."""

    covers: tuple[Cover, ...]
    ceiling: Document = field(repr=False)
    document: Document = field(repr=False)

    @property
    def ceiling_sha256(self) -> str:
        """The SHA-256 of the ceiling's text."""
        return self.ceiling.sha256

    @property
    def document_sha256(self) -> str:
        """The SHA-256 of the document's text."""
        return self.document.sha256


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Holds one concrete request that the document allows and the ceiling does not.

    `context` pairs each condition in play with whether it holds; conditions count as independent of each other.
    `statement` is the issued statement, `ceiling` the number of the ceiling that stopped it.
    """

    action: str
    resource: str
    context: tuple[tuple[str, str], ...]
    statement: int
    stopped_by: str
    ceiling: int = 0


@dataclass(frozen=True, slots=True)
class Undecided:
    """Says why no proof was found within the budget; it counts as no."""

    reason: str
    ceiling: int = 0
