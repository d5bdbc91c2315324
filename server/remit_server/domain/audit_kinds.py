"""Every kind of record there is, wherever its type stands."""

from types import ModuleType
from typing import Final

from remit_server.domain import (
    attenuation_records,
    audit,
    audit_events,
    delegation_records,
    erasing_records,
    lifecycle_records,
    policy_records,
)
from remit_server.domain.audit import AuditRecord

_MODULES: Final[tuple[ModuleType, ...]] = (
    attenuation_records,
    audit,
    audit_events,
    delegation_records,
    erasing_records,
    lifecycle_records,
    policy_records,
)


def audit_kinds() -> tuple[str, ...]:
    """Returns the names of all kinds of records, sorted."""
    types = [one for module in _MODULES for one in vars(module).values() if isinstance(one, type)]
    return tuple(sorted({one.kind for one in types if issubclass(one, AuditRecord) and one.kind}))
