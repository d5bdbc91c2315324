"""Tools on AWS for Google's Agent Development Kit: `runner.run_async(..., run_config=run_config(aws))` brings the task.

A session's state is written down by the session service, so the task itself never goes there: the run's configuration
has a handle that means nothing outside of this process, and nothing once the run is over.
"""

import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from remit.frameworks.core import asking, tools
from remit.frameworks.core.answers import Answer
from remit.frameworks.core.installed import needs
from remit.frameworks.core.run_task import RunTask

with needs("google-adk", "google.adk"):
    from google.adk.agents.run_config import RunConfig
    from google.adk.tools import FunctionTool, ToolContext

__all__ = ["RunTask", "aws_tool", "request_aws_access", "run_config", "run_task"]

_KEY = "remit_run"
_running: WeakValueDictionary[str, RunTask] = WeakValueDictionary()


def run_config(aws: RunTask, usual: RunConfig | None = None) -> RunConfig:
    """Returns the configuration for one run with this task; `usual` is what it has besides."""
    handle = secrets.token_hex(16)
    _running[handle] = aws
    config = usual or RunConfig()
    return config.model_copy(update={"custom_metadata": {**(config.custom_metadata or {}), _KEY: handle}})


def run_task(context: ToolContext) -> RunTask:
    """Returns the task of a tool's run, for tools in ADK's own manner; RuntimeError where the run was given none."""
    return tools.run_task_of(_places(context))


def _places(context: ToolContext) -> Iterable[Any]:
    """Yields the task of the context's run."""
    config = context.run_config
    handle = ((config.custom_metadata if config else None) or {}).get(_KEY)
    yield _running.get(handle) if isinstance(handle, str) else None


def _answered(answer: Answer) -> Answer:
    """Returns the answer as it is: ADK's tools return dictionaries."""
    return answer


_ADK = tools.Framework("tool_context", ToolContext, _places, _answered, threaded=True)


def aws_tool(
    function: Callable[..., Any] | None = None,
    *,
    allow: tools.Need = None,
    duration: timedelta | float | None = None,
    **options: Any,
) -> Any:
    """Makes an ADK tool of a function; `options` are those of `google.adk.tools.FunctionTool`.

    What the function takes, and `allow` and `duration`, are as `remit.frameworks.core.tools.tool_function` says. Plain
    functions run in a thread, so that their calls do not hold up the event loop.
    """

    def make(function: Callable[..., Any]) -> FunctionTool:
        return FunctionTool(tools.tool_function(_ADK, function, allow=allow, duration=duration), **options)

    return make if function is None else make(function)


request_aws_access = aws_tool(asking.request_aws_access)
