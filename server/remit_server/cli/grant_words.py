"""A grant, and a revoke, in words."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:
    from remit_server.transport.grpc.operator_calls import Aim, Grant, Revoked


def told_times(grant: "Grant") -> tuple[str, str]:
    """Returns when a grant was issued and until when its credentials work."""
    return f"{grant.issue_time.ToDatetime():%F %T}", f"{grant.expire_time.ToDatetime():%F %T}"


def told_grant(grant: "Grant") -> Iterator[tuple[str, str]]:
    """Yields what a grant is, label by label."""
    from remit_server.transport.grpc.operator_calls import state_name

    issued, until = told_times(grant)
    yield "grant", grant.name
    yield "state", state_name(grant)
    yield "user", f"{plain(grant.subject.id)} of {plain(grant.subject.issuer)}"
    yield "agent", plain(grant.actor)
    yield "purpose", plain(grant.intent.purpose)
    yield "role", grant.role_arn
    yield "entitlements", plain(", ".join(grant.entitlements))
    yield "policy", f"revision {grant.policy_revision}"
    yield "issued", f"{issued} UTC"
    yield "until", f"{until} UTC"
    for issuance in grant.issuances:
        yield "access key", f"{issuance.access_key_id} of {issuance.issue_time.ToDatetime():%F %T} UTC"
    yield from _notes(grant)
    yield from _revoke(grant, until)
    if grant.session_policy:
        yield "may do", json.dumps(json.loads(grant.session_policy), indent=2).replace("\n", f"\n{'':15}")


def _notes(grant: "Grant") -> Iterator[tuple[str, str]]:
    """Yields what not every grant has."""
    if grant.parent:
        is_attenuated = grant.parent.startswith(f"tasks/{grant.task_id}/")
        yield "parent", f"{'attenuated from' if is_attenuated else 'within'} {grant.parent}, and revoked with it"
    if grant.approval:
        yield "approval", grant.approval
    if grant.break_glass:
        yield "break glass", "yes: a person reviews it afterwards"
    if grant.outlives_task:
        yield "outlives task", "yes: it may hand out what lasts longer"
    if grant.unguarded:
        yield "unguarded", plain(", ".join(grant.unguarded))


def _revoke(grant: "Grant", until: str) -> Iterator[tuple[str, str]]:
    """Yields when it was revoked, and since when AWS refuses."""
    from remit_server.transport.grpc.operator_calls import how_known

    if grant.HasField("revoke_time"):
        yield "revoked", f"{grant.revoke_time.ToDatetime():%F %T} UTC"
        if grant.HasField("revocation_effective_time"):
            effective = grant.revocation_effective_time.ToDatetime()
            yield "AWS refuses", f"since {effective:%F %T} UTC, {how_known(grant)}"
        else:
            yield "AWS refuses", f"not known yet; at the latest from {until} UTC on"


def told_revoke(revoked: "Revoked", aim: "Aim", *, block: bool) -> Iterator[str]:
    """Yields what a revoke did, line by line."""
    if block:
        yield f"{_whom(aim)} is blocked from now on; `remit-server grants blocks` names the block, `unblock` lifts it."
    if not revoked.grant_count:
        yield f"NOTHING WAS ENDED: no live grant is of {_whom(aim)}. The wish is on record{_refused(aim)}."
        return
    count = "1 grant is" if revoked.grant_count == 1 else f"{revoked.grant_count} grants are"
    yield f"{count} ended, since {revoked.revoke_time.ToDatetime():%F %T} UTC: no new credentials from then on."
    yield from (f"  {name}" for name in revoked.grants)
    if revoked.grant_count > len(revoked.grants):
        yield f"  and {revoked.grant_count - len(revoked.grants)} more"
    if revoked.HasField("credentials_until"):
        until = f"{revoked.credentials_until.ToDatetime():%F %T} UTC"
        if revoked.denying:
            yield f"AWS is being told to refuse what is out; without that it would work until {until}."
        else:
            yield f"AWS is not told (no revocation is set up): what is out works until {until} at the longest."
    yield f"The revocation is {revoked.revocation_id}."


def _whom(aim: "Aim") -> str:
    """Returns whom a revoke was aimed at."""
    issuer, subject = aim.subject or ("", "")
    named = {
        "user": f"{subject} of {issuer}" if subject else "",
        "agent": aim.actor,
        "task": aim.task_id,
        "policy revision": aim.policy_revision,
        "the name": aim.grant,
    }
    return next(f"{kind} {plain(name)}" for kind, name in named.items() if name)


def _refused(aim: "Aim") -> str:
    """Returns what else a revoke of a user or an agent does."""
    return ", and tokens from before it are refused" if aim.subject or aim.actor else ""
