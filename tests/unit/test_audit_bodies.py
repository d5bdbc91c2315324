import hashlib
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from tests.fakes import NOON

from remit_server import domain
from remit_server.domain.audit import MAX_TEXT, AuditRecord, GatewayStarted, Who, chained
from remit_server.domain.decision import canonical_json
from remit_server.domain.secret import Secret

WHO = Who("https://idp.example", "alice", "copilot", "f" * 32, "127.0.0.1")


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


@pytest.mark.parametrize(
    "value",
    [
        "short",
        'a "quoted" \\ é',
        "x" * (MAX_TEXT + 1),
        ("x" * MAX_TEXT, ("y" * (MAX_TEXT + 9),)),
        None,
        7,
        NOON,
        WHO,
        (WHO, NOON),
    ],
)
@pytest.mark.parametrize("kind", list(kinds(AuditRecord)))
def test_the_text_of_a_record_is_the_canonical_text_of_its_body(kind: type[AuditRecord], value: object) -> None:
    record = object.__new__(kind)
    for one in fields(kind):
        object.__setattr__(record, one.name, value)

    assert record.text() == canonical_json(record.body())


@pytest.mark.parametrize("value", [b"bytes", Secret("s"), {1, 2}, (Secret("s"),)])
def test_a_record_holds_nothing_but_what_records_may_hold(value: object) -> None:
    record: Any = GatewayStarted("1", "c", "d", "e")
    object.__setattr__(record, "version", value)

    for told in (record.body, record.text):
        with pytest.raises(TypeError, match="a record holds no"):
            told()


def test_the_hash_of_an_event_is_of_the_canonical_list_of_what_it_says() -> None:
    record = GatewayStarted("1", "c", "d", 'e"\\é')

    event = chained(record, sequence=7, time=NOON, previous_hash="p")

    said = [7, NOON.isoformat(timespec="microseconds"), record.kind, record.text(), "p"]
    assert event.event_hash == hashlib.sha256(canonical_json(said).encode()).hexdigest()


def test_there_are_such_records() -> None:
    names = {kind.__name__ for kind in kinds(AuditRecord)}

    assert {"GrantAuthorized", "CredentialsRenewed"} <= names
