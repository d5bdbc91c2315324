"""The least that a role of PostgreSQL needs: a gateway makes no table, and no record of it is ever changed."""

from collections.abc import Iterator
from typing import Final

READ: Final = "SELECT"
ADD: Final = "SELECT, INSERT"
CHANGE: Final = "SELECT, INSERT, UPDATE"

# Every table of the ledger; a test holds this to the tables that there are.
NEEDED: Final[dict[str, str]] = {
    "tasks": CHANGE,
    "grants": CHANGE,
    "issuances": ADD,
    "requests": CHANGE,
    "single_use_tokens": ADD,
    "delegations": ADD,
    "audit_events": ADD,
    "audit_texts": "SELECT, INSERT, UPDATE (time), DELETE",
    "audit_head": "SELECT, UPDATE",
    "signals": "SELECT, INSERT, DELETE",
    "revocations": CHANGE,
    "denies": "SELECT, INSERT, UPDATE, DELETE",
    "holds": "SELECT, INSERT, UPDATE, DELETE",
    "presence": "SELECT, INSERT, UPDATE",
    "seen_events": "SELECT, INSERT, DELETE",
    "policy_revisions": ADD,  # what decided once is evidence, and is never taken away
    "policy_archives": ADD,
    "policy_activations": ADD,
    "policy_shadows": "SELECT, INSERT, UPDATE, DELETE",
    "shadow_counts": CHANGE,
    "approvals": CHANGE,
    "approval_votes": ADD,
    "notifications": "SELECT, INSERT, UPDATE, DELETE",
    "alembic_version": READ,
}
NUMBERED: Final = (
    "issuances_number_seq",
    "policy_revisions_number_seq",
    "policy_activations_number_seq",
    "denies_number_seq",
    "notifications_number_seq",
)
# What `audit list`, `verify`, `export` and `explain` read.
_AUDIT: Final = (
    *("audit_events", "audit_texts", "audit_head", "grants", "issuances", "revocations"),
    "policy_archives",
)


def statements(role: str, *, only_audit: bool = False) -> Iterator[str]:
    """Yields the statements that give a role what a gateway needs, or what reading and explaining the trail does."""
    quoted = '"' + role.replace('"', '""') + '"'
    yield f"GRANT USAGE ON SCHEMA public TO {quoted};"
    for table, privileges in NEEDED.items():
        if not only_audit:
            yield f"GRANT {privileges} ON {table} TO {quoted};"
        elif table in _AUDIT:
            yield f"GRANT {READ} ON {table} TO {quoted};"
    if not only_audit:
        for sequence in NUMBERED:
            yield f"GRANT USAGE ON SEQUENCE {sequence} TO {quoted};"
