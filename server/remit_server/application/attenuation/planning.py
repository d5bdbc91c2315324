"""Plans a session within a session: the part of a live grant that one call of a tool needs, proven on its own bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import FAST
from remit_server.application.planning.drafting import Undetermined, too_large
from remit_server.application.planning.explaining import more_than_the_grant, never_issuable
from remit_server.application.planning.standing import recorded_policy
from remit_server.domain.entitlement import MIN_CREDENTIAL_LIFETIME, Role
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.grant import Grant
from remit_server.domain.permission import Permission, as_document
from remit_server.domain.task import Task
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
    allows_of,
    bounds_of,
    condition_guards_on,
    conditioned,
    lies_within,
    narrow_all,
    narrowing_steps,
    outline,
    outlives_task,
)

DEFAULT_LIFETIME: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of which grant, as of when; `grant` and `task` are as the ledger has them."""

    permissions: tuple[Permission, ...]
    requested: timedelta | None
    narrowed: bool
    grant: Grant
    task: Task
    now: datetime


@dataclass(frozen=True, slots=True)
class Attenuation:
    """Everything about the narrower session but the session: `session_policy` is byte for byte what STS will get.

    `covers` is the witness, one line per part of the intent: which statement of the grant's own policy covers it.
    """

    session_policy: str
    session_policy_digest: str
    covers: tuple[str, ...]
    unguarded: tuple[str, ...]
    outlives_task: bool
    ceiling_digest: str
    expire_time: datetime


def plan_attenuation(wish: Wish, ceilings: Ceilings, budget: Budget) -> Attenuation:
    """Returns the plan; raises Denied with the failing permission.

    With the fast budget it raises Undetermined instead of a refusal: only the exact path says no.
    """
    if not ceilings.knows(wish.grant.role_arn):
        raise Denied(Reason.GRANT_NOT_LIVE, "the gateway's configuration has this grant's role no more")
    end = _end(wish, ceilings)
    held = recorded_policy(wish.grant)
    planning = _Planning(held, allows_of(held), ceilings.role(wish.grant.role_arn), ceilings, budget)
    intent = as_document(wish.permissions)
    if wish.narrowed and budget is not FAST:
        part = planning.largest_part(intent)
        intent = intent if part.is_empty else part
    planning.check(intent)
    return _attenuation(wish, planning.derived(intent, end), ceilings, end)


def still_lies_within(inner: Grant, grant: Grant, ceilings: Ceilings, budget: Budget) -> None:
    """Proves a recorded attenuation on its grant's policy and its role's ceilings as they are today.

    Raises Denied(GRANT_NOT_LIVE), or Undetermined with the fast budget.
    """
    document, role_arn = recorded_policy(inner), inner.role_arn
    over = Denied(Reason.GRANT_NOT_LIVE, "the grant it was attenuated from holds less now: ask with a new request_id")
    if not ceilings.knows(role_arn) or any(ceilings.forbidden(role_arn, one) for one in document.statements):
        raise over
    outer = (recorded_policy(grant), *ceilings.documents(role_arn))
    if isinstance(lies_within(document, outer, budget=budget), Counterexample | Undecided):
        raise Undetermined if budget is FAST else over


def _end(wish: Wish, ceilings: Ceilings) -> datetime:
    """Returns when the credentials end: a longer wish is cut, and nothing outlasts what the grant's own have left."""
    wanted = min(wish.requested or DEFAULT_LIFETIME, ceilings.role(wish.grant.role_arn).max_session)
    end = min(wish.now + wanted, wish.grant.policy_end, wish.task.end_time).replace(microsecond=0)
    if end - wish.now < MIN_CREDENTIAL_LIFETIME - timedelta(seconds=1):
        seconds = int(MIN_CREDENTIAL_LIFETIME.total_seconds())
        message = f"less than {seconds} s are left of the grant's credentials: renew it, and ask with a new request_id"
        raise Denied(Reason.GRANT_NOT_LIVE, message)
    return end


@dataclass(frozen=True, slots=True)
class _Planning:
    """What one plan goes by: the session policy that is `held`, the permissions that it is made of, its role, a budget.

    What is asked takes its conditions from what was granted; that it stays within is proven on what is held.
    """

    held: Document
    granted: Document
    role: Role
    ceilings: Ceilings
    budget: Budget

    def largest_part(self, intent: Document) -> Document:
        """Returns the most of the intent that the grant holds."""
        within = (self.granted, *self.ceilings.documents(self.role.arn))
        return narrow_all(intent, within, steps=narrowing_steps())

    def check(self, intent: Document) -> None:
        """Refuses what the grant does not hold: names the permission that is too much, and what could be had."""
        asked = conditioned(intent, [self.granted])
        within = (self.granted, *self.ceilings.documents(self.role.arn))
        found = lies_within(asked, within, budget=self.budget)
        if not isinstance(found, Counterexample | Undecided):
            return
        if self.budget is FAST:
            raise Undetermined
        raise more_than_the_grant(intent, found, self.largest_part(intent), self.role, self._forbidden(intent))

    def derived(self, intent: Document, end: datetime) -> Derived:
        """Derives the session policy and proves it within everything that it must lie within.

        Its own guards are tried first. Where conditions of its own are tighter than the grant's, the grant's guards of
        conditions are no guards of its own, and are taken over: they deny nothing that it allows.
        """
        within = (intent, self.held, *self.ceilings.documents(self.role.arn))
        found: Counterexample | Undecided | None = None
        for also in dict.fromkeys(((), condition_guards_on(self.held, intent))):
            derived = self._outline(intent, also).until(end)
            if (forbidden := self._forbidden(derived.document)) is not None:
                raise never_issuable(forbidden)
            proof = lies_within(derived.document, within, budget=self.budget)
            if not isinstance(proof, Counterexample | Undecided):
                return derived
            found = proof
        raise Undetermined if self.budget is FAST else _unproven(found)

    def _forbidden(self, document: Document) -> str | None:
        """Returns the floor's pattern that a document touches, or None: a plain check beside the proof."""
        found = (self.ceilings.forbidden(self.role.arn, each) for each in document.statements)
        return next(filter(None, found), None)

    def _outline(self, intent: Document, also: tuple[Statement, ...]) -> Outline:
        """Derives the policy but for its end, bound to where the grant's own is; raises Denied(INTENT_TOO_LARGE)."""
        bounds = bounds_of(self.held)
        try:
            found = outline(intent, [self.granted], source_cidrs=bounds.source_cidrs, vpc_ids=bounds.vpc_ids, also=also)
        except (TooManyOverlapsError, UnderivableIntent, PatternTooComplex) as error:
            raise Denied(
                Reason.INTENT_TOO_LARGE,
                "the permissions are too many or overlap too much to be guarded: fewer wildcards, or several requests",
                Refusal(remedy=Remedy.SPLIT),
            ) from error
        if isinstance(found, TooLarge):
            raise too_large(found)
        return found


def _unproven(found: Counterexample | Undecided | None) -> Denied:
    """Returns the refusal of a session policy that was not proven to lie within: any doubt is a no."""
    why = f"{found.action} on {found.resource}" if isinstance(found, Counterexample) else found.reason if found else ""
    message = f"that the session policy stays within the grant's own could not be proven: {why}"
    return Denied(Reason.CEILING_EXCEEDED, message, Refusal(remedy=Remedy.NARROW))


def _attenuation(wish: Wish, derived: Derived, ceilings: Ceilings, end: datetime) -> Attenuation:
    """Puts the plan together."""
    reopened = tuple(str(action) for action in ceilings.role(wish.grant.role_arn).reopened)
    return Attenuation(
        session_policy=derived.text,
        session_policy_digest=derived.sha256,
        covers=tuple(_cover_lines(derived, wish.grant)),
        unguarded=tuple(str(condition) for condition in derived.unguarded),
        outlives_task=bool(reopened) and outlives_task(derived.document, reopened),
        ceiling_digest=ceilings.digest,
        expire_time=end,
    )


def _cover_lines(derived: Derived, grant: Grant) -> Iterable[str]:
    """Names, per part of the intent, the statement of the grant's own policy that covers it."""
    for cover in derived.covers:
        by = "several statements together" if cover.statement is None else f"statement {cover.statement}"
        yield f"{cover.action} on {cover.resource}: {by} of {grant.name}"
