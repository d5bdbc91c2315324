"""Says why an intent was stopped, in words an agent and a person can act on, and what could be had instead."""

from collections.abc import Sequence

from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.choosing import (
    ENTITLEMENTS,
    FORBIDDEN_FLOOR,
    PARENT_TASK,
    ROLE_CEILING,
    RULES,
    Candidate,
    NoChoice,
    largest_part,
)
from remit_server.domain.entitlement import Entitlement, Role
from remit_server.domain.errors import Denied, FailedPermission, Reason, Refusal, Remedy
from remit_server.domain.permission import Permission, as_permissions
from remit_server.domain.task import MAX_PERMISSIONS
from remit_server.iam import LASTING, Counterexample, Document, Undecided, forbidden_action

PARENT_GRANT = "parent_grant"
_NAMES = {
    PARENT_GRANT: "the grant that it is attenuated from may do",
    ENTITLEMENTS: "this user's entitlements for this agent allow by role {role}",
    ROLE_CEILING: "the role {role} itself may do",
    FORBIDDEN_FLOOR: "the gateway ever issues",
    PARENT_TASK: "the agent above may do itself by role {role}",
}


def refusal(intent: Document, nothing: NoChoice, offered: Sequence[Candidate]) -> Denied:
    """Says which permission failed on which rule, and what could be had instead."""
    if nothing.spans_roles:
        parts = tuple(as_permissions(largest_part(intent, [candidate])) for candidate in offered)
        message = "no single role covers the intent, though several together do: ask once per role"
        if any(candidate.above for candidate in offered):
            message = "no single grant of the agent above covers the intent, though several do: ask once for each"
        return Denied(
            Reason.INTENT_SPANS_ROLES,
            message,
            Refusal(remedy=Remedy.SPLIT, split=tuple(part for part in parts if part)),
        )
    offer = as_permissions(nothing.offer)[:MAX_PERMISSIONS]
    stopped = zip(offered, nothing.stopped, strict=False)
    failures = tuple(
        dict.fromkeys(_failure(item, intent, RULES[item.ceiling], candidate.role.name) for candidate, item in stopped)
    )
    forbidden = _forbidden(intent, offered)
    if forbidden is not None:
        if not offer:
            return never_issuable(forbidden)
        failures = (_on_the_floor(forbidden), *failures)
    return _exceeded(failures, offer)


def nothing_above(allowed: Sequence[Entitlement], above: Sequence[GrantAbove]) -> Denied:
    """Says that the agent above holds nothing, or nothing by a role that this could be had by, and what to do."""
    if not above:
        return no_grant_above()
    wanted, held = _roles(allowed), _roles(above)
    message = (
        f"this is given by role {wanted or 'none'}, and the agent above holds credentials by role {held} only: "
        "it has to ask for that itself first, within its own task"
    )
    failure = FailedPermission("", "", PARENT_TASK, message)
    return Denied(Reason.CEILING_EXCEEDED, message, Refusal(remedy=Remedy.GIVE_UP, failures=(failure,)))


def no_grant_above() -> Denied:
    """Says that the agent above holds no credentials, so that nothing can be given within them."""
    message = (
        "the agent above holds no live credentials in its task: it has to ask for what this needs first; "
        "then ask with a new request_id"
    )
    failure = FailedPermission("", "", PARENT_TASK, message)
    return Denied(Reason.GRANT_NOT_LIVE, message, Refusal(remedy=Remedy.RETRY_LATER, failures=(failure,)))


def _roles(found: Sequence[Entitlement | GrantAbove]) -> str:
    return ", ".join(sorted({one.role_arn.rpartition("/")[2] for one in found}))


def more_than_the_grant(
    intent: Document, stopped: Counterexample | Undecided, offer: Document, role: Role, forbidden: str | None
) -> Denied:
    """Says what of an intent is more than the grant holds that it was to be attenuated from, and what it does hold.

    `stopped` is by the number of the grant's own policy, the role's ceiling, or the floor.
    """
    offered = as_permissions(offer)[:MAX_PERMISSIONS]
    if forbidden is not None and not offered:
        return never_issuable(forbidden)
    rule = (PARENT_GRANT, ROLE_CEILING, FORBIDDEN_FLOOR)[stopped.ceiling]
    return _exceeded((_failure(stopped, intent, rule, role.name),), offered)


def _exceeded(failures: tuple[FailedPermission, ...], offer: tuple[Permission, ...]) -> Denied:
    """Returns the refusal of what was found to be too much, with the part that could be had."""
    first = failures[0] if failures else None
    message = first.message if first else "policy allowed nothing for this intent"
    advice = "ask for the offered part, or send narrow" if offer else "no part of it can be had"
    remedy = Remedy.NARROW if offer else Remedy.GIVE_UP
    return Denied(Reason.CEILING_EXCEEDED, f"{message}: {advice}", Refusal(remedy, failures, offer))


def never_issuable(forbidden: str) -> Denied:
    """Returns the refusal of what the floor forbids: what nobody can change, and what only the operator can."""
    failure = _on_the_floor(forbidden)
    return Denied(Reason.NEVER_ISSUABLE, failure.message, Refusal(remedy=Remedy.GIVE_UP, failures=(failure,)))


def _forbidden(intent: Document, offered: Sequence[Candidate]) -> str | None:
    """Returns the floor's pattern that the intent touches on every role it could have had, or None."""
    reopened = frozenset(str(action) for candidate in offered for action in candidate.role.reopened)
    found = (forbidden_action(statement, reopened=reopened) for statement in intent.statements)
    return next(filter(None, found), None)


def _on_the_floor(forbidden: str) -> FailedPermission:
    """Says why the floor forbids something, and whether anybody can change it."""
    if forbidden in LASTING:
        why = (
            f"{forbidden} is not issued: what it hands out works on when the task is over, and AWS cannot take it back."
            " Do without it; the operator may re-open it for a role by name (`reopened`): its grants say outlives_task"
        )
    else:
        why = f"{forbidden} is never issued, whatever policy says: it would outlive or outgrow the task"
    return FailedPermission(forbidden, "*", FORBIDDEN_FLOOR, why)


def _failure(stopped: Counterexample | Undecided, intent: Document, rule: str, role: str) -> FailedPermission:
    """Turns what the proof found on a role into what an agent can read: what it asked for, one request too much."""
    if isinstance(stopped, Undecided):
        return FailedPermission("", "", rule, f"the intent could not be proven to fit: {stopped.reason}")
    action, asked = _asked_for(stopped, intent)
    example = "" if asked == stopped.resource else f"{stopped.resource}: "
    message = f"{action} on {asked} is more than {_NAMES[rule].format(role=role)} ({example}{stopped.stopped_by})"
    return FailedPermission(action, stopped.resource, rule, message)


def _asked_for(found: Counterexample, intent: Document) -> tuple[str, str]:
    """Returns action and resource of the intent that a counterexample belongs to, as they were written."""
    for statement in intent.statements:
        for action in statement.actions:
            resource = next((item for item in statement.resources if item.matches(found.resource)), None)
            if resource is not None and action.matches(found.action):
                return (str(action) if action.is_literal else found.action), str(resource)
    return found.action, found.resource
