"""Tools on AWS for the OpenAI Agents SDK: `Runner.run(..., context=aws)` brings the run's task to them.

A context of a type of your own hands it on as its attribute `aws`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from remit.frameworks.core import asking, tools
from remit.frameworks.core.answers import text_of_answer
from remit.frameworks.core.installed import needs
from remit.frameworks.core.run_task import RunTask

with needs("openai-agents", "agents"):
    from agents import FunctionTool, RunContextWrapper, function_tool

__all__ = ["RunTask", "aws_tool", "request_aws_access"]

_OPENAI = tools.Framework("ctx", RunContextWrapper[Any], lambda ctx: [ctx.context], text_of_answer)


def aws_tool(
    function: Callable[..., Any] | None = None,
    *,
    allow: tools.Need = None,
    duration: timedelta | float | None = None,
    **options: Any,
) -> Any:
    """Makes a function tool of the Agents SDK of a function; `options` are those of `agents.function_tool`.

    What the function takes, and `allow` and `duration`, are as `remit.frameworks.core.tools.tool_function` says.
    """

    def make(function: Callable[..., Any]) -> FunctionTool:
        made = tools.tool_function(_OPENAI, function, allow=allow, duration=duration)
        return function_tool(**options)(made)

    return make if function is None else make(function)


request_aws_access = aws_tool(asking.request_aws_access)
