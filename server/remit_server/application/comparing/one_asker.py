"""What one asker can reach under both policies: by a harmless intent, and by each part of what there is to reach."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from remit_server.application.comparing.asking.asked import Asked
from remit_server.application.comparing.asking.intents import intents_of
from remit_server.application.comparing.asking.questions import HARMLESS, question_of
from remit_server.application.comparing.judging.answers import Judge, codes_of, entitlements_of
from remit_server.application.comparing.judging.proofs import permits, union
from remit_server.application.comparing.values import (
    Asker,
    Change,
    Direction,
    Doubt,
    DoubtKind,
    Entry,
    Example,
    Side,
    What,
)
from remit_server.domain.decision import Allow, Decision, Deny
from remit_server.domain.errors import Outage
from remit_server.domain.permission import Permission, as_document
from remit_server.iam import ActionPattern, Document, MalformedPattern, ResourcePattern, Witness

Pair = tuple[Decision, Decision]


@dataclass(slots=True)
class OneAsker:
    """Compares for one asker after the other; counts what it did, and keeps what it could not decide."""

    before: Side
    after: Side
    asked: Asked
    judge: Judge
    variations: Sequence[Mapping[str, Any]]
    literals: Sequence[str]
    mentioned: Sequence[Permission] = ()
    intents: int = 0
    left_out: int = 0
    doubts: list[Doubt] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    async def changes(self, asker: Asker) -> tuple[Change, ...]:
        """Returns every change in what this asker can reach."""
        base = await self._answers(asker, (HARMLESS,))
        if base is None:
            return ()
        self._saw(asker, base[1])
        found = {change: await self._shown(asker, change) for change in self.judge.compared(*base)}
        async for change in self._by_intent(asker, base):
            found.setdefault(change, change)
        return tuple(found.values())

    async def _by_intent(self, asker: Asker, base: Pair) -> AsyncIterator[Change]:
        """Yields what differs only for intents that say something, since rules may look at them."""
        intents, left = intents_of(base, self._entries(asker), self.literals)
        self.left_out += left
        reaches_something = any(isinstance(answer, Allow) for answer in base)
        for intent in (*intents, *(self.mentioned if reaches_something else ())):
            answers = await self._answers(asker, (intent,))
            if answers is None:
                return
            self.intents += 1
            self._saw(asker, answers[1])
            if answers != base:
                for change in self._of_intent(intent, answers, base):
                    yield change

    def _of_intent(self, intent: Permission, answers: Pair, base: Pair) -> Iterator[Change]:
        """Yields that an intent is refused now or no longer, and what else is answered to it than to a harmless one."""
        then, now = answers
        if isinstance(then, Deny) is isinstance(now, Deny):
            known = set(self.judge.compared(*base))
            yield from (change for change in self.judge.compared(then, now) if change not in known)
            return
        wider, way = (now, Direction.WIDENING) if isinstance(then, Deny) else (then, Direction.NARROWING)
        role = self._role_of(intent, wider)
        if role is None:
            yield from _bounded_anyway(intent, answers)
        if role is None or self._is_gain(intent, base, way):
            return
        yield Change(
            way,
            What.REFUSAL,
            role,
            action=str(intent.actions[0]),
            resource=str(intent.resources[0]),
            before=codes_of(then),
            after=codes_of(now),
            example=_allowed(intent, wider, role),
        )

    def _role_of(self, intent: Permission, decision: Decision) -> str | None:
        """Returns the role by which the answer lets the intent be issued, or None."""
        entitlements = entitlements_of(decision)
        for role in dict.fromkeys(one.role_arn for one in entitlements):
            ceiling = union([one for one in entitlements if one.role_arn == role])
            if isinstance(self.judge.proofs.held(as_document((intent,)), ceiling), Witness):
                return role
        return None

    def _is_gain(self, intent: Permission, base: Pair, way: Direction) -> bool:
        """Says whether the other side has nothing of the kind anyway, so that it is told as a permission already."""
        other = base[0] if way is Direction.WIDENING else base[1]
        part: Document = as_document((intent,))
        roles = {one.role_arn for one in entitlements_of(other)}
        ceilings = [union([one for one in entitlements_of(other) if one.role_arn == role]) for role in sorted(roles)]
        return not any(isinstance(self.judge.proofs.held(part, ceiling), Witness) for ceiling in ceilings)

    async def _shown(self, asker: Asker, change: Change) -> Change:
        """Returns the change with what the wider policy itself says to its example, as an intent."""
        example = change.example
        if example is None or change.what is not What.PERMISSION:
            return change
        intent = _intent(example)
        answers = await self._answers(asker, (intent,)) if intent else None
        if answers is None:
            return change
        wider = answers[1] if change.direction.widens else answers[0]
        return replace(change, example=replace(example, engine=codes_of(wider)))

    async def _answers(self, asker: Asker, permissions: tuple[Permission, ...]) -> Pair | None:
        """Returns both answers; where one failed, nothing, and a doubt."""
        variation = self.variations[asker.variation - 1] if asker.variation else {}
        answers = await self.asked.decide(question_of(asker, permissions, variation))
        if answers is None:
            return None
        then, now = answers
        if not isinstance(then, Outage) and not isinstance(now, Outage):
            return then, now
        for side, answer in (("before", then), ("after", now)):
            if isinstance(answer, Outage):
                self._unanswered(asker, side, answer)
        return None

    def _unanswered(self, asker: Asker, side: str, outage: Outage) -> None:
        """Keeps that a policy had no answer, once for each of the groups and reasons."""
        why = getattr(outage, "why", str(outage))
        text = f"{' with '.join(asker.groups) or 'nobody'}: the policy {side} gave no decision: {why}"
        doubt = Doubt(DoubtKind.UNANSWERED, text)
        if doubt not in self.doubts:
            self.doubts.append(doubt)

    def _saw(self, asker: Asker, decision: Decision) -> None:
        self.seen.update((group, one.entitlement_id) for group in asker.groups for one in entitlements_of(decision))

    def _entries(self, asker: Asker) -> Iterator[Entry]:
        """Yields the entitlements to which the asker's groups lead in either catalogue."""
        for side in (self.before, self.after):
            for group in asker.groups:
                yield from (side.entries[name] for name in side.groups.get(group, ()) if name in side.entries)


def _bounded_anyway(intent: Permission, answers: Pair) -> Iterator[Change]:
    """Yields that rules refuse, or no longer refuse, what no entitlement would give anyway."""
    then, now = ("the entitlements" if one == "allows" else one for one in map(codes_of, answers))
    action, resource = str(intent.actions[0]), str(intent.resources[0])
    yield Change(Direction.NEUTRAL, What.REASON, "", action=action, resource=resource, before=then, after=now)


def _allowed(intent: Permission, decision: Decision, role: str) -> Example:
    """Returns the intent as the example of what an answer allows by one role."""
    action, resource = str(intent.actions[0]), str(intent.resources[0])
    ceiling = union([one for one in entitlements_of(decision) if one.role_arn == role])
    return Example(action, resource, evaluated=permits(ceiling, action, resource), engine="allows")


def _intent(example: Example) -> Permission | None:
    """Returns an intent for just this call, where it can be said as one."""
    try:
        return Permission((ActionPattern.parse(example.action),), (ResourcePattern.parse(example.resource),))
    except MalformedPattern:
        return None
