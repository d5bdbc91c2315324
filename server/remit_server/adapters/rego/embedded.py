"""The policy port on the embedded engine: Rego evaluated in worker processes that can be killed; nothing to install."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from remit_server.adapters.policy.answers.admin_decision import NOBODY, admin_decision_of
from remit_server.adapters.policy.answers.decision import PolicyBusy, PolicyUnavailable, decision_of
from remit_server.adapters.policy.answers.stranger import refuses_a_strange_operator, refuses_a_stranger
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.rego import wire
from remit_server.adapters.rego.checks import ADMIN_ENTRYPOINT, ENTRYPOINT, text_findings
from remit_server.adapters.rego.pipes import EvaluationFailed, WorkerLost
from remit_server.adapters.rego.process import Program, check_rules
from remit_server.adapters.rego.team import RegoTeam, TeamBusy
from remit_server.application.ports import Revision
from remit_server.domain.administration import AdminDecision
from remit_server.domain.decision import Decision, DecisionInput

MAX_QUESTION: Final = 1 << 20
# After the deadline the parent kills the worker; so much later the kernel does, should the parent be gone.
_ALARM_MARGIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How much an evaluation may take, and how many may run and wait.

    `decision_seconds` bounds one evaluation, `wait_seconds` the wait for a free worker, `most_waiting` the queue.
    """

    workers: int = 1
    spares: int = 1
    decision_seconds: float = 0.25
    wait_seconds: float = 1.0
    most_waiting: int = 256
    memory_bytes: int = 512 << 20


class EmbeddedRego:
    """Decides by the bundle it was started with, and by any other that is activated later: one engine per revision."""

    def __init__(self, limits: EngineLimits, bundle: Bundle, team: RegoTeam) -> None:
        self._limits = limits
        self._active = Revision(bundle.revision, bundle.capabilities)
        self._administers = bundle.administers
        self._team = team

    @classmethod
    async def start(cls, bundle: Bundle, limits: EngineLimits | None = None) -> "EmbeddedRego":
        """Returns the engine, warm; raises BundleRefused for a bundle that may not decide."""
        limits = limits or EngineLimits()
        return cls(limits, bundle, await _warm_team(bundle, limits))

    @property
    def active(self) -> Revision:
        """The revision that decides now."""
        return self._active

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of the workers alive: for operators and tests."""
        return self._team.pids

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        """Returns the complete decision of that revision.

        Raises Outage(POLICY_UNAVAILABLE) for anything else, Outage(OVERLOADED) when too many questions wait.
        """
        self._check(revision, question)
        return decision_of(await _answered(self._team, wire.ISSUE, question.text, self._limits))

    async def follow(self, activation: int, /) -> None:
        """Raises Outage: an engine by itself knows of no activations; `ActivePolicy` turns it."""
        raise PolicyUnavailable(f"activation {activation} is not followed by an engine alone")

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        """Returns that revision's complete decision on the security side; it fails as `decide` does."""
        self._check(revision, question)
        if not self._administers:
            return NOBODY
        return admin_decision_of(await _answered(self._team, wire.ADMIN, question.text, self._limits))

    def _check(self, revision: Revision, question: DecisionInput) -> None:
        """Raises PolicyUnavailable for a revision that is not active and for a monstrous question."""
        if revision.digest != self._active.digest:
            raise PolicyUnavailable("the revision asked for is not the active one")
        if len(question.text) > MAX_QUESTION:
            raise PolicyUnavailable("the question is too long")

    async def activate(self, bundle: Bundle) -> None:
        """Loads another bundle beside the active one and swaps them; raises BundleRefused and leaves all as it was."""
        team = await _warm_team(bundle, self._limits)
        before, self._team = self._team, team
        self._active = Revision(bundle.revision, bundle.capabilities)
        self._administers = bundle.administers
        await before.close(grace_seconds=self._limits.wait_seconds + self._limits.decision_seconds)

    async def close(self) -> None:
        """Lets the questions that are asked already be answered, then ends every worker process."""
        await self._team.close(grace_seconds=self._limits.wait_seconds + self._limits.decision_seconds)


async def check_bundle(bundle: Bundle, limits: EngineLimits | None = None) -> tuple[Finding, ...]:
    """Returns advice on a bundle; raises BundleRefused with everything that forbids it to decide."""
    limits = limits or EngineLimits()
    advice: set[Finding] = set()
    # NOTE: the text rules come first: what they refuse must not even reach the parser. And not on the loop: a bundle
    # that was only published is looked at by every process of every gateway, while calls are answered.
    found = await asyncio.to_thread(text_findings, bundle.modules)
    if not found:
        entrypoints = [ENTRYPOINT]
        if bundle.administers:
            entrypoints.append(ADMIN_ENTRYPOINT)
        program = _program(bundle, limits)
        for entrypoint in entrypoints:
            refused, advised = await check_rules(program, entrypoint)
            found += refused
            advice.update(advised)
            program = replace(program, data_json="{}")  # that the data fits is known now, and rules look alike without
    if found:
        raise BundleRefused(sorted(set(found)))
    return tuple(sorted(advice))


async def _warm_team(bundle: Bundle, limits: EngineLimits) -> RegoTeam:
    """Returns the workers of a checked bundle, started, and seen to refuse a stranger."""
    await check_bundle(bundle, limits)
    team = RegoTeam(
        _program(bundle, limits), workers=limits.workers, spares=limits.spares, most_waiting=limits.most_waiting
    )
    await team.start()
    try:
        patient = replace(limits, decision_seconds=max(5.0, limits.decision_seconds))
        await _refuses_strangers(team, patient, administers=bundle.administers)
    except BaseException:
        await team.close()
        raise
    return team


def _program(bundle: Bundle, limits: EngineLimits) -> Program:
    """Returns what the workers of a bundle load: its rules without its tests."""
    return Program(
        bundle.rules, bundle.data_json, limits.memory_bytes, alarm_seconds=limits.decision_seconds + _ALARM_MARGIN
    )


async def _refuses_strangers(team: RegoTeam, limits: EngineLimits, *, administers: bool) -> None:
    """Raises BundleRefused unless the policy refuses nobody everything, on both sides."""

    async def decide(sample: DecisionInput) -> Decision:
        return decision_of(await _answered(team, wire.ISSUE, sample.text, limits))

    async def administer(sample: DecisionInput) -> AdminDecision:
        return admin_decision_of(await _answered(team, wire.ADMIN, sample.text, limits))

    await refuses_a_stranger(decide)
    if administers:
        await refuses_a_strange_operator(administer)


async def _answered(team: RegoTeam, kind: bytes, question: str, limits: EngineLimits) -> str:
    """Returns the value of the rule that this kind of question is for; raises Outage where there is none."""
    try:
        answer = await team.ask(kind, question, seconds=limits.decision_seconds, wait_seconds=limits.wait_seconds)
    except TeamBusy as busy:
        raise PolicyBusy from busy
    except (WorkerLost, EvaluationFailed) as failed:
        raise PolicyUnavailable(str(failed)) from failed
    if answer is None:
        raise PolicyUnavailable("the decision is undefined")
    return answer
