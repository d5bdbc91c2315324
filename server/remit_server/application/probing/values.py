"""What the prober asks for, what the gateway can answer, and what that comes to."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

LABEL: Final = "remit-probe"
REQUEST_ID_PREFIX: Final = "70726f62-6500-8"  # "probe" in hexadecimal digits
PURPOSE: Final = "remit-server probe: {check} (a request that must be refused)"


class Wrong(StrEnum):
    """What is wrong with a request of the prober's."""

    IDENTITY = "identity"
    AGENT = "agent"
    INTENT = "intent"


class Stage(IntEnum):
    """How far a gateway takes a request before it refuses it: each stage is passed before the next one."""

    ACTOR = 1
    SUBJECT = 2
    BINDING = 3
    POLICY = 4
    CEILING = 5
    STS = 6


class Outcome(StrEnum):
    """What an exchange came to.

    REFUSED is what must be. ISSUED and ACCEPTED are alarms: credentials were given, or what was wrong was taken though
    something else stopped the exchange. UNCLEAR proves nothing. SKIPPED was not asked, for want of a token.
    """

    REFUSED = "refused"
    ISSUED = "issued"
    ACCEPTED = "accepted"
    UNCLEAR = "unclear"
    SKIPPED = "skipped"

    @property
    def is_alarm(self) -> bool:
        """Says whether somebody has to be woken."""
        return self in {Outcome.ISSUED, Outcome.ACCEPTED}


@dataclass(frozen=True, slots=True)
class Check:
    """One request that must be refused at a stage: earlier it proves nothing, later is an alarm."""

    name: str
    wrong: Wrong
    stage: Stage
    told: str


@dataclass(frozen=True, slots=True)
class Issued:
    """The gateway gave credentials for this task; `is_ended` says whether the prober could end it."""

    task_id: str
    is_ended: bool


@dataclass(frozen=True, slots=True)
class PeopleAsked:
    """The gateway would have people approve it."""

    task_id: str
    is_ended: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway said no, with a stable reason."""

    reason: str
    told: str


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The gateway took no connection with this certificate, before any call."""

    told: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody answered, or something that is no answer of a gateway."""

    told: str


@dataclass(frozen=True, slots=True)
class NotAsked:
    """There was nothing to ask with."""

    told: str


Answer = Issued | PeopleAsked | Refused | TurnedAway | NoAnswer | NotAsked


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to, in a word and in a sentence; `reason` is the gateway's, empty where it gave none.

    `request_id` is what the gateway's records know the request by; empty where nothing was asked.
    """

    check: Check
    outcome: Outcome
    reason: str
    told: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """All checks of one round; `control` says why the right identity was not taken, and is empty when it was."""

    findings: tuple[Finding, ...]
    control: str

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """What somebody has to be woken for."""
        return tuple(finding for finding in self.findings if finding.outcome.is_alarm)

    @property
    def is_conclusive(self) -> bool:
        """Says whether every check that was asked proves something: only then is silence good news."""
        return not self.control and all(finding.outcome is not Outcome.UNCLEAR for finding in self.findings)

    def count(self, outcome: Outcome) -> int:
        """Returns how many checks came to this."""
        return sum(finding.outcome is outcome for finding in self.findings)
