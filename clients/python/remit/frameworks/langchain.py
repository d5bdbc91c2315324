"""Tools on AWS for LangChain and LangGraph: `graph.invoke(..., context=aws)` brings the run's task to them.

Where there is no graph it is `config={"configurable": {"aws": aws}}`.
"""

import inspect
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from remit.frameworks.core import asking, tools
from remit.frameworks.core.answers import text_of_answer
from remit.frameworks.core.installed import needs
from remit.frameworks.core.run_task import RunTask

with needs("langchain-core", "langchain_core"):
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseTool, StructuredTool

__all__ = ["RunTask", "aws_tool", "request_aws_access"]


def _places(config: RunnableConfig) -> Iterable[Any]:
    """Yields where a run's task may be: the graph's runtime context, then the configurable values."""
    try:
        from langgraph.runtime import get_runtime  # noqa: PLC0415 - chains do without LangGraph

        yield get_runtime().context
    except (ImportError, RuntimeError, AttributeError):
        pass  # not within a graph
    yield config.get("configurable", {})


_LANGCHAIN = tools.Framework("config", RunnableConfig, _places, text_of_answer)


def aws_tool(
    function: Callable[..., Any] | None = None,
    *,
    allow: tools.Need = None,
    duration: timedelta | float | None = None,
    **options: Any,
) -> Any:
    """Makes a LangChain tool of a function; `options` are those of `StructuredTool.from_function`.

    What the function takes, and `allow` and `duration`, are as `remit.frameworks.core.tools.tool_function` says.
    """

    def make(function: Callable[..., Any]) -> BaseTool:
        made = tools.tool_function(_LANGCHAIN, function, allow=allow, duration=duration)
        kind = "coroutine" if inspect.iscoroutinefunction(made) else "func"
        parsed = {"parse_docstring": True, "error_on_invalid_docstring": False}
        return StructuredTool.from_function(**{kind: made}, **(parsed | options))

    return make if function is None else make(function)


request_aws_access = aws_tool(asking.request_aws_access)
