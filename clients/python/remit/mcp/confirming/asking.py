"""Asking the user by way of the MCP client: a URL to open (elicitation in URL mode), never a form in the chat."""

from typing import Any, Final, Literal

from mcp.server.mcpserver import Context
from mcp_types import ClientCapabilities, ElicitRequest, ElicitRequestURLParams, InputRequiredResult
from mcp_types.version import is_version_at_least

from remit.errors import ApprovalPending
from remit.local.broker import Held
from remit.mcp.confirming.confirmation import Confirmation

QUESTION: Final = "confirm"
IN_RESULTS_SINCE: Final = "2026-07-28"  # before it, a server asks by a request of its own in the midst of a call


async def asked_of_the_user(
    confirmation: Confirmation | None, ctx: Context[Any, Any], held: Held, pending: ApprovalPending
) -> InputRequiredResult | Literal[True] | None:
    """Asks the user to open the page and confirm there.

    Returns what to answer the client with so that it asks; True once the user went there; None where nobody can be
    asked in this way: the client cannot, or no page is set up.
    """
    if confirmation is None or not _can_open_urls(ctx.client_capabilities):
        return None
    if ctx.input_responses is not None:
        return True  # the client comes back from having asked
    message = f"Confirm in person, after signing in afresh: {held.wish.purpose}"
    if is_version_at_least(ctx.protocol_version or "", IN_RESULTS_SINCE):
        question = ElicitRequest(params=ElicitRequestURLParams(message=message, url=confirmation.url(pending.approval)))
        return InputRequiredResult(input_requests={QUESTION: question}, request_state=held.handle)
    answer = await ctx.elicit_url(message, confirmation.url(pending.approval), held.handle)
    return True if answer.action == "accept" else None


def is_declined(ctx: Context[Any, Any]) -> bool:
    """Says whether the user was asked and did not want to go there."""
    answer = (ctx.input_responses or {}).get(QUESTION)
    return answer is not None and getattr(answer, "action", None) != "accept"


def _can_open_urls(capabilities: ClientCapabilities | None) -> bool:
    elicitation = capabilities.elicitation if capabilities else None
    return elicitation is not None and elicitation.url is not None
