"""What is wrong with a configuration: every mistake at once, each with its place, its reason and its mending."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: where it is (`issuers[0].algorithms`), what is wrong, why that matters, and how to mend it.

    Never repeats a value that could be a secret.
    """

    place: str
    problem: str
    why: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}\n    Why:  {self.why}\n    Mend: {self.mend}"


class ConfigurationError(ValueError):
    """The configuration cannot be used; holds every mistake that was found, in the order of the file."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{path} has {count}:", *(f"  {mistake}" for mistake in mistakes)]))
        self.path = path
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Notes:
    """Collects mistakes while the configuration is read; reading goes on after each.

    `origins` are the places that an environment variable set, with its name.
    """

    mistakes: list[Mistake] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, problem: str, *, why: str, mend: str) -> None:
        """Notes one mistake."""
        origin = self.origins.get(place)
        where = place if origin is None else f"{place} (set by {origin})"
        self.mistakes.append(Mistake(where, problem, why, mend))
