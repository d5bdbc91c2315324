"""An explanation: the same three sentences for a person on a terminal, a program and a model."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Explanation:
    """What failed, why, and what to do; `more` are further facts, `reason` is stable."""

    reason: str
    what: str
    why: str = ""
    todo: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def text(self) -> str:
        """Returns it for a terminal."""
        lines = [f"{self.reason}: {self.what}"]
        lines += [f"  why: {self.why}"] if self.why else []
        lines += [f"  {fact}" for fact in self.more]
        lines += [f"  what to do: {step}" for step in self.todo]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON takes it."""
        return {
            "reason": self.reason,
            "what": self.what,
            "why": self.why,
            "todo": list(self.todo),
            "more": list(self.more),
        }
