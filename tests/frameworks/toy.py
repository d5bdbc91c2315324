"""A framework as small as can be: its context carries the run's task, and its tools are plain functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from remit.frameworks.core.answers import text_of_answer
from remit.frameworks.core.tools import Framework, tool_function


@dataclass
class ToyContext:
    """What the toy hands to its tools."""

    deps: Any


TOY = Framework("ctx", ToyContext, lambda ctx: [ctx.deps], text_of_answer)
THREADED = Framework("ctx", ToyContext, lambda ctx: [ctx.deps], text_of_answer, threaded=True)


def toy_tool(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Makes a tool of the toy."""
    return tool_function(TOY, function, **options)
