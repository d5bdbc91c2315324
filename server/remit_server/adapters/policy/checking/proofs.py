"""Containment of catalogue permissions, asked of the algebra once for equal ones: a catalogue repeats itself a lot."""

import json
from collections.abc import Sequence
from typing import Any, Final

from remit_server.adapters.policy.bundles.entitlement_json import permissions
from remit_server.domain.permission import as_document
from remit_server.iam import Budget, Document, Witness, contains

_BUDGET: Final = Budget(permissions=0)  # the fast path alone: thousands of pairs are compared


def permissions_key(value: Sequence[Any]) -> str:
    """Returns equal texts for equal permissions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class Proofs:
    """Documents of permissions and what is proven of them, remembered."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._values: dict[str, Sequence[Any]] = {}
        self._within: dict[tuple[str, str], bool] = {}

    def document(self, value: Sequence[Any]) -> Document:
        """Returns permissions of the catalogue as a document."""
        key = permissions_key(value)
        found = self._documents.get(key)
        if found is None:
            found = self._documents[key] = as_document(permissions(list(value), ("permissions",)))
        return found

    def named(self, value: Sequence[Any]) -> str:
        """Returns the key of permissions, by which they may be compared."""
        key = permissions_key(value)
        self._values.setdefault(key, value)
        return key

    def within(self, inner: str, outer: str) -> bool:
        """Says whether the inner of two named permissions are proven to lie within the outer ones; doubt is a no."""
        known = self._within.get((inner, outer))
        if known is None:
            documents = self.document(self._values[inner]), self.document(self._values[outer])
            known = self._within[inner, outer] = isinstance(contains(*documents, budget=_BUDGET), Witness)
        return known
