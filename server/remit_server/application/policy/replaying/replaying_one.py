"""Replays one recorded decision on a candidate and says how its answer differs from the one on record."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from remit_server.application.issuing.hearing import policy_denied
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.circumstances import Circumstances, circumstances_of
from remit_server.application.planning.deliberation import planned_as_live
from remit_server.application.planning.plan_session import Plan, Planner
from remit_server.application.policy.deciding.redeciding import Redecided, redecide
from remit_server.application.policy.ports import Judge, Outcome, RecordedDecision
from remit_server.application.policy.replaying.answers import Answer, why_refused
from remit_server.application.policy.replaying.differences import Difference, Finding
from remit_server.application.policy.replaying.outcomes import compared_outcomes
from remit_server.application.policy.replaying.reach import Reach
from remit_server.domain.audit import bounded
from remit_server.domain.decision import Allow, Decision, DecisionInput, Deny, KeptText, permission_of
from remit_server.domain.errors import Denied, Outage, Reason, RemitError

ReadDecision = Callable[[str], Decision]  # of the canonical text; raises Outage for what is none


class Verdict(StrEnum):
    """How a replay of one decision ended.

    IDENTICAL: the same bytes. SAME: other bytes that mean the same. The last five were not compared: their texts were
    erased or not kept, policy gave no decision then, or under ceilings that nobody has any more.
    """

    IDENTICAL = "IDENTICAL"
    SAME = "SAME"
    DIFFERENT = "DIFFERENT"
    FAILED = "FAILED"
    ERASED = "ERASED"
    NOT_KEPT = "NOT_KEPT"
    UNREADABLE = "UNREADABLE"
    NO_DECISION = "NO_DECISION"
    NO_CEILINGS = "NO_CEILINGS"


COMPARED = frozenset({Verdict.IDENTICAL, Verdict.SAME, Verdict.DIFFERENT, Verdict.FAILED})


@dataclass(frozen=True, slots=True)
class Replayed:
    """How one replay ended, and every difference.

    `partly` says that only policy's yes or no was compared. `elsewhere` says that the request was refused by what no
    policy decides, so that only its reach was compared; `unrepeated` that the recorded decision itself does not give
    the recorded outcome any more, under these ceilings and this version.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    partly: bool = False
    elsewhere: bool = False
    unrepeated: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """What is planned and compared with under one set of ceilings."""

    planner: Planner
    reach: Reach

    @classmethod
    def under(cls, ceilings: Ceilings) -> "Bench":
        """Returns one for these ceilings."""
        return cls(Planner(ceilings), Reach(ceilings))


@dataclass(frozen=True, slots=True)
class ReplayOne:
    """Replays decisions on one candidate. Ceilings are those given here, or found by the digest that records name."""

    judge: Judge
    read_decision: ReadDecision
    ceilings: Callable[[str], Ceilings | None]
    _benches: dict[str, Bench] = field(default_factory=dict, init=False, repr=False)

    async def __call__(self, recorded: RecordedDecision) -> Replayed:
        """Returns how it ended; raises nothing that a candidate can bring about."""
        if recorded.question is None or recorded.erased:
            return Replayed(Verdict.ERASED if recorded.erased else Verdict.NOT_KEPT)
        if recorded.circumstances is None:
            return await self._partly(recorded, recorded.question)
        if recorded.decision is None:
            return Replayed(Verdict.NO_DECISION)
        try:
            case = self._case(recorded, recorded.question, recorded.circumstances, recorded.decision)
            return Replayed(Verdict.NO_CEILINGS) if case is None else await self._whole(case)
        except ValueError:
            return Replayed(Verdict.UNREADABLE)

    def _case(
        self, recorded: RecordedDecision, question: DecisionInput, circumstances: KeptText, decision: KeptText
    ) -> "_Case | None":
        """Reads the kept texts; None where there are no ceilings for them. Raises ValueError for none of ours."""
        try:
            decided = self.read_decision(decision.text)
        except Outage as unreadable:
            raise ValueError("the decision on record is none") from unreadable
        bench = self._bench(recorded.ceiling_digest)
        if bench is None:
            return None
        return _Case(recorded, question, circumstances_of(circumstances.text), decided, bench)

    async def _whole(self, case: "_Case") -> Replayed:
        """Decides again and compares."""
        try:
            again = await redecide(self.judge, case.bench.planner, case.question, case.circumstances)
        except Outage as outage:
            return failed(outage)
        return case.compared(again)

    def _bench(self, digest: str) -> Bench | None:
        """Returns what to plan and compare with, made once for each set of ceilings; None where there are none."""
        bench = self._benches.get(digest)
        if bench is None and (ceilings := self.ceilings(digest)) is not None:
            bench = self._benches[digest] = Bench.under(ceilings)
        return bench

    async def _partly(self, recorded: RecordedDecision, question: DecisionInput) -> Replayed:
        """Compares policy's yes or no alone: of an earlier version's records nothing else can be decided again."""
        try:
            decision = await self.judge.decide(question)
        except Outage as outage:
            return failed(outage, partly=True)
        was, found = recorded.outcome, tuple[Finding, ...]()
        match decision:
            case Deny() if not was.reason:
                answer = Answer(decision, policy_denied(decision), approved=False, now=recorded.time)
                reasons = tuple(f"would be {one}" for one in why_refused(answer))
                found = (Finding(Difference.NEWLY_REFUSED, was.role_arn, reasons=(*reasons, *_by(was))),)
            case Allow() if was.reason == Reason.POLICY_DENIED:
                reasons = ("was POLICY_DENIED", "policy allows it; whether the intent fits was not looked at")
                found = (Finding(Difference.NEWLY_ALLOWED, reasons=reasons),)
            case _:
                pass
        return Replayed(Verdict.DIFFERENT if found else Verdict.SAME, found, partly=True)


def failed(outage: Outage, *, partly: bool = False) -> Replayed:
    """Returns the replay of an input on which a candidate gives no usable decision, with the cause."""
    why = getattr(outage, "why", "") or outage.message
    reasons = [str(why)]
    if isinstance(outage.__cause__, LookupError):
        reasons = [f"it names a role that the ceilings do not have: {outage.__cause__.args[0]}"]
    finding = Finding(Difference.FAILED, reasons=tuple(one[:_MOST_WHY] for one in reasons))
    return Replayed(Verdict.FAILED, (finding,), partly=partly)


_MOST_WHY = 300


@dataclass(frozen=True, slots=True)
class _Case:
    """One decision as it was, and what it is planned again with."""

    recorded: RecordedDecision
    question: DecisionInput
    circumstances: Circumstances
    decided: Decision
    bench: Bench

    def compared(self, again: Redecided) -> Replayed:
        """Compares the answer on record, planned anew where the candidate decides otherwise, with the new one."""
        is_equal = self._is_equal(again)
        baseline = again.outcome if is_equal else self._planned()
        was = self.recorded.outcome
        elsewhere = bool(was.reason) and not isinstance(baseline, RemitError)
        unrepeated = not elsewhere and not _is_on_record(was, baseline)
        findings = () if is_equal else self._findings(baseline, again, elsewhere=elsewhere)
        same = Verdict.IDENTICAL if is_equal and not unrepeated else Verdict.SAME
        verdict = Verdict.DIFFERENT if findings else same
        return Replayed(verdict, findings, elsewhere=elsewhere, unrepeated=unrepeated)

    def _is_equal(self, again: Redecided) -> bool:
        """Says whether policy was asked and answered the very same bytes, of which the same comes."""
        kept = self.recorded.decision
        is_same = kept is not None and again.decision is not None and again.decision.kept.text == kept.text
        return is_same and again.question.text == self.question.text

    def _findings(self, baseline: Plan | RemitError, again: Redecided, *, elsewhere: bool) -> tuple[Finding, ...]:
        """Returns every difference; what was refused elsewhere would be again."""
        approved, now = self.circumstances.approval_end is not None, self.circumstances.now
        before = Answer(self.decided, baseline, approved=approved, now=now)
        after = Answer(again.decision, again.outcome, approved=approved, now=now)
        found = () if elsewhere else compared_outcomes(before, after)
        return found if again.decision is None else (*found, *self.bench.reach(self.decided, again.decision))

    def _planned(self) -> Plan | RemitError:
        """Returns what came of the recorded decision; raises ValueError for a question that is none of a gateway's."""
        if isinstance(self.decided, Deny):
            return policy_denied(self.decided)
        try:
            asked = json.loads(self.question.text)["intent"]["permissions"]
            wish = self.circumstances.wish(tuple(permission_of(one) for one in asked))
        except (KeyError, TypeError) as wrong:
            raise ValueError("the question holds no intent") from wrong
        try:
            return planned_as_live(self.bench.planner, wish, self.decided)
        except (Denied, Outage) as refused:
            return refused


def _is_on_record(was: Outcome, outcome: Plan | RemitError) -> bool:
    """Says whether this is what was recorded, byte for byte."""
    if isinstance(outcome, RemitError):
        return (was.reason, was.message) == (outcome.reason.value, bounded(outcome.message))
    policy = outcome.endless_policy if was.waits else outcome.session_policy
    recorded = (was.role_arn, was.entitlements, was.session_policy)
    return not was.reason and recorded == (outcome.role.arn, outcome.entitlements, policy)


def _by(was: Outcome) -> tuple[str, ...]:
    return (f"was by {', '.join(was.entitlements)}",) if was.entitlements else ()
