"""The table in the README leaves out no kind of secret and no sink, and says of each cell what the journeys do."""

import re
from collections.abc import Iterator
from typing import Any

from tests.e2e.canaries.table.kinds import KINDS, NO_SECRETS, REDACTED
from tests.e2e.canaries.table.writing import PLACES, README, reason, searched, table, written

from remit.v1 import (
    approval_service_pb2,
    audit_service_pb2,
    credential_service_pb2,
    grant_service_pb2,
    policy_service_pb2,
    types_pb2,
)
from remit_server.config.shapes import LISTS, TABLES

_NAMED = re.compile(r"secret|token|password|key|authorization|external_id|credential|url_file|passphrase|cookie")
_FOUND = {one for kind in KINDS for one in kind.found}


def keys_of(place: str, shape: Any) -> Iterator[str]:
    """Yields every key of a table of the configuration and of those in it."""
    for name, field in shape.model_fields.items():
        inner = [
            one for one in getattr(field.annotation, "__args__", (field.annotation,)) if hasattr(one, "model_fields")
        ]
        if inner:
            yield from keys_of(f"{place}.{name}", inner[0])
        else:
            yield f"{place}.{name}"


def test_every_key_of_the_configuration_that_may_hold_a_secret_is_in_it() -> None:
    keys = {key for name, shape in {**TABLES, **LISTS}.items() for key in keys_of(name, shape)}

    named = {key for key in keys if _NAMED.search(key.rpartition(".")[2])}

    assert named - NO_SECRETS.keys() - _FOUND == set(), "it needs a kind in kinds.py, which a journey notes and uses"
    assert NO_SECRETS.keys() - named == set()
    assert {key for key in _FOUND if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", key)} - keys == set()


def test_every_field_of_the_api_that_is_redacted_is_in_it() -> None:
    files = (
        approval_service_pb2,
        audit_service_pb2,
        credential_service_pb2,
        grant_service_pb2,
        policy_service_pb2,
        types_pb2,
    )

    redacted = {
        f"{message.name}.{field.name}"
        for file in files
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.GetOptions().debug_redact
    }

    assert len(redacted) >= 7
    assert redacted - REDACTED.keys() - _FOUND == set()


def test_every_kind_is_looked_for_somewhere_and_every_place_for_something() -> None:
    assert [kind.name for kind in KINDS if not any(searched(kind, place) for place in PLACES)] == []
    assert [place for place in PLACES if not any(searched(kind, place) for kind in KINDS)] == []


def test_the_readme_has_the_table_as_it_is() -> None:
    text = README.read_text()

    assert text == written(text), "python -m tests.e2e.canaries.table.writing writes it"
    assert {reason(kind, place) for kind in KINDS for place in PLACES if not searched(kind, place)} == {
        line[3] for line in table() if line.startswith("- *")
    }
