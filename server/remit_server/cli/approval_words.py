"""An approval in words: all that is decided about, before anybody decides."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:
    from remit_server.transport.grpc.approval_calls import Approval


def told_approval(approval: "Approval") -> Iterator[tuple[str, str]]:
    """Yields what an approval asks and how far it is, label by label."""
    from remit_server.transport.grpc.approval_calls import is_review, state_name

    yield "approval", approval.name
    yield "about", "what was issued by break-glass: a no revokes it" if is_review(approval) else "issuing credentials"
    yield "state", state_name(approval)
    yield "user", f"{plain(approval.subject.id)} of {plain(approval.subject.issuer)}"
    yield "agent", plain(approval.actor)
    yield "purpose", f"{plain(approval.purpose)} (the agent's own words)"
    yield "task", approval.task_id
    yield "role", approval.role_arn
    yield "entitlements", plain(", ".join(approval.entitlements))
    yield "for", f"{approval.duration_seconds} seconds"
    yield "needs", told_need(approval)
    for vote in approval.votes:
        said = "yes" if vote.approved else "no"
        who = f"{plain(vote.approver.id)} of {plain(vote.approver.issuer)}"
        yield "said", f"{said}: {who}, {vote.time.ToDatetime():%F %T} UTC {plain(vote.comment)}".rstrip()
    yield "asked", f"{approval.create_time.ToDatetime():%F %T} UTC"
    if approval.HasField("lapse_time"):
        yield "lapses", f"{approval.lapse_time.ToDatetime():%F %T} UTC"
    if approval.HasField("valid_until"):
        yield "valid until", f"{approval.valid_until.ToDatetime():%F %T} UTC"
    elif approval.valid_seconds:
        yield "ends", f"{approval.valid_seconds} seconds after the yes at the latest, whenever the agent collects it"
    for permission in approval.adds:
        yield "adds", f"{plain(', '.join(permission.actions))} on {plain(', '.join(permission.resources))}"
    yield "may do", json.dumps(json.loads(approval.session_policy), indent=2).replace("\n", f"\n{'':15}")
    yield "digest", approval.digest


def told_need(approval: "Approval") -> str:
    """Returns who has to say yes."""
    needs = [f"{one.min_approvers} of {' or '.join(map(plain, one.groups))}" for one in approval.requirements]
    if approval.by_subject:
        needs.append("the user in person, after signing in")
    return " and ".join(needs)
