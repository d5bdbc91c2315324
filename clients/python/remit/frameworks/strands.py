"""Tools on AWS for Strands Agents: `agent(..., invocation_state={"aws": aws})` brings the run's task to them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from remit.frameworks.core import asking, tools
from remit.frameworks.core.answers import Answer, text_of_answer
from remit.frameworks.core.installed import needs
from remit.frameworks.core.run_task import RunTask

with needs("strands-agents", "strands"):
    from strands import ToolContext, tool
    from strands.types.tools import AgentTool

__all__ = ["RunTask", "aws_tool", "request_aws_access"]


def _answered(answer: Answer) -> dict[str, Any]:
    """Returns a tool result that failed, in the shape of Strands."""
    return {"status": "error", "content": [{"text": text_of_answer(answer)}]}


_STRANDS = tools.Framework("tool_context", ToolContext, lambda context: [context.invocation_state], _answered)


def aws_tool(
    function: Callable[..., Any] | None = None,
    *,
    allow: tools.Need = None,
    duration: timedelta | float | None = None,
    **options: Any,
) -> Any:
    """Makes a Strands tool of a function; `options` are those of `strands.tool`.

    What the function takes, and `allow` and `duration`, are as `remit.frameworks.core.tools.tool_function` says.
    """

    def make(function: Callable[..., Any]) -> AgentTool:
        made = tools.tool_function(_STRANDS, function, allow=allow, duration=duration)
        return tool(context=_STRANDS.context, **options)(made)

    return make if function is None else make(function)


request_aws_access = aws_tool(asking.request_aws_access)
