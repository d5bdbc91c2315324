"""What came out of the pipes, in its order: the word of whoever called and of STS, not of the gateway."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeAlias

Line: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One line, and its place among all of them."""

    place: int
    line: Line

    def __getitem__(self, key: str) -> Any:
        return self.line[key]


@dataclass
class Trace:
    """Every line of the rounds so far."""

    _of: defaultdict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))
    _asked: defaultdict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))
    _answered: set[str] = field(default_factory=set)
    _count: int = 0
    _round_began: int = 0

    def add(self, lines: Sequence[Line]) -> None:
        """Takes the lines of another round."""
        self._round_began = self._count
        for line in lines:
            told = Told(self._count, line)
            self._count += 1
            self._of[line["what"]].append(told)
            if line["what"] == "asking":
                self._asked[line["request"]].append(told)
            elif line["what"] in {"given", "refused"}:
                self._answered.add(line["request"])

    def of(self, *whats: str) -> Iterator[Told]:
        """Gives the lines of these kinds."""
        return (told for what in whats for told in self._of[what])

    def of_this_round(self, *whats: str) -> Iterator[Told]:
        """Gives those of the latest round only."""
        for what in whats:
            newest_first = takewhile(lambda told: told.place >= self._round_began, reversed(self._of[what]))
            yield from reversed(list(newest_first))

    def asked(self, request_id: str, before: int | None = None) -> Told | None:
        """Returns the last time that a request was asked (before this place), or None."""
        found = (one for one in reversed(self._asked[request_id]) if before is None or one.place < before)
        return next(found, None)

    def unanswered(self) -> list[Line]:
        """Returns the requests of the latest round that had no answer when it ended, each once."""
        waiting = {told["request"]: told.line for told in self.of_this_round("asking")}
        return [line for request_id, line in waiting.items() if request_id not in self._answered]


def granted_by(told: Told) -> str:
    """Returns the grant that a call of STS was for, from its session tag."""
    form = told["form"]
    keys = {value: name.removesuffix("Key") + "Value" for name, value in form.items() if name.endswith(".Key")}
    return str(form[keys["remit:grant"]]).split(".")[2]
