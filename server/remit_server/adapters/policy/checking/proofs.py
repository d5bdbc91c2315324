"""Containment of catalogue permissions, asked of the algebra once for equal ones: a catalogue repeats itself a lot."""

import json
from collections.abc import Sequence
from typing import Any

from remit_server.adapters.policy.entitlement_json import permissions
from remit_server.domain.permission import as_document
from remit_server.iam import Budget, Document, Witness, contains

_BUDGET = Budget(permissions=50)


def permissions_key(value: Sequence[Any]) -> str:
    """Returns equal texts for equal permissions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class Proofs:
    """Documents of permissions and what is proven of them, remembered."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._within: dict[tuple[str, str], bool] = {}

    def document(self, value: Sequence[Any]) -> Document:
        """Returns permissions of the catalogue as a document."""
        key = permissions_key(value)
        found = self._documents.get(key)
        if found is None:
            found = self._documents[key] = as_document(permissions(list(value), ("permissions",)))
        return found

    def within(self, inner: Sequence[Any], outer: Sequence[Any]) -> bool:
        """Says whether the inner permissions are proven to lie within the outer ones; doubt is a no."""
        key = permissions_key(inner), permissions_key(outer)
        if key not in self._within:
            proof = contains(self.document(inner), self.document(outer), budget=_BUDGET)
            self._within[key] = isinstance(proof, Witness)
        return self._within[key]
