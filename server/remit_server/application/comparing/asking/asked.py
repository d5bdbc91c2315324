"""Asks both policies the same, each question once, several at a time; a policy without an answer is a doubt."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from remit_server.application.comparing.ports import Answers
from remit_server.domain.administration import AdminDecision
from remit_server.domain.decision import Decision, DecisionInput
from remit_server.domain.errors import Outage

MOST_QUESTIONS: Final = 40_000
AT_ONCE: Final = 32
Answer = TypeVar("Answer", Decision, AdminDecision)


@dataclass(slots=True)
class Asked:
    """Both policies, with what they were asked already; at the most so many questions in all."""

    before: Answers
    after: Answers
    most: int = MOST_QUESTIONS
    questions: int = 0
    left_out: int = 0
    _known: dict[str, tuple[Decision | Outage, Decision | Outage]] = field(default_factory=dict)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def decide(self, question: DecisionInput) -> tuple[Decision | Outage, Decision | Outage] | None:
        """Returns both answers, an Outage in place of one that failed; None when no more may be asked."""
        if question.text not in self._known:
            if not self._counted():
                return None
            self._known[question.text] = await self._both(self.before.decide, self.after.decide, question)
        return self._known[question.text]

    async def administer(self, question: DecisionInput) -> tuple[AdminDecision | Outage, AdminDecision | Outage] | None:
        """Does as `decide` does, for the security side."""
        if not self._counted():
            return None
        return await self._both(self.before.administer, self.after.administer, question)

    def _counted(self) -> bool:
        """Says whether one more question may be asked, and counts it either way."""
        if self.questions >= self.most:
            self.left_out += 1
            return False
        self.questions += 1
        return True

    async def _both(
        self,
        before: Callable[[DecisionInput], Awaitable[Answer]],
        after: Callable[[DecisionInput], Awaitable[Answer]],
        question: DecisionInput,
    ) -> tuple[Answer | Outage, Answer | Outage]:
        async with self._turns:
            then, now = await asyncio.gather(_answer(before, question), _answer(after, question))
        return then, now


async def _answer(ask: Callable[[DecisionInput], Awaitable[Answer]], question: DecisionInput) -> Answer | Outage:
    """Returns the answer, or the outage in its place."""
    try:
        return await ask(question)
    except Outage as outage:
        return outage
