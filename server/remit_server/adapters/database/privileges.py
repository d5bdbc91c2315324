"""The least that a role of PostgreSQL needs: no table is emptied or changed by a gateway, and no record ever is."""

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
    "audit_events": ADD,
    "audit_inputs": ADD,
    "audit_head": "SELECT, UPDATE",
    "alembic_version": READ,
}
NUMBERED: Final = ("issuances_number_seq",)
_AUDIT: Final = ("audit_events", "audit_inputs", "audit_head")


def statements(role: str, *, only_audit: bool = False) -> Iterator[str]:
    """Yields the statements that give a role what a gateway needs, or what reading the audit trail does."""
    quoted = '"' + role.replace('"', '""') + '"'
    for table, privileges in NEEDED.items():
        if not only_audit:
            yield f"GRANT {privileges} ON {table} TO {quoted};"
        elif table in _AUDIT:
            yield f"GRANT {READ} ON {table} TO {quoted};"
    if not only_audit:
        for sequence in NUMBERED:
            yield f"GRANT USAGE ON SEQUENCE {sequence} TO {quoted};"
