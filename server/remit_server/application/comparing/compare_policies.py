"""Compares two policies: asks both for everybody whom a change can touch, and proves what each answer is worth."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from remit_server.application.comparing.administration import compared_rights
from remit_server.application.comparing.asking.actors import pairs_of
from remit_server.application.comparing.asking.asked import Asked
from remit_server.application.comparing.asking.askers import Asking, asking
from remit_server.application.comparing.asking.intents import MOST_LITERALS, mentioned
from remit_server.application.comparing.asking.touched import Touched, spread, touched
from remit_server.application.comparing.asking.untried import untried
from remit_server.application.comparing.judging.answers import Judge
from remit_server.application.comparing.judging.capabilities import capability_changes
from remit_server.application.comparing.one_asker import OneAsker
from remit_server.application.comparing.ports import Answers, MatchesActor
from remit_server.application.comparing.values import (
    Asker,
    Change,
    Comparison,
    Direction,
    Doubt,
    DoubtKind,
    Looked,
    Reach,
    Side,
    What,
    review_of,
)

MOST_PAIRS: Final = 45
MOST_DOUBTS: Final = 200
# Parts of the input that are the same in every question; rules that read them may do anything by them.
_HELD: Final = (
    "input.subject.acr",
    "input.subject.amr",
    "input.subject.auth_time",
    "input.subject.claims",
    "input.subject.email",
    "input.subject.id",
    "input.actor.claims",
    "input.actor.kind",
    "input.actor.issuer",
    "input.context.source_ip",
    "input.context.renewal",
    "input.parent_task",
    "input.delegation_history",
    "input.requested_duration_seconds",
    "input.intent.capabilities",
    "input.task.grants_so_far",
    "input.task.id",
    "input.task.purpose",
)


@dataclass(frozen=True, slots=True)
class ComparePolicies:
    """Compares what two policies let people reach; `variations` are laid over the questions, one after the other."""

    before: Answers
    after: Answers
    matches: MatchesActor
    variations: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    async def __call__(self, before: Side, after: Side) -> Comparison:
        """Returns the whole comparison; raises nothing for a policy that does not answer: that is a doubt."""
        review = review_of(before.revision, after.revision)
        if before.revision == after.revision:
            nothing = Looked(0, len(after.groups), 0, 0, 0)
            return Comparison(before.revision, after.revision, (), (), (), nothing, review)
        change = touched(before, after)
        asked, judge = Asked(self.before, self.after), Judge()
        literals = _literals(before, after)
        named, left = mentioned(literals) if change.everywhere else ((), 0)
        one = OneAsker(before, after, asked, judge, self.variations, literals, named, left_out=left)
        askings = asking(before, after, self.matches, variations=len(self.variations), everywhere=change.everywhere)
        reaches, askers, doubts = await self._reaches(change, one, askings)
        others = [*_role_order(before, after)]
        templates, undecided = capability_changes(before.capabilities, after.capabilities, judge.proofs)
        rights, unanswered = await compared_rights(before, after, asked, everywhere=change.everywhere)
        doubts = [
            *(change.doubts),
            *doubts,
            *_unreached(change, one.seen),
            *untried(change.news, before, after),
            *one.doubts,
            *judge.doubts,
            *undecided,
            *unanswered,
            *_left_out(one, asked, everywhere=change.everywhere),
        ]
        looked = Looked(
            len(change.groups) + len(change.spot_checks),
            change.known,
            askers,
            asked.questions,
            one.intents,
            _held(after),
        )
        kept = _bounded(dict.fromkeys(doubts))
        found = (*others, *templates, *rights)
        return Comparison(before.revision, after.revision, tuple(reaches), found, kept, looked, review)

    async def _reaches(self, change: Touched, one: OneAsker, askings: Asking) -> tuple[list[Reach], int, list[Doubt]]:
        """Returns what every set of groups reaches otherwise, how many were asked for, and what was not.

        While rules stay, members of two groups reach what both do: pairs are asked for to see that, not to prove it.
        """
        reaches: list[Reach] = []
        doubts: list[Doubt] = []
        askers = 0
        known: dict[str, set[Change]] = {}
        for group in ("", *change.groups, *change.spot_checks, *change.mentioned):
            groups = (group,) if group else ()
            found, count, more = await _of_groups(groups, one, askings)
            reaches += found
            doubts += more if group in change.groups else ()
            askers += count
            known[group] = {reach.change for reach in found}
            if found and group in change.spot_checks:
                doubts.append(
                    Doubt(DoubtKind.RULES, f"{group} leads to nothing that changed, and yet reaches otherwise")
                )
        pairs, left = pairs_of(change.groups, MOST_PAIRS)
        for pair in pairs:
            found, count, more = await _of_groups(pair, one, askings)
            reaches += [reach for reach in found if not any(reach.change in known[group] for group in pair)]
            doubts += more if change.everywhere else ()
            askers += count
        if left and change.everywhere:
            doubts.append(Doubt(DoubtKind.LEFT_OUT, f"{left:,} pairs of groups were left out"))
        return reaches, askers, doubts


async def _of_groups(
    groups: tuple[str, ...], one: OneAsker, askings: Asking
) -> tuple[list[Reach], int, Sequence[Doubt]]:
    """Returns what members of these groups reach otherwise, each change with everybody for whom it is so."""
    classes = askings.of(groups)
    answers = await asyncio.gather(*(one.changes(asker) for asker in classes.askers))
    found: dict[Change, list[Asker]] = {}
    for asker, changes in zip(classes.askers, answers, strict=True):
        for change in changes:
            found.setdefault(change, []).append(asker)
    reaches = [Reach(groups, change, tuple(askers)) for change, askers in sorted(found.items(), key=_order)]
    return reaches, len(classes.askers), classes.doubts


def _order(found: tuple[Change, list[Asker]]) -> tuple[str, ...]:
    """Sorts changes by role, then by what they are about."""
    change = found[0]
    place = str(list(Direction).index(change.direction))
    return (change.where, change.entitlement, place, change.what, change.action, change.resource, change.after)


def _literals(before: Side, after: Side) -> tuple[str, ...]:
    """Returns texts of rules and data that may be actions or resources, within a bound."""
    texts = {*before.rules.literals, *after.rules.literals, *before.texts, *after.texts}
    return spread(sorted(text for text in texts if ":" in text and " " not in text), MOST_LITERALS)


def _role_order(before: Side, after: Side) -> Iterator[Change]:
    """Yields that the roles which both name are tried in another order."""
    then = [role for role in before.roles if role in after.roles]
    now = [role for role in after.roles if role in before.roles]
    if then != now:
        yield Change(Direction.NEUTRAL, What.ROLE_ORDER, "", before=", ".join(then), after=", ".join(now))


def _unreached(change: Touched, seen: set[tuple[str, str]]) -> Iterator[Doubt]:
    """Yields what changed in the catalogue and came up in no answer: what it gives, and to whom, was not seen."""
    for group, name in sorted(change.news - seen):
        text = f"{name} changed, and no question that was asked for {group} was answered with it"
        yield Doubt(DoubtKind.UNREACHED, text)


def _left_out(one: OneAsker, asked: Asked, *, everywhere: bool) -> Iterator[Doubt]:
    """Yields what was left out for want of room; while rules stay, intents only show what ceilings prove."""
    if one.left_out and everywhere:
        yield Doubt(DoubtKind.LEFT_OUT, f"{one.left_out:,} intents were left out")
    if asked.left_out:
        yield Doubt(DoubtKind.LEFT_OUT, f"{asked.left_out:,} questions were left out, after {asked.questions:,}")
    cut = one.before.rules.literals_left_out + one.after.rules.literals_left_out
    if cut:
        yield Doubt(DoubtKind.LEFT_OUT, f"{cut:,} texts of the rules were not tried in intents")


def _held(after: Side) -> tuple[str, ...]:
    """Returns what the later rules read that is the same in every question."""
    return tuple(
        name for name in _HELD if any(read == name or read.startswith(f"{name}.") for read in after.rules.reads)
    )


def _bounded(doubts: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """Returns the first doubts, and how many more there are of those that weigh most."""
    listed = sorted(doubts, key=lambda doubt: doubt.kind.reviewable)
    if len(listed) <= MOST_DOUBTS:
        return tuple(listed)
    more = replace(listed[MOST_DOUBTS], text=f"{len(listed) - MOST_DOUBTS:,} doubts more of this kind or a lighter one")
    return (*listed[:MOST_DOUBTS], more)
