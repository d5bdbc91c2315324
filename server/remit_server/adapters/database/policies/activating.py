"""Makes a revision the one that decides, as one operation of a batch, together with the revoke that may go with it.

Every transaction that authorizes locks the head of the chain as this one does, and holds what was decided against the
last activation (revoking/presented.py): whatever is authorized after this commit was decided by this revision.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, exists, select
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.policies.publishing import published
from remit_server.adapters.database.policies.rows import activation_of
from remit_server.adapters.database.revoking.revocations import revoke, standing_blocks
from remit_server.adapters.database.revoking.stopped import new_revocation_id
from remit_server.adapters.database.schema.policy_tables import policy_activations
from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.application.policy.ports import Activated, ActivationOrder
from remit_server.domain.errors import Denied, Reason, RemitError
from remit_server.domain.policy_records import RevisionActivated
from remit_server.domain.policy_revision import Activation, ActivationKind
from remit_server.domain.revocation import RevokeCause, Revoked, RevokeOrder, Target, TargetKind

_LAST: Final = Prepared(select(policy_activations).order_by(policy_activations.c.number.desc()).limit(1))
_WAS_ACTIVE: Final = select(exists().where(policy_activations.c.revision == bindparam("revision")))
_ADD: Final = insert(policy_activations).returning(policy_activations.c.number)


def active(connection: Connection) -> Activation | None:
    """Returns the last activation, or None before the first."""
    row = _LAST.first(connection, {})
    return None if row is None else activation_of(row)


def blocks(revisions: Sequence[str], connection: Connection) -> Mapping[str, str]:
    """Returns which of these revisions are blocked, and by which block: the oldest that stands."""
    are_these = (revocations.c.target == TargetKind.REVISION.value, revocations.c.target_key.in_(revisions))
    return {row["target_key"]: row["revocation_id"] for row in standing_blocks(connection, *are_these)}


def activate(batch: Batch, order: ActivationOrder, *, denying: bool) -> Activated | RemitError:
    """Adds the activation, revokes what it is to revoke, and records both; or does nothing of it."""
    before = active(batch.connection)
    if before is not None and before.revision == order.revision:
        return _unchanged(before, order)
    was_active = bool(batch.connection.execute(_WAS_ACTIVE, {"revision": order.revision}).scalar())
    if refused := _refusal(batch, order, before, was_active=was_active):
        return refused
    revoked: Revoked | None = None
    if order.revoke_issued and before is not None:
        stopped = revoke(batch, _revoke_order(order, before), denying=denying)
        if isinstance(stopped, RemitError):
            return stopped
        revoked = stopped
    activation = _added(batch, order, revoked, was_active=was_active)
    previous = before.revision if before else ""
    batch.append(
        RevisionActivated(
            revision=order.revision,
            previous=previous,
            activation=activation.kind.value,
            by=order.by,
            why=order.why,
            revocation_id=activation.revocation_id or "",
        )
    )
    return Activated(activation, previous, revoked.grant_count if revoked else 0, changed=True)


def _unchanged(active_now: Activation, order: ActivationOrder) -> Activated | Denied:
    """Returns that the revision is active already; a revoke that would silently not be done is refused instead."""
    if order.revoke_issued and active_now.revocation_id is None:
        message = (
            "this revision is active already, so nothing was activated and nothing revoked: revoke what another "
            "revision issued with `remit-server grants revoke --revision`"
        )
        return Denied(Reason.REVISION_CHANGED, message)
    return Activated(active_now, active_now.revision, 0, changed=False)


def _refusal(batch: Batch, order: ActivationOrder, before: Activation | None, *, was_active: bool) -> Denied | None:
    """Returns why this revision may not be activated by this order, or None."""
    if published(batch.connection, order.revision) is None:
        return Denied(Reason.NOT_FOUND, "there is no published revision of that digest: publish it first")
    if blocking := blocks((order.revision,), batch.connection).get(order.revision):
        message = (
            "this revision is blocked since what it issued was revoked. If it is to decide again, lift the block: "
            f"remit-server grants unblock blocks/{blocking} --why '...'"
        )
        return Denied(Reason.REVISION_REFUSED, message)
    if order.only_back and not was_active:
        message = "this revision was never active, so there is no going back to it: activate it"
        return Denied(Reason.REVISION_REFUSED, message)
    if order.adopted and was_active:
        message = "this revision is older: another one was activated after it, and no source undoes that"
        return Denied(Reason.REVISION_REFUSED, message)
    active_now = before.revision if before else ""
    if (order.adopted or order.expected_active) and order.expected_active != active_now:
        shown = f"{active_now[:12]}..." if active_now else "none"
        message = f"another revision is active than was expected: {shown}. Look again, and decide by what is active now"
        return Denied(Reason.REVISION_CHANGED, message)
    return None


def _revoke_order(order: ActivationOrder, before: Activation) -> RevokeOrder:
    """Returns the revoke of what the revision before issued; it is blocked, so that nothing activates it again."""
    target = Target(TargetKind.REVISION, before.revision)
    return RevokeOrder(new_revocation_id(), target, RevokeCause.ROLLBACK, order.by, order.why, block=True)


def _added(batch: Batch, order: ActivationOrder, revoked: Revoked | None, *, was_active: bool) -> Activation:
    """Adds the row of the activation and returns it."""
    if order.adopted:
        kind = ActivationKind.ADOPTED
    else:
        kind = ActivationKind.ROLLED_BACK if was_active else ActivationKind.ACTIVATED
    row = {
        "revision": order.revision,
        "kind": kind.value,
        "time": batch.now,
        "by": order.by,
        "why": order.why,
        "revocation_id": revoked.revocation_id if revoked else None,
    }
    number: int = batch.connection.execute(_ADD, row).scalar_one()
    return activation_of({**row, "number": number})
