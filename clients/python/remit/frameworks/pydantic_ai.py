"""Tools on AWS for Pydantic AI: `agent.run(..., deps=aws)` brings the run's task to them.

Dependencies of a type of your own hand it on as their attribute `aws`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from remit.frameworks.core import asking, tools
from remit.frameworks.core.answers import text_of_answer
from remit.frameworks.core.installed import needs
from remit.frameworks.core.run_task import RunTask

with needs("pydantic-ai-slim", "pydantic_ai"):
    from pydantic_ai import RunContext, Tool

__all__ = ["RunTask", "aws_tool", "request_aws_access"]

_PYDANTIC_AI = tools.Framework("ctx", RunContext[Any], lambda ctx: [ctx.deps], text_of_answer)


def aws_tool(
    function: Callable[..., Any] | None = None,
    *,
    allow: tools.Need = None,
    duration: timedelta | float | None = None,
    **options: Any,
) -> Any:
    """Makes a Pydantic AI tool of a function, for `Agent(tools=[...])`; `options` are those of `pydantic_ai.Tool`.

    What the function takes, and `allow` and `duration`, are as `remit.frameworks.core.tools.tool_function` says.
    """

    def make(function: Callable[..., Any]) -> Tool[Any]:
        made = tools.tool_function(_PYDANTIC_AI, function, allow=allow, duration=duration)
        return Tool(made, **({"takes_ctx": True} | options))

    return make if function is None else make(function)


request_aws_access = aws_tool(asking.request_aws_access)
