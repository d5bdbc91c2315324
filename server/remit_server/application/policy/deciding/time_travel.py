"""Decides again what is on record, and holds what comes of it to the record, byte for byte."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from remit_server.application.attenuation.attenuate_credentials import METHOD as ATTENUATING
from remit_server.application.lifecycle.renew_credentials import METHOD as RENEWING
from remit_server.application.planning.circumstances import circumstances_of
from remit_server.application.planning.plan_session import Plan, Planner
from remit_server.application.policy.deciding.redeciding import Redecided, redecide
from remit_server.application.policy.ports import Judge
from remit_server.domain.audit import GrantAuthorized, PreviewDecided, RequestRefused, bounded
from remit_server.domain.decision import DecisionInput, KeptText, canonical_json
from remit_server.domain.errors import Denied, InvalidRequest, Reason, RemitError
from remit_server.domain.lifecycle_records import ApprovalAsked, RenewalAuthorized

DECIDED: Final = (
    GrantAuthorized.kind,
    RenewalAuthorized.kind,
    ApprovalAsked.kind,
    RequestRefused.kind,
    PreviewDecided.kind,
)
"""The kinds of records that tell of a decision."""

_OF_PLANNING: Final = frozenset(
    {
        *(Reason.POLICY_DENIED, Reason.CEILING_EXCEEDED, Reason.NEVER_ISSUABLE),
        *(Reason.INTENT_TOO_LARGE, Reason.INTENT_SPANS_ROLES),
    }
)


class Verdict(StrEnum):
    """What came of deciding again."""

    SAME = "same"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Difference:
    """A part of the decision that is another one now: what is on record, and what comes out today."""

    part: str
    recorded: str
    now: str


@dataclass(frozen=True, slots=True)
class OnRecord:
    """A decision as its record tells it; texts that are not kept are None."""

    sequence: int
    kind: str
    body: Mapping[str, Any]
    question: DecisionInput | None = None
    circumstances: KeptText | None = None
    decision: KeptText | None = None
    ceilings: KeptText | None = None

    @property
    def revision(self) -> str:
        """The revision that decided."""
        return str(self.body.get("policy_revision", ""))

    @property
    def lacking(self) -> tuple[str, ...]:
        """What it would take to decide it again and is not there, each as a sentence's part."""
        if not self._named("input"):
            asks_none = self.body.get("method") == ATTENUATING
            return ("attenuating asks no policy" if asks_none else "policy was not asked: it was refused before",)
        if not self._named("circumstances"):
            return ("it was recorded by an earlier version of the gateway, which kept less",)
        if not self._named("decision"):
            return ("policy gave no decision then",)
        kept = {"input": self.question, "circumstances": self.circumstances, "ceilings": self.ceilings}
        return tuple(f"the {name} {_WERE[name]} erased" for name, text in kept.items() if text is None)

    def _named(self, what: str) -> bool:
        return bool(self.body.get(f"{what}_digest"))


_WERE: Final = {"input": "was", "circumstances": "were", "ceilings": "were"}


@dataclass(frozen=True, slots=True)
class Again:
    """What came of deciding a record again: the same, what differs, or what it lacks.

    `beside` is why a request was refused whose decision was no refusal: for what was found beside it.
    """

    sequence: int
    kind: str
    revision: str
    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    lacking: tuple[str, ...] = ()
    beside: str = ""


def not_again(on_record: OnRecord, *why: str) -> Again:
    """Returns that a record cannot be decided again, and what it lacks."""
    lacking = why or on_record.lacking
    return Again(on_record.sequence, on_record.kind, on_record.revision, Verdict.UNKNOWN, lacking=lacking)


async def decide_again(judge: Judge, planner: Planner, on_record: OnRecord) -> Again:
    """Decides a record again by the revision and the ceilings that decided it, and compares every byte of it."""
    question, kept = on_record.question, on_record.circumstances
    if on_record.lacking or question is None or kept is None:
        return not_again(on_record)
    changed = tuple(_changed_texts(on_record))
    try:
        found = await redecide(judge, planner, question, circumstances_of(kept.text))
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        return _unreadable(on_record, changed, str(wrong) if isinstance(wrong, ValueError) else _NO_TEXT)
    except RemitError as failed:
        return _unreadable(on_record, changed, f"{failed.reason.value}: {failed.message}")
    differences = (*changed, *_differences(on_record, found))
    beside = _beside(on_record.body, found.outcome) if on_record.kind == RequestRefused.kind else ""
    verdict = Verdict.DIFFERS if differences else Verdict.SAME
    return Again(on_record.sequence, on_record.kind, on_record.revision, verdict, differences, beside=beside)


_NO_TEXT: Final = "what is kept of it is not what a gateway keeps"


def _unreadable(on_record: OnRecord, changed: tuple[Difference, ...], why: str) -> Again:
    """Returns that nothing comes of a record: for what was changed of it, or for another reason."""
    if not changed:
        return not_again(on_record, why)
    return Again(on_record.sequence, on_record.kind, on_record.revision, Verdict.DIFFERS, changed, (why,))


def _changed_texts(on_record: OnRecord) -> Iterator[Difference]:
    """Yields the texts beside the chain that are not those which the record names."""
    kept = {"input": on_record.question, "circumstances": on_record.circumstances, "decision": on_record.decision}
    for name, text in kept.items():
        named = str(on_record.body[f"{name}_digest"])
        if text is not None and text.digest != named:
            yield Difference(f"the digest of the kept {name}", named, text.digest)


def _differences(on_record: OnRecord, found: Redecided) -> Iterator[Difference]:
    """Yields what is not as it is on record."""
    body = on_record.body
    if found.question.digest != body["input_digest"]:
        yield Difference("input", body["input_digest"], found.question.digest)
    decision = found.decision.kept if found.decision else None
    if decision is None or decision.digest != body["decision_digest"]:
        before = on_record.decision.text if on_record.decision else body["decision_digest"]
        yield Difference("decision", before, decision.text if decision else "none")
    if on_record.kind == RequestRefused.kind and _beside(body, found.outcome):
        return
    expected = _expected(on_record, found.outcome)
    for name, value in expected.items():
        if name in body and body[name] != value:
            yield Difference(name, _shown(body[name]), _shown(value))


def _expected(on_record: OnRecord, outcome: Plan | Denied | InvalidRequest) -> dict[str, Any]:
    """Returns the fields of a record that this outcome determines, as the record would have them."""
    if not isinstance(outcome, Plan):
        return _refusal(on_record.kind, outcome)
    if on_record.kind == RequestRefused.kind:
        return {"reason": "", "message": ""}
    if on_record.kind == PreviewDecided.kind:
        return _common(outcome) | {"allowed": True, "reason": ""}
    if on_record.kind == ApprovalAsked.kind:
        need = outcome.approval or outcome.review
        return _common(outcome) | {
            "session_policy": outcome.endless_policy,
            "duration_seconds": int(outcome.duration.total_seconds()),
            "groups": list(need.groups) if need else [],
            "min_approvers": need.min_approvers if need else 0,
            "review": outcome.approval is None,
        }
    return _common(outcome) | {
        "session_policy": outcome.session_policy,
        "expire_time": outcome.expire_time.isoformat(timespec="microseconds"),
        "parent_grant_id": outcome.above.grant_id if outcome.above else "",
    }


def _common(plan: Plan) -> dict[str, Any]:
    """Returns what records of every yes say of its plan."""
    return {
        "role_arn": plan.role.arn,
        "entitlements": list(plan.entitlements),
        "session_policy_digest": plan.session_policy_digest,
        "covers": [bounded(line) for line in plan.covers],
        "unguarded": [bounded(line) for line in plan.unguarded],
        "outlives_task": plan.outlives_task,
        "ceiling_digest": plan.ceiling_digest,
    }


def _refusal(kind: str, refused: Denied | InvalidRequest) -> dict[str, Any]:
    """Returns what a record says of this refusal."""
    if kind == PreviewDecided.kind:
        return {"allowed": False, "reason": refused.reason.value, "role_arn": "", "session_policy_digest": ""}
    if kind != RequestRefused.kind:
        nothing = {"role_arn": "", "entitlements": [], "session_policy": ""}
        return nothing | {"session_policy_digest": ""}
    failures = refused.refusal.failures if isinstance(refused, Denied) else ()
    return {
        "reason": refused.reason.value,
        "message": bounded(refused.message),
        "failures": [[bounded(one.action), bounded(one.resource), bounded(one.rule)] for one in failures],
    }


def _beside(body: Mapping[str, Any], outcome: Plan | Denied | InvalidRequest) -> str:
    """Returns why a request was refused whose decision was a yes, empty where the decision itself was the no.

    What a renewal gives is held to the grant's present credentials as well, and refused by the reasons of planning.
    """
    reason = str(body.get("reason", ""))
    if isinstance(outcome, Plan) and (reason not in _OF_PLANNING or body.get("method") == RENEWING):
        return f"{reason}: {body.get('message', '')}"
    return ""


def _shown(value: Any) -> str:
    """Returns a value of a record as text."""
    return value if isinstance(value, str) else canonical_json(value)
