"""Puts every check to a gateway, once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from remit_server.application.probing.checks import CHECKS, FLOOR_INTENT, WIDE, WIDE_INTENT
from remit_server.application.probing.judging import judge
from remit_server.application.probing.values import Answer, Check, Finding, NotAsked, Round
from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class OwnProof:
    """The prober's own certificate or token: the right agent."""


@dataclass(frozen=True, slots=True)
class NoProof:
    """No certificate and no token."""


@dataclass(frozen=True, slots=True)
class MadeCertificate:
    """A certificate and its key that the prober made itself, PEM."""

    certificate: bytes
    key: Secret


@dataclass(frozen=True, slots=True)
class MadeToken:
    """An agent's token that the prober made itself."""

    token: Secret


Proof = OwnProof | NoProof | MadeCertificate | MadeToken


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request for credentials: whose, by whom, and for which action on which resource."""

    request_id: str
    check: Check
    subject_token: Secret
    proof: Proof
    intent: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Material:
    """What a round is made with: the right token, and by the check's name the wrong ones, or why there is none."""

    subject_token: Secret
    subject_tokens: Mapping[str, Secret | NotAsked]
    proofs: Mapping[str, Proof | NotAsked]


class Asks(Protocol):
    """Asks the gateway for credentials."""

    def __call__(self, exchange: Exchange) -> Answer:
        """Returns what it answered. Whatever was issued is ended before this returns."""


class Recognised(Protocol):
    """Asks the gateway who the prober is."""

    def __call__(self, subject_token: Secret) -> str:
        """Returns an empty text when the right agent and the right token are taken, else why they are not."""


@dataclass(frozen=True, slots=True)
class ProbeGateway:
    """Asks for what must be refused.

    First the right identity is shown, without asking for anything: where it is not taken, a no to a wrong one proves
    nothing. Checks of identity and agent ask for what is never issued, so that even a broken gateway gives nothing.
    """

    recognised: Recognised
    ask: Asks
    new_request_id: Callable[[], str]

    def __call__(self, material: Material) -> Round:
        """Returns what every check came to."""
        control = self.recognised(material.subject_token)
        return Round(tuple(self._checked(check, material) for check in CHECKS), control)

    def _checked(self, check: Check, material: Material) -> Finding:
        """Puts one check."""
        token = material.subject_tokens.get(check.name, material.subject_token)
        proof = material.proofs.get(check.name, OwnProof())
        if isinstance(token, NotAsked):
            return judge(check, token)
        if isinstance(proof, NotAsked):
            return judge(check, proof)
        intent = WIDE_INTENT if check is WIDE else FLOOR_INTENT
        request_id = self.new_request_id()
        return replace(judge(check, self.ask(Exchange(request_id, check, token, proof, intent))), request_id=request_id)
