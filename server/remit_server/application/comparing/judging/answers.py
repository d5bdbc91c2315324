"""What one answer of policy lets somebody reach that another does not: permissions, and the terms they come with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from remit_server.application.comparing.asking.intents import literal_actions, literal_resources
from remit_server.application.comparing.judging.limits import aspects, is_as_lax
from remit_server.application.comparing.judging.proofs import Proofs, atoms, met, shows, union
from remit_server.application.comparing.values import Change, Direction, Doubt, DoubtKind, Example, What
from remit_server.domain.decision import Allow, Decision, Deny
from remit_server.domain.entitlement import Entitlement
from remit_server.iam import Counterexample, Document, Undecided, Witness

MOST_ATOMS = 4_000


@dataclass(slots=True)
class Judge:
    """Compares answers; what it could not decide gathers in `doubts`."""

    proofs: Proofs = field(default_factory=Proofs)
    doubts: list[Doubt] = field(default_factory=list)

    def compared(self, before: Decision, after: Decision) -> tuple[Change, ...]:
        """Returns every change from one answer to another, those both ways as one."""
        if before == after:
            return ()
        then, now = entitlements_of(before), entitlements_of(after)
        gained = list(self._gains(then, now))
        lost = [change.flipped() for change in self._gains(now, then)]
        reasons = list(_reasons(before, after))
        return tuple(dict.fromkeys((*_joined(gained, lost), *reasons)))

    def _gains(self, before: Sequence[Entitlement], after: Sequence[Entitlement]) -> Iterator[Change]:
        """Yields what the later entitlements allow that the earlier ones do not, or only under stricter terms."""
        for gained in after:
            same_role = [one for one in before if one.role_arn == gained.role_arn]
            lax = [one for one in same_role if is_as_lax(one, gained)]
            if not isinstance(self.proofs.held(gained.document(), union(lax)), Witness):
                yield from self._gained_atoms(gained, lax, same_role)

    def _gained_atoms(
        self, gained: Entitlement, lax: Sequence[Entitlement], same_role: Sequence[Entitlement]
    ) -> Iterator[Change]:
        """Yields what is new of one entitlement, part by part."""
        held, reachable = union(lax), union(same_role)
        room = MOST_ATOMS
        for statement in gained.document().statements:
            if isinstance(self.proofs.held(Document((statement,)), held), Witness):
                continue
            for atom in atoms(statement):
                room -= 1
                if room < 0:
                    self._doubt(gained, f"it has more than {MOST_ATOMS:,} pairs of an action and a resource")
                    return
                yield from self._gained_atom(gained, atom, held, reachable, same_role)

    def _gained_atom(
        self,
        gained: Entitlement,
        atom: Document,
        held: Document,
        reachable: Document,
        same_role: Sequence[Entitlement],
    ) -> Iterator[Change]:
        """Yields what is new of one action on one resource: that it is reached, or the terms."""
        found = self.proofs.held(atom, held)
        if isinstance(found, Witness):
            return
        at_all = self.proofs.held(atom, reachable)
        if isinstance(at_all, Witness):
            yield from _terms(gained, atom, found, same_role)
        elif isinstance(at_all, Undecided):
            self._doubt(gained, f"{_spelled(atom)}: {at_all.reason}")
        else:
            yield _permission(gained, atom, _example(at_all, atom, reachable))

    def _doubt(self, gained: Entitlement, why: str) -> None:
        text = f"{gained.entitlement_id}: whether it is wider could not be decided: {why}"
        self.doubts.append(Doubt(DoubtKind.UNDECIDED, text))


def entitlements_of(decision: Decision) -> tuple[Entitlement, ...]:
    """Returns what an answer lets one reach: nothing for a no."""
    return decision.entitlements if isinstance(decision, Allow) else ()


def codes_of(decision: Decision) -> str:
    """Returns the codes of a no, or "allows"."""
    return ", ".join(sorted(reason.code for reason in decision.reasons)) if isinstance(decision, Deny) else "allows"


def _joined(gained: Sequence[Change], lost: Sequence[Change]) -> Iterator[Change]:
    """Yields every change once: what is both wider and narrower in one part is told as both."""
    both = {replace(change, direction=Direction.BOTH) for change in gained} & {
        replace(change, direction=Direction.BOTH) for change in lost
    }
    for change in (*gained, *lost):
        joined = replace(change, direction=Direction.BOTH)
        yield joined if joined in both else change


def _terms(
    gained: Entitlement, atom: Document, found: Counterexample | Undecided, same_role: Sequence[Entitlement]
) -> Iterator[Change]:
    """Yields in what the terms are laxer than those under which the same could be reached."""
    strict = [one for one in same_role if not is_as_lax(one, gained)]
    namesake = [one for one in strict if one.entitlement_id == gained.entitlement_id]
    example = _example(found, atom, union([one for one in same_role if one not in strict]))
    part = {} if namesake else {"action": _action(atom), "resource": _resource(atom)}
    for one in namesake or strict[:1]:
        for aspect in aspects(one, gained):
            if aspect.direction.widens:
                yield Change(
                    Direction.WIDENING,
                    aspect.what,
                    gained.role_arn,
                    gained.entitlement_id,
                    before=aspect.before,
                    after=aspect.after,
                    example=example,
                    **part,
                )


def _permission(gained: Entitlement, atom: Document, example: Example | None) -> Change:
    """Returns that an action on a resource is newly reached."""
    statement = atom.statements[0]
    return Change(
        Direction.WIDENING,
        What.PERMISSION,
        gained.role_arn,
        gained.entitlement_id,
        action=_action(atom),
        resource=_resource(atom),
        conditions=" and ".join(str(condition) for condition in statement.conditions),
        example=example,
    )


def _example(found: Counterexample | Undecided, atom: Document, narrower: Document) -> Example | None:
    """Returns a concrete call that shows it, where the proof found one."""
    if isinstance(found, Undecided):
        return None
    spelled = _action(atom)
    action = spelled if spelled.lower() == found.action.lower() else found.action
    shortest = replace(found, action=action)
    for better in _readable(shortest, atom):
        if shows(better, atom, narrower):
            return Example(better.action, better.resource, met(better), evaluated=True)
    return Example(action, found.resource, met(found), evaluated=shows(shortest, atom, narrower))


def _readable(found: Counterexample, atom: Document) -> Iterator[Counterexample]:
    """Yields calls that people know better than the shortest that a proof finds, such as an object in a prefix."""
    statement = atom.statements[0]
    actions = [one.text for one in literal_actions(statement.actions[0], ())]
    resources = [one.text for one in literal_resources(statement.resources[0], ())]
    for action in (*actions, found.action):
        for resource in (*resources, found.resource):
            yield replace(found, action=action, resource=resource)


def _reasons(before: Decision, after: Decision) -> Iterator[Change]:
    """Yields that a no is a no for another reason: nothing is wider, and people are told otherwise."""
    if isinstance(before, Deny) and isinstance(after, Deny) and codes_of(before) != codes_of(after):
        yield Change(Direction.NEUTRAL, What.REASON, "", before=codes_of(before), after=codes_of(after))


def _action(atom: Document) -> str:
    return atom.statements[0].actions[0].text


def _resource(atom: Document) -> str:
    return atom.statements[0].resources[0].text


def _spelled(atom: Document) -> str:
    return f"{_action(atom)} on {_resource(atom)}"
