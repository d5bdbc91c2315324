import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields

import pytest

from remit_server import domain
from remit_server.domain.audit import AuditRecord


def kinds(of: type[AuditRecord]) -> Iterator[type[AuditRecord]]:
    """Yields every type of record that a gateway writes."""
    for kind in of.__subclasses__():
        if kind.__module__.startswith(domain.__name__):
            yield kind
        yield from kinds(kind)


for module in pkgutil.iter_modules(domain.__path__, f"{domain.__name__}."):
    importlib.import_module(module.name)


@pytest.mark.parametrize("kind", list(kinds(AuditRecord)))
def test_a_record_tells_each_of_its_fields(kind: type[AuditRecord]) -> None:
    record = object.__new__(kind)
    for one in fields(kind):
        object.__setattr__(record, one.name, "value")

    assert record.body() == {one.name: "value" for one in fields(kind)}


def test_there_are_such_records() -> None:
    names = {kind.__name__ for kind in kinds(AuditRecord)}

    assert {"GrantAuthorized", "CredentialsRenewed"} <= names
