"""Statements of one document, arranged so that a question about a few of them does not go through all.

Threads may share an index: what is worked out late is put in place whole, and twice the same at worst.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.statement import Effect, Statement

# How many answers an index remembers before it forgets them all: callers choose the actions.
_REMEMBERED = 4096
# So few statements are sooner looked at than filed by their services.
_FEW = 4


class Numbered(NamedTuple):
    """Holds a statement with its number in its document; `width` is how many resource patterns it lists."""

    number: int
    statement: Statement
    width: int


@dataclass(frozen=True, slots=True)
class Concerned:
    """Holds the Allows about a whole action and the Denies that may touch it."""

    allows: tuple[Numbered, ...]
    denies: tuple[Numbered, ...]
    _by_lead: "dict[int, dict[str, list[Numbered]]] | None" = field(default=None, init=False, compare=False, repr=False)

    def allows_on(self, resource: ResourcePattern) -> Sequence[Numbered]:
        """Returns, in their order, the Allows that may hold the whole resource; no other one does.

        What holds a resource is the same text up to its first wildcard.
        """
        allows, by_lead = self.allows, self._by_lead
        if len(allows) == 1 and allows[0].width == 1:  # sooner looked at than filed
            only = allows[0].statement
            return allows if only.not_resource or resource.text.startswith(only.resources[0].lead) else ()
        if by_lead is None:
            by_lead = _by_lead(allows)
            object.__setattr__(self, "_by_lead", by_lead)
        text = resource.text
        found: list[Numbered] = []
        for length, leads in by_lead.items():
            found += leads.get(text[:length], ())
        return found if len(found) <= 1 else sorted(found, key=_number)


def _by_lead(allows: Iterable[Numbered]) -> dict[int, dict[str, list[Numbered]]]:
    """Files each statement under the leads of its resources, by their length."""
    by_lead: dict[int, dict[str, list[Numbered]]] = {}
    for each in allows:
        for lead in each.statement.leads:
            by_lead.setdefault(len(lead), {}).setdefault(lead, []).append(each)
    return by_lead


def _number(each: Numbered) -> int:
    return each.number


class Index:
    """Finds the statements that an action concerns, and remembers what it was asked."""

    __slots__ = ("_about", "_answers", "_general", "_groups", "_is_small", "_numbered", "_services", "every")

    def __init__(self, statements: Iterable[Statement]) -> None:
        numbered = [Numbered(number, each, len(each.resources)) for number, each in enumerate(statements)]
        self.every = _by_effect(numbered)
        self._general: list[Numbered] = []
        self._about: dict[str, list[Numbered]] = {}
        self._services: dict[str, Concerned] = {}
        self._groups: dict[tuple[tuple[int, ...], tuple[int, ...]], Concerned] = {}
        self._answers: dict[str, Concerned] = {}
        self._numbered: list[Numbered] | None = numbered  # until they are filed by their services
        self._is_small = len(numbered) <= _FEW

    def concerned(self, action: ActionPattern) -> Concerned:
        """Returns the Allows that hold every action of the pattern and the Denies that may touch one."""
        answer = self._answers.get(action.folded)
        if answer is None:
            among = self.every if self._is_small else self.about(action.service)
            allows = tuple([each for each in among.allows if each.statement.holds_action(action)])
            denies = tuple([each for each in among.denies if each.statement.touches_action(action)])
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
                self._groups.clear()
            answer = Concerned(allows, denies)
            if not self._is_small:  # actions that concern the same statements share one answer, and what it has filed
                group = tuple([each.number for each in allows]), tuple([each.number for each in denies])
                answer = self._groups.setdefault(group, answer)
            self._answers[action.folded] = answer
        return answer

    def about(self, service: str) -> Concerned:
        """Returns the statements that may be about actions of a service; `*` is every service."""
        if service == "*":
            return self.every
        if self._numbered is not None:
            self._file(self._numbered)
        named = service if service in self._about else ""
        about = self._services.get(named)
        if about is None:
            about = _by_effect(sorted([*self._general, *self._about.get(named, ())], key=_number))
            self._services[named] = about
        return about

    def _file(self, numbered: list[Numbered]) -> None:
        """Files the statements by the services that they are about."""
        general: list[Numbered] = []
        about: dict[str, list[Numbered]] = {}
        for each in numbered:
            services = {action.service for action in each.statement.actions}
            if each.statement.not_action or "*" in services:
                general.append(each)
                continue
            for service in services:
                about.setdefault(service, []).append(each)
        self._general, self._about, self._numbered = general, about, None


def _by_effect(among: Iterable[Numbered]) -> Concerned:
    allows: list[Numbered] = []
    denies: list[Numbered] = []
    for each in among:
        (allows if each.statement.effect is Effect.ALLOW else denies).append(each)
    return Concerned(tuple(allows), tuple(denies))
