"""Every stable reason: what it says, and what to do, in the words of the exception that carries it."""

from remit.local.explaining.client_reasons import CLIENT_REASONS
from remit.local.explaining.explanation import Explanation
from remit.local.explaining.gateway_reasons import GATEWAY_REASONS
from remit.local.telling import exit_code, on_a_command_line

REASONS = {**GATEWAY_REASONS, **CLIENT_REASONS}


def explain_reason(reason: str) -> Explanation:
    """Returns what a reason says; KeyError for an unknown one."""
    known = REASONS[reason]
    error = known.carrier(known.what, reason=reason, remedy=known.remedy)
    usual = () if known.is_all else (error.advice, on_a_command_line(error) or "")
    todo = tuple(step for step in (*usual, known.todo) if step)
    return Explanation(reason, known.what, known.why, todo, (f"exit code of remit: {int(exit_code(error))}",))
