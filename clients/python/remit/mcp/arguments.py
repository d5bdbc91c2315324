"""What is wrong with a call's arguments, told as every other failure is: the field, its rule, and an example."""

from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, InputRequiredResult
from pydantic import ValidationError

from remit.errors import FieldViolation, InvalidRequest
from remit.mcp.answers import bad

MOST_TOLD: Final = 5
EXAMPLES: Final = {
    "purpose": '"summarise the reports of Q3"',
    "allow": '["read s3://bucket/prefix/*"]',
    "duration_seconds": "900",
    "narrow": "true",
    "labels": '{"ticket": "OPS-12"}',
    "wait_seconds": "60",
    "denial": '"CEILING_EXCEEDED"',
    "handle": "the handle that request_aws_access gave",
}


class Server(MCPServer[Any]):
    """An MCP server that answers malformed arguments with INVALID_REQUEST instead of its library's own text."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Calls a tool; what is wrong with its arguments is a result that the model can act on."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            return bad(_invalid(error.__cause__))


def _invalid(error: ValidationError) -> InvalidRequest:
    """Returns which fields break which rules; never their values."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    violations = tuple(_violation(one["loc"], one["msg"]) for one in found[:MOST_TOLD])
    return InvalidRequest("; ".join(map(str, violations)), reason="INVALID_REQUEST", violations=violations)


def _violation(place: tuple[int | str, ...], rule: str) -> FieldViolation:
    # A place within `labels` ends with a key that is the caller's data, so the field alone is named.
    field = str(place[0]) if place else ""
    example = EXAMPLES.get(field)
    told = rule[:1].lower() + rule[1:]
    return FieldViolation(field, f"{told}, such as {field} = {example}" if example else told)
