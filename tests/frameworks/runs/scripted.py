"""What a scripted model says, in any framework: the next turn from the results of the tools that it has been shown."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Turn = list["Call"] | str
"""The tools that the model calls, or what it says last."""


@dataclass(frozen=True)
class Call:
    """A tool call; `id` is made by the script."""

    tool: str
    arguments: dict[str, Any]
    id: str = ""

    @property
    def json(self) -> str:
        """The arguments as models write them."""
        return json.dumps(self.arguments)


@dataclass
class Scripted:
    """A model's part: `turns` takes the texts of all tool results so far. `seen` is all that the model was shown."""

    turns: Callable[[list[str]], Turn]
    seen: list[str] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def turn(self, shown: str, results: list[str]) -> Turn:
        """Returns what the model says after it was shown this."""
        self.seen.append(shown)
        said = self.turns(results)
        if isinstance(said, str):
            return said
        return [Call(call.tool, call.arguments, f"call_{next(self._ids)}") for call in said]
