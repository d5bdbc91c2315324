"""A question to people: exactly this session policy on this role, for this long; what they say, what that amounts to.

Nothing here asks the time or a database: what one more vote makes of an approval is a matter of the values alone.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from remit_server.domain.decision import canonical_json
from remit_server.domain.entitlement import ApprovalRule, ApprovedBy
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.permission import Permission
from remit_server.domain.task import TaskId

MAX_COMMENT = 512


class ApprovalKind(StrEnum):
    """Whether people decide before credentials are issued, or review what was issued by break-glass."""

    BEFORE = "BEFORE"
    REVIEW = "REVIEW"


class ApprovalState(StrEnum):
    """Where an approval stands. VOID: what would be issued is not what was shown; USED: a grant was issued under it."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REFUSED = "REFUSED"
    LAPSED = "LAPSED"
    VOID = "VOID"
    USED = "USED"


@dataclass(frozen=True, slots=True)
class Requirement:
    """So many different people of these groups have to say yes; the groups are sorted."""

    groups: tuple[str, ...]
    min_approvers: int = 1


@dataclass(frozen=True, slots=True)
class ApprovalNeed:
    """Who has to say yes: every requirement must be met and, with `by_subject`, the subject confirms in person too."""

    requirements: tuple[Requirement, ...]
    by_subject: bool
    valid: timedelta

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group whose members may decide, sorted."""
        return tuple(sorted({group for requirement in self.requirements for group in requirement.groups}))

    @property
    def min_approvers(self) -> int:
        """The most people that one requirement asks for."""
        return max((requirement.min_approvers for requirement in self.requirements), default=1)


def joined(rules: Iterable[ApprovalRule]) -> ApprovalNeed | None:
    """Returns what all the rules ask for together, None where there are none.

    Each set of groups is asked, by the highest number of people that a rule wants of it; the shortest validity counts.
    """
    rules = tuple(rules)
    if not rules:
        return None
    wanted: dict[tuple[str, ...], int] = {}
    for rule in rules:
        if rule.by is ApprovedBy.OTHERS:
            groups = tuple(sorted(set(rule.groups)))
            wanted[groups] = max(rule.min_approvers, wanted.get(groups, 1))
    return ApprovalNeed(
        requirements=tuple(Requirement(groups, count) for groups, count in sorted(wanted.items())),
        by_subject=any(rule.by is ApprovedBy.SUBJECT for rule in rules),
        valid=min(rule.valid for rule in rules),
    )


def handles_of(issuer: str, subject: str, email: str | None) -> frozenset[str]:
    """Returns fingerprints of what a person is known by: two people who share one are taken for the same.

    NOTE: an account of another issuer, another spelling of the same name, or a tagged address (`alice+ops@...`) must
    not let a person approve what is done in their own name, or vote twice (8-threats.md A9). Where that takes two
    people for one, the answer is no.
    """
    names = [["id", _folded(issuer), _folded(subject)]]
    names += [["mail", _mailbox(address)] for address in (email or "", subject) if "@" in address]
    return frozenset(hashlib.sha256(canonical_json(name).encode()).hexdigest()[:32] for name in names)


def _folded(text: str) -> str:
    """Returns a name without what letters can be written differently in."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def _mailbox(address: str) -> str:
    """Returns an address without its tag."""
    local, _, domain = _folded(address).rpartition("@")
    return f"{local.partition('+')[0]}@{domain.rstrip('.')}"


@dataclass(frozen=True, slots=True)
class Vote:
    """What one person said: `groups` are those by which they were asked, `handles` what they are known by."""

    approver_issuer: str
    approver_id: str
    approved: bool
    comment: str
    time: datetime
    groups: tuple[str, ...] = ()
    handles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to people, and how far it is answered.

    `session_policy` is what STS would get but for its time guard; `digest` covers all that is decided about. `adds` is
    what it gives beyond what the task already has. `subject_handles` are what the subject is known by. A review never
    lapses: `lapse_time` is then when it is told of again.
    """

    approval_id: str
    kind: ApprovalKind
    state: ApprovalState
    digest: str
    task_id: TaskId
    subject_issuer: str
    subject_id: str
    subject_handles: frozenset[str]
    actor_id: str
    purpose: str
    session_policy: str
    role_arn: str
    entitlements: tuple[str, ...]
    adds: tuple[Permission, ...]
    duration: timedelta
    need: ApprovalNeed
    policy_revision: str
    create_time: datetime
    lapse_time: datetime
    decide_time: datetime | None = None
    valid_until: datetime | None = None
    votes: tuple[Vote, ...] = ()

    @property
    def name(self) -> str:
        """The resource name `approvals/{approval}`."""
        return f"approvals/{self.approval_id}"

    def is_of(self, issuer: str, subject: str) -> bool:
        """Says whether this is exactly its subject."""
        return (self.subject_issuer, self.subject_id) == (issuer, subject)

    def at(self, now: datetime) -> "Approval":
        """Returns it as it stands at a time: nobody decided, or nobody collected it, in time."""
        late = self.lapse_time if self.state is ApprovalState.PENDING else self.valid_until
        waits = self.state in {ApprovalState.PENDING, ApprovalState.APPROVED}
        if self.kind is ApprovalKind.BEFORE and waits and late is not None and now >= late:
            return replace(self, state=ApprovalState.LAPSED)
        return self

    def satisfies(self, need: ApprovalNeed) -> bool:
        """Says whether enough different people said yes for a need, which may have changed since it was asked."""
        yes = [vote for vote in self.votes if vote.approved]
        others = [vote for vote in yes if not self.is_of(vote.approver_issuer, vote.approver_id)]
        enough = all(
            sum(bool(set(vote.groups) & set(wanted.groups)) for vote in others) >= wanted.min_approvers
            for wanted in need.requirements
        )
        return enough and (not need.by_subject or len(others) < len(yes))

    def after(self, vote: Vote, digest: str) -> "Approval | Denied":
        """Returns it with one more vote of somebody who may decide, or why that is not taken.

        It may be too late, once too often, or about something else.
        """
        stands = self.at(vote.time)
        if stands.state is not ApprovalState.PENDING:
            return closed(stands)
        if digest != self.digest:
            return _changed("this is not the digest of what the approval asks: look at it again, then decide")
        if any(vote.handles & earlier.handles for earlier in self.votes):
            return Denied(Reason.APPROVAL_DECIDED, "you have decided this approval already: one vote a person")
        voted = replace(self, votes=(*self.votes, vote))
        if not vote.approved:
            return replace(voted, state=ApprovalState.REFUSED, decide_time=vote.time)
        if not voted.satisfies(self.need):
            return voted
        until = vote.time + self.need.valid if self.kind is ApprovalKind.BEFORE else None
        return replace(voted, state=ApprovalState.APPROVED, decide_time=vote.time, valid_until=until)


def approval_digest(
    *,
    session_policy: str,
    role_arn: str,
    subject: tuple[str, str],
    actor_id: str,
    task_id: str,
    duration: timedelta,
) -> str:
    """Returns SHA-256, hex, over everything that is approved: a change of any of it is another question."""
    content = canonical_json(
        {
            "session_policy": session_policy,
            "role": role_arn,
            "subject": list(subject),
            "actor": actor_id,
            "task": task_id,
            "duration_seconds": int(duration.total_seconds()),
        }
    )
    return hashlib.sha256(content.encode()).hexdigest()


def closed(approval: Approval) -> Denied:
    """Returns why nothing more can come of an approval, to whoever decides or collects it."""
    match approval.state:
        case ApprovalState.REFUSED:
            return Denied(Reason.APPROVAL_REFUSED, "a person refused this: no credentials are issued for it")
        case ApprovalState.LAPSED:
            return lapsed("it was not decided and used in time, or its task or its subject's rights ended")
        case ApprovalState.VOID:
            return _changed("what would be issued is no longer what people were asked about: ask with a new request_id")
        case _:
            return Denied(Reason.APPROVAL_DECIDED, "this approval is decided already: there is nothing left to say")


def lapsed(why: str) -> Denied:
    """Returns the refusal of what waited too long, or for what is over."""
    message = f"the approval lapsed ({why}): ask with a new request_id"
    return Denied(Reason.APPROVAL_LAPSED, message, Refusal(remedy=Remedy.ASK_APPROVAL))


def _changed(message: str) -> Denied:
    return Denied(Reason.APPROVAL_CHANGED, message, Refusal(remedy=Remedy.ASK_APPROVAL))


def changed() -> Denied:
    """Returns the refusal of what is not what people said yes to."""
    return _changed("what would be issued is not what people said yes to: ask with a new request_id")
