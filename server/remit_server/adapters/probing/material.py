"""Gathers what a round is made with: fresh tokens of the prober's own, and the wrong ones made out of them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remit_server.adapters.probing.forging import GenuineToken, altered, forged, genuine, unsigned, with_own_key
from remit_server.adapters.probing.impostor import impostor
from remit_server.adapters.probing.sources import TokenSource
from remit_server.application.probing import checks
from remit_server.application.probing.probe_gateway import MadeToken, Material, NoProof, Proof
from remit_server.application.probing.values import NotAsked
from remit_server.domain.secret import Secret

PAST_EXPIRY = 120.0  # seconds; gateways may allow as much leeway


class NotTheProbes(ValueError):  # noqa: N818 - named for what it says
    """A token is somebody else's than the account's that exists for probing: it is not sent."""


@dataclass(slots=True)
class Gathering:
    """Gathers the material of each round; a genuine token is kept until it is over, to be shown then.

    `subject` is whose tokens may be sent at all. `spare` gives by a check's name the genuine tokens that only
    the issuer can make. `own_agent` is the agent's proof: its certificate's file, or the source of its token.
    """

    subject: str
    subject_token: TokenSource
    own_agent: Path | TokenSource
    spare: Mapping[str, TokenSource] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    _kept: GenuineToken | None = None

    def __call__(self) -> Material:
        """Returns the material of one round; raises NoToken, ValueError and OSError, with nothing secret in them."""
        right = self._mine(self.subject_token())
        tokens: dict[str, Secret | NotAsked] = {
            checks.FORGED.name: forged(right),
            checks.OWN_KEY.name: with_own_key(right),
            checks.UNSIGNED.name: unsigned(right),
            checks.ALTERED.name: altered(right),
            checks.EXPIRED.name: self._expired(right),
            checks.ELSEWHERE.name: self._spare(checks.ELSEWHERE.name, "--other-audience-token"),
            checks.UNBOUND.name: self._spare(checks.UNBOUND.name, "--unbound-token"),
        }
        proofs: dict[str, Proof | NotAsked] = {
            checks.NO_PROOF.name: NoProof(),
            checks.IMPOSTOR.name: self._impostor(),
        }
        return Material(right.token, tokens, proofs)

    def _mine(self, token: Secret) -> GenuineToken:
        """Takes a token apart; raises NotTheProbes for somebody else's."""
        taken = genuine(token)
        if taken.subject != self.subject:
            raise NotTheProbes(
                f"a token's `sub` is not {self.subject!r}, the account for probing that --subject names: not sent"
            )
        return taken

    def _spare(self, name: str, option: str) -> Secret | NotAsked:
        """Returns a genuine token for another purpose, where a source was given."""
        source = self.spare.get(name)
        if source is None:
            return NotAsked(f"only the issuer can make this token: give {option}")
        return self._mine(source()).token

    def _expired(self, right: GenuineToken) -> Secret | NotAsked:
        """Returns a genuine token that is over: one that was given, or an earlier round's."""
        if checks.EXPIRED.name in self.spare:
            return self._spare(checks.EXPIRED.name, "--expired-token")
        if self._kept is None:
            self._kept = right
        if self._kept.expiry and self._kept.expiry + PAST_EXPIRY < self.now():
            return self._kept.token
        return NotAsked("no genuine token is over yet: with --every the first one is kept, or give --expired-token")

    def _impostor(self) -> Proof:
        """Returns the agent's name in a proof of the prober's own making."""
        if isinstance(self.own_agent, Path):
            return impostor(self.own_agent.read_bytes())
        return MadeToken(forged(genuine(self.own_agent())))
