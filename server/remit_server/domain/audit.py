"""One frozen record type per thing that can happen, and the hash chain that holds them together.

A record never holds a token, a key or a claim: inputs stand outside the chain by digest, so that they can be erased.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any, ClassVar

from remit_server.domain.canonical import canonical_by, quoted
from remit_server.domain.decision import canonical_json

GENESIS = "0" * 64
MAX_TEXT = 4096  # of one value in a record: a session policy has 2,048 at most


@dataclass(frozen=True, slots=True)
class Who:
    """Subject and actor of a record, by their ids. Empty where that part was not verified."""

    subject_issuer: str = ""
    subject_id: str = ""
    actor_id: str = ""
    token_fingerprint: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """The part every record has. `kind` is its name in the chain; with `signals` every process hears of it at once."""

    kind: ClassVar[str] = ""
    signals: ClassVar[bool] = False

    def body(self) -> Mapping[str, Any]:
        """Returns the record as JSON values."""
        return {name: _json(value) for name, value in _fields(self).items()}

    def text(self) -> str:
        """Returns `body` as canonical JSON."""
        text = _canonical(_fields(self))
        # NOTE: what is short as a whole holds nothing long; else each text in it is bounded by itself.
        return text if len(text) <= MAX_TEXT else canonical_json(self.body())


@dataclass(frozen=True, slots=True)
class GatewayStarted(AuditRecord):
    """A gateway's process is about to open its ports with this configuration and this policy: `worker` of `workers`."""

    kind: ClassVar[str] = "gateway_started"
    version: str
    configuration_digest: str
    ceilings_digest: str
    policy_revision: str
    worker: int = 1
    workers: int = 1


@dataclass(frozen=True, slots=True)
class CallersRejected(AuditRecord):
    """Calls that failed before their actor was authenticated, counted per peer and reason over a minute."""

    kind: ClassVar[str] = "callers_rejected"
    peer: str
    reason: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class RequestRefused(AuditRecord):
    """An authenticated actor was told no, or the gateway could not answer."""

    kind: ClassVar[str] = "request_refused"
    who: Who
    request_id: str
    method: str
    reason: str
    message: str
    task_id: str = ""
    input_digest: str = ""
    policy_revision: str = ""
    ceiling_digest: str = ""
    failures: tuple[tuple[str, str, str], ...] = ()
    circumstances_digest: str = ""
    decision_digest: str = ""


@dataclass(frozen=True, slots=True)
class TaskStarted(AuditRecord):
    """A task was opened for this subject and actor."""

    kind: ClassVar[str] = "task_started"
    who: Who
    task_id: str
    purpose: str
    end_time: datetime


@dataclass(frozen=True, slots=True)
class GrantAuthorized(AuditRecord):
    """Everything was proven and STS may now be called; `covers` is the containment witness.

    `approval_id` names what people said yes to or, with `break_glass`, what they review afterwards. What is given to an
    agent further down was proven within `parent_grant_id` as well.
    """

    kind: ClassVar[str] = "grant_authorized"
    who: Who
    request_id: str
    task_id: str
    grant_id: str
    role_arn: str
    entitlements: tuple[str, ...]
    session_policy: str
    session_policy_digest: str
    covers: tuple[str, ...]
    unguarded: tuple[str, ...]
    ceiling_digest: str
    input_digest: str
    policy_revision: str
    source_identity: str
    tags: tuple[tuple[str, str], ...]
    expire_time: datetime
    outlives_task: bool
    approval_id: str = ""
    break_glass: bool = False
    circumstances_digest: str = ""
    decision_digest: str = ""
    parent_grant_id: str = ""


@dataclass(frozen=True, slots=True)
class CredentialsIssued(AuditRecord):
    """STS answered; durable before the caller sees a key."""

    kind: ClassVar[str] = "credentials_issued"
    signals: ClassVar[bool] = True
    who: Who
    request_id: str
    task_id: str
    grant_id: str
    access_key_id: str
    session_policy_digest: str
    policy_revision: str
    expire_time: datetime
    packed_policy_percent: int | None
    repeated: bool


@dataclass(frozen=True, slots=True)
class IssuanceFailed(AuditRecord):
    """STS refused or was not reached: no credentials of this call exist, or (REVOKING) nobody was given any.

    `state` is where the grant then stands. ISSUED says that it was a repeat: what its grant gave before lives on.
    """

    kind: ClassVar[str] = "issuance_failed"
    task_id: str
    grant_id: str
    reason: str
    state: str


@dataclass(frozen=True, slots=True)
class PreviewDecided(AuditRecord):
    """The same decision without credentials."""

    kind: ClassVar[str] = "preview_decided"
    who: Who
    allowed: bool
    reason: str
    role_arn: str
    session_policy_digest: str
    input_digest: str
    policy_revision: str
    ceiling_digest: str
    circumstances_digest: str = ""
    decision_digest: str = ""


@dataclass(frozen=True, slots=True)
class TaskEnded(AuditRecord):
    """The task is over, by its actor, a lost lease or a revoke: no new credentials from here on.

    `denying` says that AWS is being told to refuse what is out before `credentials_until`.
    """

    kind: ClassVar[str] = "task_ended"
    signals: ClassVar[bool] = True
    who: Who
    task_id: str
    grants: tuple[str, ...]
    credentials_until: datetime | None
    cause: str = "TASK_ENDED"
    denying: bool = False


@dataclass(frozen=True, slots=True)
class GrantWithheld(AuditRecord):
    """Credentials may exist that no caller was given: they run into their time guard."""

    kind: ClassVar[str] = "grant_withheld"
    task_id: str
    grant_id: str
    why: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class GrantExpired(AuditRecord):
    """The grant's time guard has passed: AWS refuses its credentials."""

    kind: ClassVar[str] = "grant_expired"
    task_id: str
    grant_id: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """A record in its place: `event_hash` covers the previous hash and the canonical text of everything else."""

    sequence: int
    time: datetime
    kind: str
    body_text: str
    previous_hash: str
    event_hash: str


def chained(record: AuditRecord, *, sequence: int, time: datetime, previous_hash: str) -> ChainedEvent:
    """Returns the record as the next event of a chain; raises ValueError for a time that is not UTC."""
    if time.utcoffset() != timedelta(0):
        raise ValueError("the time of a record is UTC")
    body_text = record.text()
    event_hash = _event_hash(sequence, time, record.kind, body_text, previous_hash)
    return ChainedEvent(sequence, time, record.kind, body_text, previous_hash, event_hash)


@dataclass(frozen=True, slots=True)
class ChainIntact:
    """Every record is as it was written, `count` of them, up to `head`."""

    count: int
    head: str


@dataclass(frozen=True, slots=True)
class ChainBroken:
    """Names the first record that is not as it was written, and what is wrong with it."""

    sequence: int
    what: str


def verify_chain(
    events: Iterable[ChainedEvent],
    *,
    expected_count: int | None = None,
    expected_head: str | None = None,
    complete: bool = False,
) -> ChainIntact | ChainBroken:
    """Walks a chain from its first record and names the first bad one.

    Finds any change short of recomputing the tail; with the count and head of a checkpoint kept elsewhere, any at all
    up to it. `complete` says that the checkpoint is the chain's end, so that nothing may stand after it. Without a
    count the head is that of the last record.
    """
    previous, count = GENESIS, 0
    for count, event in enumerate(events, start=1):
        what = _wrong_with(event, count, previous)
        if what is None and expected_count is not None and count >= expected_count:
            what = _wrong_at_the_end(event, count - expected_count, expected_head, complete=complete)
        if what is not None:
            return ChainBroken(count, what)
        previous = event.event_hash
    if expected_count is not None and count < expected_count:
        return ChainBroken(count + 1, "the record is missing: the chain was cut here")
    if not expected_count and expected_head not in {None, previous if expected_count is None else GENESIS}:
        return ChainBroken(count, _OTHER_HEAD)
    return ChainIntact(count, previous)


_OTHER_HEAD = "it is not the record that the recorded head of the chain names"


def _wrong_at_the_end(event: ChainedEvent, beyond: int, expected_head: str | None, *, complete: bool) -> str | None:
    """Returns what is wrong with the last expected event (`beyond` 0) or one after it, or None."""
    if beyond > 0:
        return "it stands after the recorded end of the chain" if complete else None
    return None if expected_head in {None, event.event_hash} else _OTHER_HEAD


def _wrong_with(event: ChainedEvent, place: int, previous: str) -> str | None:
    """Returns what is wrong with an event in its place, or None."""
    if event.sequence != place:
        return f"record {place} is missing or out of order: record {event.sequence} stands in its place"
    if event.previous_hash != previous:
        return "it does not follow the record before it"
    if event.event_hash != _event_hash(event.sequence, event.time, event.kind, event.body_text, event.previous_hash):
        return "its content is not what was recorded: the hash does not match"
    return None


def _event_hash(sequence: int, time: datetime, kind: str, body_text: str, previous_hash: str) -> str:
    """SHA-256 over the canonical JSON list of everything the event says."""
    words = (time.isoformat(timespec="microseconds"), kind, body_text, previous_hash)
    text = f"[{sequence},{','.join(map(quoted, words))}]"
    return hashlib.sha256(text.encode()).hexdigest()


def _fields(value: "AuditRecord | Who") -> dict[str, Any]:
    """Returns the fields of a record by their names, in their order."""
    names: tuple[str, ...] = value.__match_args__
    return dict(zip(names, map(getattr, repeat(value), names), strict=True))


def _json(value: Any) -> Any:
    """Turns the few types that records hold into JSON values, with every text bounded."""
    match value:
        case str():
            return bounded(value)
        case None | int():
            return value
        case tuple() | list():
            return [_json(item) for item in value]
        case Who():
            return {name: _json(part) for name, part in _fields(value).items()}
        case _:
            return _told(value)


def _told(value: object) -> Any:
    """Turns what records hold beside JSON values into one; raises TypeError for any other type."""
    match value:
        case datetime():
            return value.isoformat(timespec="microseconds")
        case Who():
            return _fields(value)
        case _:
            raise TypeError(f"a record holds no {type(value).__name__}")


_canonical = canonical_by(_told)


def bounded(text: str) -> str:
    """Returns a text as records hold it: past `MAX_TEXT` characters it is cut, and says so."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} ... [{len(text) - MAX_TEXT} more characters]"
