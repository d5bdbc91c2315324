from collections.abc import Iterator
from dataclasses import fields

import pytest

from remit_server.domain import approval_records, lifecycle_records, policy_records, revocation_records
from remit_server.domain.audit import AuditRecord, Who


def kinds(of: type[AuditRecord]) -> Iterator[type[AuditRecord]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)
