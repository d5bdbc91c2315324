"""How a table of `remit.toml` is described: every key with what it is and how it is written."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def key(what: str, example: str, default: Any = ..., **bounds: Any) -> Any:
    """Describes one key: what it is, and how it is written."""
    return Field(default, description=what, examples=[example], **bounds)


class Table(BaseModel):
    """A table of the file: unknown keys are refused, and a string is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
