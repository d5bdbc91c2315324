"""The exact path of containment: decide every distinguishable request, with conditions as opaque atoms.

For each atom past the fast path, the examples of its actions and resources stand for all requests it can make;
both documents are then only evaluated on examples and on assignments of the conditions. Taking conditions as
independent allows more contexts than exist, so a Witness is sound. Every overrun of the budget is Undecided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from remit_server.iam.containment.examples import Example, actions, resources
from remit_server.iam.containment.fast import Atom
from remit_server.iam.containment.rules import Rule, atoms_of, depends_on_reading, rules_of
from remit_server.iam.containment.verdict import Counterexample, Cover, Purse, Undecided
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import BudgetError
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect

_EVERY_ACTION = ActionPattern.parse("*")
_EVERY_RESOURCE = ResourcePattern.parse("*")


def decide(
    pending: Sequence[Atom], issued: Document, ceiling: Document, purse: Purse
) -> list[Cover] | Counterexample | Undecided:
    """Returns a cover for every pending atom, or the first request that escapes, or why neither was found."""
    most = purse.budget.permissions
    if len({atom.number for atom in pending}) > most:
        return Undecided(f"more than {most} permissions need the exact procedure")
    rules, bent = rules_of(issued, ceiling)
    proof = _Proof(rules, purse)
    covers: list[Cover] = []
    doubt: Undecided | None = None
    for atom in pending:
        try:
            outcome = proof.of(atom)
        except BudgetError as overrun:
            return doubt or Undecided(f"the proof takes {overrun}")
        if isinstance(outcome, Undecided):
            doubt = doubt or outcome
        elif isinstance(outcome, Cover):
            covers.append(outcome)
        elif bent:
            doubt = doubt or Undecided("policy variables leave open whether the ceiling allows it")
        else:
            return outcome
    return doubt or covers


@dataclass(slots=True)
class _Proof:
    """Carries the rules and what is left of the budget from atom to atom."""

    rules: list[Rule]
    purse: Purse
    _actions: dict[tuple[ActionPattern, int], list[Example]] = field(default_factory=dict)
    _resources: dict[tuple[ResourcePattern, int], list[Example]] = field(default_factory=dict)

    def of(self, atom: Atom) -> Cover | Counterexample | Undecided:
        """Decides one atom; raises BudgetError."""
        if atom.resource and atom.resource.has_variables:
            return Undecided("a policy variable is only contained in itself or in a trailing wildcard")
        self.purse.evaluations.take(1 + len(self.rules) // 8)
        action, resource = atom.action or _EVERY_ACTION, atom.resource or _EVERY_RESOURCE
        mattering = self._mattering(atom)
        if (action, mattering) not in self._actions:
            self._actions[action, mattering] = actions(action, self.rules, mattering, self.purse)
        on_actions = self._actions[action, mattering]
        in_play = reduce(or_, (example.matched for example in on_actions), 0)
        if (resource, in_play) not in self._resources:
            self._resources[resource, in_play] = resources(resource, self.rules, in_play, self.purse)
        outcome = self._search(atom, on_actions, self._resources[resource, in_play])
        if isinstance(outcome, int):
            self.purse.comparisons.take(resource.cost * len(self.rules))
            if depends_on_reading(resource, [rule for rule in self.rules if _may_concern(rule, action, atom)]):
                return Undecided("a wildcard region or account leaves open what the ceiling allows")
            return Cover(atom.number, atom.action_text, atom.resource_text, self._covering(outcome, atom))
        return outcome

    def _search(
        self, atom: Atom, on_actions: Sequence[Example], on_resources: Sequence[Example]
    ) -> Counterexample | Undecided | int:
        """Evaluates every pair of examples; returns the rules that matched some, as a mask, when none escapes."""
        judged: set[int] = set()
        for one in on_actions:
            for other in on_resources:
                self.purse.evaluations.take()
                matched = one.matched & other.matched
                if matched in judged:
                    continue
                judged.add(matched)
                found = self._judge(matched, atom)
                if isinstance(found, Undecided):
                    return found
                if found is not None:
                    return Counterexample(one.text, other.text, found.context, atom.number, found.stopped_by)
        return reduce(or_, judged, 0)

    def _covering(self, matched: int, atom: Atom) -> tuple[int, ...]:
        """Returns the numbers of the ceiling Allows that hold some request of the atom."""
        allows = [
            rule
            for at, rule in enumerate(self.rules)
            if matched >> at & 1 and rule.of_ceiling and rule.effect is Effect.ALLOW
        ]
        plain = [rule.number for rule in allows if rule.conditions.issubset(atom.statement.conditions)]
        return tuple(plain or [rule.number for rule in allows])

    def _mattering(self, atom: Atom) -> int:
        """Returns the rules that can decide an atom: not the other issued Allows, nor its own unless negated.

        Without that, permissions that are proven already would cost states.
        """
        negated = atom.action is None or atom.resource is None
        return sum(
            1 << at
            for at, rule in enumerate(self.rules)
            if rule.of_ceiling or rule.effect is Effect.DENY or (negated and rule.number == atom.number)
        )

    def _judge(self, matched: int, atom: Atom) -> "_Escape | Undecided | None":
        """Looks for condition values under which the issued document allows and the ceiling does not."""
        rules = [rule for at, rule in enumerate(self.rules) if matched >> at & 1]
        self.purse.evaluations.take(len(rules) // 4)
        negated = atom.action is None or atom.resource is None
        if negated and not any(rule.effect is Effect.ALLOW and not rule.of_ceiling for rule in rules):
            return None  # a request that the atom's own NotAction or NotResource excludes
        given = frozenset(atom.statement.conditions)
        free = [condition for condition in atoms_of(rules) if condition not in given]
        if len(free) > self.purse.budget.atoms:
            return Undecided(f"more than {self.purse.budget.atoms} conditions decide at once")
        bits = {condition: 1 << at for at, condition in enumerate(free)}
        view = _View(
            shields=_needs(rules, bits, of_ceiling=False, effect=Effect.DENY),
            allows=_needs(rules, bits, of_ceiling=True, effect=Effect.ALLOW),
            denies=_needs(rules, bits, of_ceiling=True, effect=Effect.DENY),
        )
        for holding in range(1 << len(free)):
            self.purse.evaluations.take()
            if view.escapes(holding):
                return _Escape(_context(given, bits, holding), view.reason(holding, rules, bits))
        return None


@dataclass(frozen=True, slots=True)
class _Escape:
    context: tuple[tuple[str, str], ...]
    stopped_by: str


@dataclass(frozen=True, slots=True)
class _View:
    """Holds, for the rules that match one request, which free conditions each needs, by kind of rule."""

    shields: list[int]
    allows: list[int]
    denies: list[int]

    def escapes(self, holding: int) -> bool:
        if any(needs & holding == needs for needs in self.shields):
            return False
        if any(needs & holding == needs for needs in self.denies):
            return True
        return not any(needs & holding == needs for needs in self.allows)

    def reason(self, holding: int, rules: Sequence[Rule], bits: dict[Condition, int]) -> str:
        for rule in rules:
            if rule.of_ceiling and rule.effect is Effect.DENY:
                needs = sum(bits.get(condition, 0) for condition in rule.conditions)
                if needs & holding == needs:
                    return f"statement {rule.number} denies it"
        if not self.allows:
            return "no statement allows it"
        missing = min(self.allows, key=lambda needs: (needs & ~holding).bit_count()) & ~holding
        names = [f"{each.operator} {each.key}" for each, bit in bits.items() if bit & missing]
        return f"condition {', '.join(names)} is missing"


def _needs(rules: Sequence[Rule], bits: dict[Condition, int], *, of_ceiling: bool, effect: Effect) -> list[int]:
    return [
        sum(bits.get(condition, 0) for condition in rule.conditions)
        for rule in rules
        if rule.of_ceiling == of_ceiling and rule.effect is effect
    ]


def _context(given: frozenset[Condition], bits: dict[Condition, int], holding: int) -> tuple[tuple[str, str], ...]:
    states = {str(condition): "holds" for condition in given}
    states |= {str(condition): "holds" if bit & holding else "does not hold" for condition, bit in bits.items()}
    return tuple(sorted(states.items()))


def _may_concern(rule: Rule, action: ActionPattern, atom: Atom) -> bool:
    """Tells whether a rule can take part in the decision on an atom's action."""
    if not rule.of_ceiling and rule.effect is Effect.ALLOW:
        return False
    if atom.action is None:
        return True
    if rule.not_action:
        return not any(mine.includes(action) for mine in rule.actions)
    return any(mine.overlaps(action) for mine in rule.actions)
