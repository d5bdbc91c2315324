"""Who calls the security side: a person or a workload with a token for operators, never an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class OperatorKind(StrEnum):
    """Whether somebody is behind the call: only a person approves."""

    PERSON = "person"
    WORKLOAD = "workload"


@dataclass(frozen=True, slots=True)
class Operator:
    """A verified caller of the security side.

    `subject` is what `issuer` calls it; a workload with a certificate has its SPIFFE ID there, its trust domain as
    issuer, and no groups. `claims` holds only what the issuer's profile allows to be kept. `auth_time` (seconds) is
    when the person last signed in, as far as the issuer says; `token_issue_time` is unset without a token. `peer` is
    the remote address without its port.
    """

    issuer: str
    alias: str
    subject: str
    kind: OperatorKind
    peer: str
    groups: tuple[str, ...] = ()
    email: str | None = None
    auth_time: int | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    token_issue_time: datetime | None = None
    token_fingerprint: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """How records and settings name it: `<alias>:<subject>`, or its SPIFFE ID, which is no alias and a subject."""
        return self.subject if self.alias == SPIFFE_ALIAS else f"{self.alias}:{self.subject}"


SPIFFE_ALIAS = "spiffe"  # no issuer's: identity_rules.py refuses it
