"""What a replay amounts to: every difference once, with how often, how many people and agents, and one example."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remit_server.application.policy.replaying.differences import Difference


@dataclass(frozen=True, slots=True)
class Example:
    """The oldest decision of a group.

    `input_digest` is what `remit-server audit explain` takes; `purpose` is free text of an agent's.
    """

    sequence: int
    time: datetime
    kind: str
    subject_issuer: str
    subject_id: str
    actor_id: str
    purpose: str
    task_id: str
    input_digest: str
    policy_revision: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Decisions that differ in the same way. `subjects` and `actors` are how many there are, up to 1,000."""

    difference: Difference
    role_arn: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    reasons: tuple[str, ...]
    count: int
    subjects: int
    actors: int
    first_time: datetime
    last_time: datetime
    example: Example


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of a replay; equal histories and candidates make equal reports, however they were replayed.

    `first` and `last` are the places of the records looked at, 0 where there were none. `verdicts` counts every
    decision once, `effects` every one that differs. `partly`, `elsewhere` and `unrepeated` count as `Replayed` says.
    `given_ceilings` says that the ceilings were not those of the records. `untold` counts differences past the groups
    that are told.
    """

    candidate: str
    baselines: Mapping[str, int]
    since: datetime
    first: int
    last: int
    first_time: datetime | None
    last_time: datetime | None
    decisions: int
    verdicts: Mapping[str, int]
    effects: Mapping[str, int]
    partly: int
    elsewhere: int
    unrepeated: int
    given_ceilings: bool
    groups: tuple[Group, ...]
    untold: int = 0

    @property
    def compared(self) -> int:
        """How many decisions were compared, at least policy's yes or no; failing inputs among them."""
        return sum(self.verdicts.get(one, 0) for one in ("IDENTICAL", "SAME", "DIFFERENT", "FAILED"))

    @property
    def uncompared(self) -> int:
        """How many could not be."""
        return self.decisions - self.compared

    @property
    def widens(self) -> bool:
        """Says whether anybody may do more, or anything more easily; where differences are untold, yes."""
        return bool(self.untold) or any(group.difference.widens for group in self.groups)

    @property
    def refuses(self) -> bool:
        """Says whether anybody is newly refused, or gets no decision."""
        return bool(self.untold) or any(group.difference.refuses for group in self.groups)

    @property
    def is_without_difference(self) -> bool:
        """Says whether the candidate answers as the records do."""
        return not self.groups and not self.untold

    @property
    def reaches_further(self) -> bool:
        """Says whether more could be asked for, or anything on easier terms; doubt is a yes."""
        return any(one.difference.is_of_reach and one.difference.widens for one in self.groups)
