"""Reads YAML as plain data in which nothing can be misread: what people mean by YAML, and not what it may also mean.

YAML 1.1 and 1.2 readers disagree about `no`, `0o17`, `1:30` or a date, so those must be quoted here; aliases, tags and
repeated keys are refused. What is left reads the same in every engine.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_DEPTH: Final = 32
_LINES_TO_DEPTH: Final = 5
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,15})\.[0-9]{1,15}")
_WORDS: Final = {"true": True, "false": False, "null": None}
# Each of these is a string to one YAML reader and something else to another.
_AMBIGUOUS = re.compile(
    r"~|(?i:y|n|yes|no|on|off|true|false|null|[-+]?\.inf|\.nan)|=|<<"
    r"|[-+.]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]*)?|0[xXoObB][0-9a-fA-F_]*|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"
)

Path = tuple[str | int, ...]


class MalformedYaml(ValueError):  # noqa: N818 - named for what it says
    """The text is not YAML as this gateway reads it; `line` counts from 1."""

    def __init__(self, why: str, line: int | None) -> None:
        super().__init__(why)
        self.line = line


def strict_yaml(text: str, *, lines_to_depth: int = _LINES_TO_DEPTH) -> tuple[Any, dict[Path, int]]:
    """Returns the value of one YAML document and the line on which each of its upper values starts.

    The lines go so deep and no deeper: for a large catalogue they take more room than the catalogue.

    Raises MalformedYaml for anything two readers could understand differently.
    """
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER), lines_to_depth).document()
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        why = getattr(wrong, "problem", None) or "cannot be read"
        raise MalformedYaml(f"not YAML: {why}", mark.line + 1 if mark else None) from None


class _Composer:
    """Builds values from parser events, in one pass."""

    def __init__(self, events: Iterator[Event], lines_to_depth: int) -> None:
        self._events = events
        self._lines_to_depth = lines_to_depth
        self._lines: dict[Path, int] = {}

    def document(self) -> tuple[Any, dict[Path, int]]:
        """Returns the only document of the stream."""
        next(self._events)  # the stream starts
        if not isinstance(next(self._events), DocumentStartEvent):
            return None, {}  # and ends: an empty file
        value = self._value(next(self._events), ())
        while isinstance(extra := next(self._events), DocumentEndEvent):
            pass
        if isinstance(extra, DocumentStartEvent):
            raise MalformedYaml("holds more than one document", _line(extra))
        return value, self._lines

    def _value(self, event: Event, path: Path) -> Any:
        """Returns the value that starts with this event."""
        if len(path) > MAX_DEPTH:
            raise MalformedYaml(f"nested deeper than {MAX_DEPTH} levels", _line(event))
        if len(path) <= self._lines_to_depth:
            self._lines[path] = _line(event)
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise MalformedYaml("anchors and aliases are refused: write the value out", _line(event))
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if getattr(event, "tag", None):
            raise MalformedYaml("tags are refused: write plain data", _line(event))
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        raise MalformedYaml("not plain data", _line(event))

    def _sequence(self, path: Path) -> list[Any]:
        """Returns the list whose start was just read."""
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        """Returns the mapping whose start was just read; its keys are strings, each there once."""
        members: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = _scalar(event) if isinstance(event, ScalarEvent) and not event.anchor else None
            if not isinstance(key, str):
                raise MalformedYaml("a key must be a plain string: quote it", _line(event))
            if key in members:
                raise MalformedYaml(f"the key {key!r} stands twice", _line(event))
            members[key] = self._value(next(self._events), (*path, key))
            if len(path) < self._lines_to_depth:
                self._lines[*path, key] = _line(event)
        return members


def _scalar(event: ScalarEvent) -> Any:
    """Returns a string, a boolean, null, or a plain decimal number."""
    if event.tag:
        raise MalformedYaml("tags are refused: write plain data", _line(event))
    text = event.value
    if not event.implicit[0]:
        return text  # quoted, or a block: always a string
    if text == "":
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and text != "-0":
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if _AMBIGUOUS.fullmatch(text):
        raise MalformedYaml(f"{text!r} means different things to different readers: quote it", _line(event))
    return text


def _line(event: Event) -> int:
    """Returns the line on which an event starts, from 1."""
    mark = event.start_mark
    return mark.line + 1 if mark else 1
