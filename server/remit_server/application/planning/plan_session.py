"""Plans one session.

The role and entitlements it rests on, its lifetime, and the exact policy, proven on its own bytes.
"""

import operator
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import (
    FAST,
    Candidate,
    Choice,
    NoChoice,
    candidates,
    candidates_within,
    choose,
    evident,
    largest_part,
)
from remit_server.application.planning.drafting import DoesNotFit, Draft, Undetermined, draftings, first_proven
from remit_server.application.planning.explaining import nothing_above, refusal
from remit_server.application.planning.lifetimes import Life, TaskSpan, lifetime, needs
from remit_server.application.planning.recent import Recent
from remit_server.domain.approval import ApprovalNeed
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Entitlement, Role
from remit_server.domain.errors import Denied
from remit_server.domain.permission import Permission, as_document
from remit_server.iam import (
    Budget,
    Covering,
    Derived,
    Document,
    outlives_task,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What of an ask matters for planning.

    `token_end` bounds the credentials where the issuer says `bind_expiry`, `approval_end` where people said yes. With
    `above` the plan lies within one of these grants; None where the task is no other agent's.
    """

    permissions: tuple[Permission, ...]
    requested: timedelta | None
    narrowed: bool
    task: TaskSpan | None
    token_end: datetime | None
    now: datetime
    approval_end: datetime | None = None
    above: tuple[GrantAbove, ...] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a session but the session: `session_policy` is byte for byte what STS will get.

    `covers` is the witness, one line per part of the intent: which entitlement covers it. `approval` is who has to say
    yes before, `review` who looks at it afterwards. `duration` is how long credentials may work; `endless_policy` is
    the session policy but for its time guard, and neither depends on when it is asked. `above` is the grant of another
    agent's task within which it was proven to lie.
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
    above: GrantAbove | None = None

    @property
    def break_glass(self) -> bool:
        """Says whether it is issued at once on a break-glass entitlement."""
        return self.review is not None


# Remembered: so many answers of policy with so many permissions at the most, and so many drafts with each.
MOST_OFFERS, MOST_REMEMBERED_PERMISSIONS, MOST_DRAFTS = 32, 500, 32


def plan_session(wish: Wish, allow: Allow, ceilings: Ceilings, budget: Budget) -> Plan:
    """Plans one session, as `Planner` does, with nothing remembered."""
    return Planner(ceilings)(wish, allow, budget)


@dataclass(frozen=True, slots=True)
class Offer:
    """What policy allowed, arranged by role, and the drafts made from it, by the intent's text and the budget."""

    entitlements: tuple[Entitlement, ...]
    candidates: tuple[Candidate, ...]
    drafts: Recent[tuple[tuple[Hashable, ...], Budget], Draft] = field(default_factory=lambda: Recent(MOST_DRAFTS))

    @property
    def is_remembered(self) -> bool:
        """Says whether it is small enough to be kept."""
        return sum(len(item.permissions) for item in self.entitlements) <= MOST_REMEMBERED_PERMISSIONS


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans sessions under one set of ceilings.

    NOTE: what is remembered is found by the whole value of what policy allowed and of what is asked, so it is what
    would be found anew. The final text is proven each time; nothing remembered stands in for that.
    """

    ceilings: Ceilings
    _offers: Recent[tuple[str, ...], Offer] = field(default_factory=lambda: Recent(MOST_OFFERS), init=False, repr=False)
    _answers: Recent[int, tuple[tuple[Entitlement, ...], Offer]] = field(
        default_factory=lambda: Recent(MOST_OFFERS), init=False, repr=False
    )

    def __call__(self, wish: Wish, allow: Allow, budget: Budget) -> Plan:
        """Returns the plan; raises Denied with the failing permission, Outage for a policy that cannot be trusted.

        With the fast budget it raises Undetermined instead of a refusal: only the exact path says no.
        """
        offer = self._offer(allow) if wish.above is None else _offer_within(allow, wish.above, self.ceilings)
        if wish.narrowed:
            return self._anew(wish, offer, _narrowed(wish, offer, budget), budget)[1]
        asked = tuple([each.spelling for each in wish.permissions]), budget
        draft = offer.drafts.of(asked)
        if draft is not None:
            return self._planned(wish, draft.choice, (draft,), budget)[1]
        draft, plan = self._anew(wish, offer, as_document(wish.permissions), budget)
        offer.drafts.keep(asked, draft)
        return plan

    def _anew(self, wish: Wish, offer: Offer, intent: Document, budget: Budget) -> tuple[Draft, Plan]:
        """Chooses, drafts and proves.

        NOTE: on the fast path the choice is proven by nothing but the session policy's own proof, where it is evident.
        Where that is no yes, everything is looked at in turn: why it is a no depends on that.
        """
        choice = evident(intent, offer.candidates) if budget is FAST else None
        if choice is not None:
            try:
                return self._planned(wish, choice, draftings(intent, choice, self.ceilings, budget), budget)
            except DoesNotFit:
                raise
            except (Denied, Undetermined):
                pass
        choice = _choice(intent, offer, wish, budget)
        return self._planned(wish, choice, draftings(intent, choice, self.ceilings, budget), budget)

    def _planned(self, wish: Wish, choice: Choice, drafts: Iterable[Draft], budget: Budget) -> tuple[Draft, Plan]:
        """Returns the plan on the first draft that is proven."""
        if budget is FAST and any(item.approval is not None for item in choice.entitlements):
            raise Undetermined  # whether nobody need be asked is looked at as closely as a no
        life = _life(wish, choice)
        draft, derived = first_proven(drafts, life.expire_time, self.ceilings, budget)
        return draft, _plan(derived, draft, self.ceilings, life, is_approved=wish.approval_end is not None)

    def _offer(self, allow: Allow) -> Offer:
        """Returns what policy allowed, arranged: the same again for the same answer, and for an equal one."""
        answered = self._answers.of(id(allow.entitlements))
        if answered is not None and answered[0] is allow.entitlements:
            return answered[1]
        offer = self._offer_of_equal(allow)
        if offer.is_remembered:
            # NOTE: while the entitlements are kept here, no other value has their identity.
            self._answers.keep(id(allow.entitlements), (allow.entitlements, offer))
        return offer

    def _offer_of_equal(self, allow: Allow) -> Offer:
        key = tuple(item.entitlement_id for item in allow.entitlements)
        offer = self._offers.of(key)
        if offer is None or not _is_same(offer.entitlements, allow.entitlements):
            offer = Offer(allow.entitlements, candidates(allow, self.ceilings))
            if offer.is_remembered:
                self._offers.keep(key, offer)
        return offer


def _offer_within(allow: Allow, above: Sequence[GrantAbove], ceilings: Ceilings) -> Offer:
    """Returns what policy allowed, role by role within each grant above; nothing is remembered of it."""
    return Offer(allow.entitlements, candidates_within(candidates(allow, ceilings), above))


def _narrowed(wish: Wish, offer: Offer, budget: Budget) -> Document:
    """Returns the largest part of the intent that is allowed; on the fast path, and where there is none, all of it."""
    intent = as_document(wish.permissions)
    part = intent if budget is FAST else largest_part(intent, offer.candidates)
    return intent if part.is_empty else part


def _is_same(some: Sequence[Entitlement], others: Sequence[Entitlement]) -> bool:
    """Says whether the entitlements are equal, and spelt alike: spellings end up in policies."""
    if some is others:
        return True
    spelt = ([item.document().text for item in each] for each in (some, others))
    return some == others and operator.eq(*spelt)


def _choice(intent: Document, offer: Offer, wish: Wish, budget: Budget) -> Choice:
    """Returns the role and entitlements that cover the intent; raises Denied, or Undetermined on the fast path."""
    choice = choose(intent, offer.candidates, budget)
    match choice:
        case NoChoice():
            if budget is FAST:
                raise Undetermined
            if wish.above is not None and not offer.candidates:
                raise nothing_above(offer.entitlements, wish.above)
            raise refusal(intent, choice, offer.candidates)
        case Choice():
            return choice


def _plan(derived: Derived, draft: Draft, ceilings: Ceilings, life: Life, *, is_approved: bool) -> Plan:
    """Puts the plan together."""
    choice = draft.choice
    approval, review = needs(choice.entitlements)
    reopened = tuple([action.text for action in choice.role.reopened])
    return Plan(
        role=choice.role,
        entitlements=tuple([item.entitlement_id for item in choice.entitlements]),
        session_policy=derived.text,
        session_policy_digest=derived.sha256,
        covers=tuple([_cover_line(cover, choice.entitlements) for cover in derived.covers]),
        unguarded=tuple(map(str, derived.unguarded)),
        outlives_task=bool(reopened) and outlives_task(derived.document, reopened),
        ceiling_digest=ceilings.digest,
        expire_time=life.expire_time,
        task_end_time=life.task_end_time,
        duration=life.duration,
        endless_policy=draft.outline.without_end if approval or review or is_approved else "",
        offline_renewal=all(item.offline_renewal for item in choice.entitlements),
        approval=approval,
        review=review,
        above=choice.above,
    )


def _cover_line(cover: Covering, entitlements: Sequence[Entitlement]) -> str:
    """Names, for a part of the intent, the statement that covers it."""
    by = "several entitlements together"
    if cover.entitlement is not None:
        by = f"{entitlements[cover.entitlement].entitlement_id}[{cover.statement}]"
    return f"{cover.action} on {cover.resource}: {by}"


def _life(wish: Wish, choice: Choice) -> Life:
    """Returns when the credentials and the task end; raises Denied when too little time is left."""
    above = choice.above.end if choice.above else None
    ends = [end for end in (wish.token_end, wish.approval_end, above) if end is not None]
    return lifetime(choice.role, choice.entitlements, now=wish.now, requested=wish.requested, task=wish.task, ends=ends)
