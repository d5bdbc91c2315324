"""Plans one session.

The role and entitlements it rests on, its lifetime, and the exact policy, proven on its own bytes.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit_server.application.planning.binds import joined
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import (
    FAST,
    Candidate,
    Choice,
    NoChoice,
    candidates,
    choose,
    largest_part,
    union,
)
from remit_server.application.planning.explaining import never_issuable, refusal
from remit_server.application.planning.lifetimes import Life, TaskSpan, lifetime, needs
from remit_server.application.planning.recent import Recent
from remit_server.domain.approval import ApprovalNeed
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Entitlement, Role
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.permission import Permission, as_document, as_permissions
from remit_server.iam import (
    Budget,
    Counterexample,
    Derived,
    Document,
    Outline,
    PatternTooComplex,
    TooLarge,
    TooManyOverlapsError,
    Undecided,
    UnderivableIntent,
    contains_all,
    outline,
    outlives_task,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What of an ask matters for planning.

    `token_end` bounds the credentials where the issuer says `bind_expiry`, `approval_end` where people said yes.
    """

    permissions: tuple[Permission, ...]
    requested: timedelta | None
    narrowed: bool
    task: TaskSpan | None
    token_end: datetime | None
    now: datetime
    approval_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a session but the session: `session_policy` is byte for byte what STS will get.

    `covers` is the witness, one line per part of the intent: which entitlement covers it. `approval` is who has to say
    yes before, `review` who looks at it afterwards. `duration` is how long credentials may work; `endless_policy` is
    the session policy but for its time guard, and neither depends on when it is asked.
    """

    role: Role
    entitlements: tuple[str, ...]
    session_policy: str
    session_policy_digest: str
    covers: tuple[str, ...]
    unguarded: tuple[str, ...]
    outlives_task: bool
    ceiling_digest: str
    expire_time: datetime
    task_end_time: datetime
    duration: timedelta
    endless_policy: str
    offline_renewal: bool = False
    approval: ApprovalNeed | None = None
    review: ApprovalNeed | None = None

    @property
    def break_glass(self) -> bool:
        """Says whether it is issued at once on a break-glass entitlement."""
        return self.review is not None


# Remembered: so many answers of policy with so many permissions at the most, and so many drafts with each.
MOST_OFFERS, MOST_REMEMBERED_PERMISSIONS, MOST_DRAFTS = 32, 500, 32


class Undetermined(Exception):  # noqa: N818 - a question for the exact path, never an answer
    """The fast path could not say yes."""


def plan_session(wish: Wish, allow: Allow, ceilings: Ceilings, budget: Budget) -> Plan:
    """Plans one session, as `Planner` does, with nothing remembered."""
    return Planner(ceilings)(wish, allow, budget)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a session policy is derived from again for another end: the choice, its outline, what it must lie within."""

    choice: Choice
    outline: Outline
    within: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What policy allowed, arranged by role, and the drafts made from it, by the intent's text and the budget."""

    entitlements: tuple[Entitlement, ...]
    candidates: tuple[Candidate, ...]
    drafts: Recent[tuple[str, Budget], Draft] = field(default_factory=lambda: Recent(MOST_DRAFTS))


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans sessions under one set of ceilings.

    NOTE: what is remembered is found by the whole value of what policy allowed and of what is asked, so it is what
    would be found anew. The final text is proven each time; nothing remembered stands in for that.
    """

    ceilings: Ceilings
    _offers: Recent[tuple[str, ...], Offer] = field(default_factory=lambda: Recent(MOST_OFFERS), init=False, repr=False)

    def __call__(self, wish: Wish, allow: Allow, budget: Budget) -> Plan:
        """Returns the plan; raises Denied with the failing permission, Outage for a policy that cannot be trusted.

        With the fast budget it raises Undetermined instead of a refusal: only the exact path says no.
        """
        offer = self._offer(allow)
        intent = as_document(wish.permissions)
        asked = intent.text, budget
        draft = None if wish.narrowed else offer.drafts.of(asked)
        if wish.narrowed and budget is not FAST:
            part = largest_part(intent, offer.candidates)
            intent = intent if part.is_empty else part
        choice = _choice(intent, offer, budget) if draft is None else draft.choice
        if budget is FAST and any(item.approval is not None for item in choice.entitlements):
            raise Undetermined  # whether nobody need be asked is looked at as closely as a no
        life = _life(wish, choice)
        if draft is None:
            within = (intent, union(choice.entitlements), *self.ceilings.documents(choice.role.arn))
            draft = Draft(choice, _outline(intent, choice), within)
        derived = draft.outline.until(life.expire_time)
        _keep_off_the_floor(derived, choice, self.ceilings)
        _prove(derived, draft.within, budget)
        if not wish.narrowed:
            offer.drafts.keep(asked, draft)
        return _plan(derived, draft, self.ceilings, life, is_approved=wish.approval_end is not None)

    def _offer(self, allow: Allow) -> Offer:
        """Returns what policy allowed, arranged: the same again for an equal answer."""
        key = tuple(item.entitlement_id for item in allow.entitlements)
        offer = self._offers.of(key)
        if offer is None or not _is_same(offer.entitlements, allow.entitlements):
            offer = Offer(allow.entitlements, candidates(allow, self.ceilings))
            if sum(len(item.permissions) for item in allow.entitlements) <= MOST_REMEMBERED_PERMISSIONS:
                self._offers.keep(key, offer)
        return offer


def _is_same(some: Sequence[Entitlement], others: Sequence[Entitlement]) -> bool:
    """Says whether the entitlements are equal, and spelt alike: spellings end up in policies."""
    if some is others:
        return True
    spelt = ([item.document().text for item in each] for each in (some, others))
    return some == others and operator.eq(*spelt)


def _choice(intent: Document, offer: Offer, budget: Budget) -> Choice:
    """Returns the role and entitlements that cover the intent; raises Denied, or Undetermined on the fast path."""
    choice = choose(intent, offer.candidates, budget)
    match choice:
        case NoChoice():
            if budget is FAST:
                raise Undetermined
            raise refusal(intent, choice, offer.candidates)
        case Choice():
            return choice


def _plan(derived: Derived, draft: Draft, ceilings: Ceilings, life: Life, *, is_approved: bool) -> Plan:
    """Puts the plan together."""
    choice = draft.choice
    approval, review = needs(choice.entitlements)
    reopened = tuple(str(action) for action in choice.role.reopened)
    return Plan(
        role=choice.role,
        entitlements=tuple(item.entitlement_id for item in choice.entitlements),
        session_policy=derived.text,
        session_policy_digest=derived.sha256,
        covers=tuple(_cover_lines(derived, choice.entitlements)),
        unguarded=tuple(str(condition) for condition in derived.unguarded),
        outlives_task=bool(reopened) and outlives_task(derived.document, reopened),
        ceiling_digest=ceilings.digest,
        expire_time=life.expire_time,
        task_end_time=life.task_end_time,
        duration=life.duration,
        endless_policy=draft.outline.without_end if approval or review or is_approved else "",
        offline_renewal=all(item.offline_renewal for item in choice.entitlements),
        approval=approval,
        review=review,
    )


def _cover_lines(derived: Derived, entitlements: Sequence[Entitlement]) -> Iterable[str]:
    """Names, per part of the intent, the statement that covers it."""
    for cover in derived.covers:
        by = "several entitlements together"
        if cover.entitlement is not None:
            by = f"{entitlements[cover.entitlement].entitlement_id}[{cover.statement}]"
        yield f"{cover.action} on {cover.resource}: {by}"


def _life(wish: Wish, choice: Choice) -> Life:
    """Returns when the credentials and the task end; raises Denied when too little time is left."""
    ends = [end for end in (wish.token_end, wish.approval_end) if end is not None]
    return lifetime(choice.role, choice.entitlements, now=wish.now, requested=wish.requested, task=wish.task, ends=ends)


def _outline(intent: Document, choice: Choice) -> Outline:
    """Derives the session policy but for its end; raises Denied(INTENT_TOO_LARGE) with a split that fits."""
    bind = joined([item.bind for item in choice.entitlements if item.bind is not None])
    documents = [item.document() for item in choice.entitlements]
    try:
        found = outline(intent, documents, source_cidrs=bind.source_cidrs, vpc_ids=bind.vpc_ids)
    except (TooManyOverlapsError, UnderivableIntent, PatternTooComplex) as error:
        raise Denied(
            Reason.INTENT_TOO_LARGE,
            "the permissions are too many or overlap too much to be guarded: fewer wildcards, or several requests",
            Refusal(remedy=Remedy.SPLIT),
        ) from error
    if isinstance(found, TooLarge):
        raise too_large(found)
    return found


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
    for statement in derived.document.statements:
        forbidden = ceilings.forbidden(choice.role.arn, statement)
        if forbidden is not None:
            raise never_issuable(forbidden)


def _prove(derived: Derived, within: Sequence[Document], budget: Budget) -> None:
    """Proves on the very text that STS gets that it lies within intent, entitlements, role and floor."""
    match contains_all(derived.document, within, budget=budget):
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
