"""What a session policy is drafted from, derived, and proven on its own bytes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from remit_server.application.planning.binds import joined
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import FAST, Choice, union
from remit_server.application.planning.explaining import never_issuable
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.permission import as_permissions
from remit_server.iam import (
    Budget,
    Counterexample,
    Derived,
    Document,
    Outline,
    PatternTooComplex,
    Statement,
    TooLarge,
    TooManyOverlapsError,
    Undecided,
    UnderivableIntent,
    conditioned,
    contains_all,
    lies_within,
    outline,
)


class Undetermined(Exception):  # noqa: N818 - a question for the exact path, never an answer
    """The fast path could not say yes."""


class DoesNotFit(Undetermined):
    """What the fast path chose does not fit a session policy, and it would choose the same again."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a session policy is derived from again for another end: the choice, its outline, what it must lie within."""

    choice: Choice
    outline: Outline
    within: tuple[Document, ...]


def draftings(intent: Document, choice: Choice, ceilings: Ceilings, budget: Budget) -> Iterator[Draft]:
    """Yields what may be drafted for an intent, one after the other; raises Denied(INTENT_TOO_LARGE).

    With the fast budget it raises Undetermined for what does not fit: a split of it is looked for on the exact path.
    Within a grant above its own guards are tried first. Where the conditions of that grant are others, its guards of
    them are taken over: they deny nothing that this may allow.
    """
    above = choice.above
    asked = intent if above is None else conditioned(intent, [above.allows])
    within = (intent, union(choice.entitlements), *ceilings.documents(choice.role.arn))
    for also in ((),) if above is None else dict.fromkeys(((), above.guards_on(intent))):
        yield Draft(choice, _outline(asked, choice, also, budget), within)


def first_proven(drafts: Iterable[Draft], end: datetime, ceilings: Ceilings, budget: Budget) -> tuple[Draft, Derived]:
    """Returns the first draft that is proven, and what is derived of it; raises why the last one is not."""
    unproven: Denied | None = None
    for draft in drafts:
        derived = draft.outline.until(end)
        _keep_off_the_floor(derived, draft.choice, ceilings)
        try:
            _prove(derived, draft, budget)
        except Denied as denied:
            unproven = denied
        else:
            return draft, derived
    raise unproven or Denied(Reason.CEILING_EXCEEDED, "nothing could be derived for the intent")


def _outline(intent: Document, choice: Choice, also: Sequence[Statement], budget: Budget) -> Outline:
    """Derives the session policy but for its end; raises what `draftings` does, with a split that fits."""
    binds = [*(item.bind for item in choice.entitlements), choice.above.bind if choice.above else None]
    bind = joined([one for one in binds if one is not None])
    documents = [item.document() for item in choice.entitlements]
    try:
        written = outline(
            intent,
            documents,
            source_cidrs=bind.source_cidrs,
            vpc_ids=bind.vpc_ids,
            also=also,
            found=choice.covered,
            splits=budget is not FAST,
        )
    except (TooManyOverlapsError, UnderivableIntent, PatternTooComplex) as error:
        raise Denied(
            Reason.INTENT_TOO_LARGE,
            "the permissions are too many or overlap too much to be guarded: fewer wildcards, or several requests",
            Refusal(remedy=Remedy.SPLIT),
        ) from error
    if isinstance(written, TooLarge):
        raise DoesNotFit if budget is FAST else too_large(written)
    return written


def too_large(found: TooLarge) -> Denied:
    """Returns the refusal of what does not fit: with parts that do, or why there are none."""
    size = f"the session policy would take {found.size} characters and AWS takes 2,048"
    if found.too_long is not None:
        (alone,) = as_permissions(found.too_long)
        message = f"{size}: {alone.actions[0]} on a single resource alone is too long, so no split of it fits"
        return Denied(Reason.INTENT_TOO_LARGE, message, Refusal(remedy=Remedy.GIVE_UP))
    advice = "ask in several requests" if found.proposal else "ask in many small requests, each for a few permissions"
    split = tuple(as_permissions(part) for part in found.proposal)
    return Denied(Reason.INTENT_TOO_LARGE, f"{size}: {advice}", Refusal(remedy=Remedy.SPLIT, split=split))


def _keep_off_the_floor(derived: Derived, choice: Choice, ceilings: Ceilings) -> None:
    """Refuses what the floor forbids by name in every service: a plain check beside the proof."""
    for _, statement in derived.document.allows:
        forbidden = ceilings.forbidden(choice.role.arn, statement)
        if forbidden is not None:
            raise never_issuable(forbidden)


def _prove(derived: Derived, draft: Draft, budget: Budget) -> None:
    """Proves on the very text that STS gets that it lies within intent, entitlements, role, floor and grant above."""
    proof = contains_all(derived.document, draft.within, budget=budget)
    if draft.choice.above is not None and not isinstance(proof, Counterexample | Undecided):
        proof = lies_within(derived.document, [draft.choice.above.document], budget=budget)
    match proof:
        case Counterexample() as found:
            raise Denied(
                Reason.CEILING_EXCEEDED,
                f"the derived session policy would allow {found.action} on {found.resource}, which is too much",
                Refusal(remedy=Remedy.GIVE_UP),
            )
        case Undecided(reason=reason):
            if budget is FAST:
                raise Undetermined
            raise Denied(
                Reason.CEILING_EXCEEDED,
                f"that the session policy stays within its ceilings could not be proven: {reason}",
                Refusal(remedy=Remedy.NARROW),
            )
        case _:
            return  # every witness is there
