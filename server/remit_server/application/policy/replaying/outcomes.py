"""Compares how one question was answered with how a candidate answers it."""

from collections.abc import Iterator

from remit_server.application.planning.plan_session import Plan
from remit_server.application.policy.replaying.answers import (
    Answer,
    networks,
    seconds,
    told_refusal,
    who_is_asked,
    why_refused,
)
from remit_server.application.policy.replaying.differences import Difference, Finding
from remit_server.application.policy.replaying.permissions import allowed_by, bounded, lines_of, parts_of, surplus
from remit_server.domain.permission import as_document
from remit_server.iam import Document


def compared_outcomes(before: Answer, after: Answer) -> tuple[Finding, ...]:
    """Returns every difference between two answers to one question, in a fixed order; none where they are the same."""
    if before.plan is None and after.plan is None:
        return tuple(_refused_otherwise(before, after))
    if before.plan is None:
        return (_newly_allowed(before, after),)
    if after.plan is None:
        return (_newly_refused(before, after),)
    if before.plan == after.plan:
        return ()
    found = [*_rights(before.plan, after.plan), *_terms(before, after)]
    return tuple(found) or tuple(_otherwise(before.plan, after.plan))


def _refused_otherwise(before: Answer, after: Answer) -> Iterator[Finding]:
    was, would = why_refused(before), why_refused(after)
    if (was, told_refusal(before)) != (would, told_refusal(after)):
        reasons = (*(f"was {one}" for one in was), *(f"would be {one}" for one in would))
        if was == would:
            reasons = (*was, "in other words, or with another offer")
        yield Finding(Difference.REFUSED_OTHERWISE, reasons=reasons, shown=told_refusal(after))


def _newly_allowed(before: Answer, after: Answer) -> Finding:
    """The group tells what the entitlements used allow, the example what this task would get of it.

    Signed is only what could not be had of this role before, in whatever request.
    """
    assert after.plan is not None  # noqa: S101 - the caller has looked
    role = after.plan.role.arn
    could = as_document(one for entitlement in before.allowed_of(role) for one in entitlement.permissions)
    used = as_document(one for entitlement in after.used for one in entitlement.permissions)
    new, old = _new_and_old(used, could)
    got, had = _new_and_old(allowed_by(after.plan.session_policy), could)
    need = after.plan.approval
    asks = [f"once people say yes: {who_is_asked(need)}"] if need is not None else []
    return Finding(
        Difference.NEWLY_ALLOWED,
        role,
        gained=new,
        reasons=(*(f"was {one}" for one in why_refused(before)), *_resting_on(after.plan), *asks, *old),
        shown=(*(f"+ {line}" for line in got), *had),
    )


def _new_and_old(document: Document, could: Document) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns what of a document could not be had before, in doubt all of it, and what could be, said so."""
    lines, beyond = lines_of(document.statements), surplus(document, could)
    if beyond.undecided and not beyond.parts:
        return lines, (f"not wholly decided: {beyond.undecided}",)
    rest = (part for part in parts_of(document) if part not in beyond.parts)
    return beyond.lines, tuple(f"would get, could have had before: {line}" for line in lines_of(rest))


def _newly_refused(before: Answer, after: Answer) -> Finding:
    """The group tells what the entitlements used allowed that policy does not any more, the example the refusal."""
    assert before.plan is not None  # noqa: S101 - the caller has looked
    used = as_document(one for entitlement in before.used for one in entitlement.permissions)
    left = as_document(one for entitlement in after.allowed for one in entitlement.permissions)
    return Finding(
        Difference.NEWLY_REFUSED,
        before.plan.role.arn,
        lost=surplus(used, left).lines,
        reasons=(*(f"would be {one}" for one in why_refused(after)), *_rested_on(before.plan)),
        shown=told_refusal(after),
    )


def _rights(before: Plan, after: Plan) -> Iterator[Finding]:
    """Compares what the two session policies allow."""
    had, has = allowed_by(before.session_policy), allowed_by(after.session_policy)
    if before.role.arn != after.role.arn:
        reasons = (f"was of {before.role.arn}", *_resting_on(after))
        yield Finding(Difference.OTHER_ROLE, after.role.arn, reasons=reasons, shown=_signed("+", has))
    gained, lost = surplus(has, had), surplus(had, has)
    if not gained and not lost:
        return
    kind = Difference.WIDER if not lost else Difference.OTHER_RIGHTS if gained else Difference.NARROWER
    if gained.undecided or lost.undecided:
        kind = Difference.UNDECIDED
    yield Finding(
        kind,
        after.role.arn,
        gained=tuple(f"{action} on what was asked for" for action in gained.actions),
        lost=tuple(f"{action} on what was asked for" for action in lost.actions),
        reasons=(*_resting_on(after), *(one for one in (gained.undecided, lost.undecided) if one)),
        shown=bounded(
            [*_signed("+", Document(gained.parts)), *_signed("-", Document(lost.parts))],
        ),
    )


def _terms(before: Answer, after: Answer) -> Iterator[Finding]:
    """Compares on what terms the credentials are given."""
    assert before.plan is not None  # noqa: S101 - the caller has looked
    assert after.plan is not None  # noqa: S101 - the caller has looked
    yield from _asking(before.plan, after.plan)
    yield from _lifetimes(before, after)
    was, would = (networks([one.bind for one in answer.used]) for answer in (before, after))
    if was != would:
        kind = Difference.BOUND if not was else Difference.UNBOUND if not would else Difference.BOUND_OTHERWISE
        reasons = (*_changed("networks", was or "any", would or "any"), *_resting_on(after.plan))
        yield Finding(kind, after.plan.role.arn, reasons=reasons)
    if before.plan.offline_renewal != after.plan.offline_renewal:
        kind = Difference.OFFLINE if after.plan.offline_renewal else Difference.NOT_OFFLINE
        yield Finding(kind, after.plan.role.arn, reasons=_resting_on(after.plan))


def _asking(before: Plan, after: Plan) -> Iterator[Finding]:
    """Compares who has to say yes before, and who reviews afterwards."""
    role, on = after.role.arn, _resting_on(after)
    if before.approval != after.approval:
        was, would = (who_is_asked(one) if one else "nobody" for one in (before.approval, after.approval))
        kind = Difference.ASKED_OTHERWISE
        if before.approval is None or after.approval is None:
            kind = Difference.NEWLY_ASKED if before.approval is None else Difference.NO_LONGER_ASKED
        yield Finding(kind, role, reasons=(*_changed("asked", was, would), *on))
    if (before.review is None) != (after.review is None):
        kind = Difference.NO_BREAK_GLASS if after.review is None else Difference.BREAK_GLASS
        yield Finding(kind, role, reasons=on)
    elif before.review != after.review and before.review is not None and after.review is not None:
        was, would = who_is_asked(before.review), who_is_asked(after.review)
        yield Finding(Difference.ASKED_OTHERWISE, role, reasons=(*_changed("reviewed by", was, would), *on))


def _lifetimes(before: Answer, after: Answer) -> Iterator[Finding]:
    """Compares when the credentials and the task end."""
    assert before.plan is not None  # noqa: S101 - the caller has looked
    assert after.plan is not None  # noqa: S101 - the caller has looked
    ends = {
        "credentials": (before.plan.expire_time, after.plan.expire_time),
        "task": (before.plan.task_end_time, after.plan.task_end_time),
    }
    for kind, is_it in ((Difference.LONGER, 1), (Difference.SHORTER, -1)):
        found = {name: pair for name, pair in ends.items() if (pair[1] > pair[0]) - (pair[1] < pair[0]) == is_it}
        if found:
            shown = tuple(
                f"{name} for {seconds((would - after.now).total_seconds())} "
                f"instead of {seconds((was - after.now).total_seconds())}"
                for name, (was, would) in found.items()
            )
            reasons = (" and ".join(found), *_resting_on(after.plan))
            yield Finding(kind, after.plan.role.arn, reasons=reasons, shown=shown)


def _otherwise(before: Plan, after: Plan) -> Iterator[Finding]:
    """Tells plans apart that differ in nothing that anybody may do."""
    if before.entitlements != after.entitlements:
        yield Finding(Difference.OTHER_ENTITLEMENTS, after.role.arn, reasons=(*_rested_on(before), *_resting_on(after)))
    elif before.session_policy != after.session_policy:
        yield Finding(Difference.SPELT_OTHERWISE, after.role.arn, reasons=_resting_on(after))


def _resting_on(plan: Plan) -> tuple[str, ...]:
    return (f"by {', '.join(plan.entitlements)}",)


def _rested_on(plan: Plan) -> tuple[str, ...]:
    return (f"was by {', '.join(plan.entitlements)}",)


def _changed(what: str, was: str, would: str) -> tuple[str, ...]:
    return (f"{what}: {would} instead of {was}",)


def _signed(sign: str, document: Document) -> tuple[str, ...]:
    return tuple(f"{sign} {line}" for line in lines_of(document.statements))
