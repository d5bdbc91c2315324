"""Rego built-ins as OPA computes them, for the engine that computes them otherwise (runs inside the worker).

regorus' `glob.match` takes ':' for no separator where OPA would and so grants more, its `regex` classes are Unicode
where RE2's are ASCII, and its `lower` maps some characters to several. A policy must mean the same under either.
"""

import functools
from collections.abc import Sequence
from typing import Any, Final

import re2  # type: ignore[import-untyped]

_MAX_PATTERN: Final = 4_096
_LONGEST_REMEMBERED: Final = 512
_STEPS: Final = "/:"  # what parts the steps of an agent's id
_OF_STEPS: Final = list(_STEPS)
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20


def regex_match(pattern: object, value: object) -> bool:
    """Says whether a pattern is found anywhere in a value (OPA `regex.match`: RE2, unanchored).

    Raises ValueError for what is no pattern and no string: the evaluation ends there, and with it any hope of a yes.
    """
    if not isinstance(pattern, str) or not isinstance(value, str):
        raise ValueError("regex.match takes a pattern and a string")  # noqa: TRY004 - one kind of failure for the engine
    return _regex(pattern).search(value) is not None


def glob_match(pattern: object, delimiters: object, value: object) -> bool:
    """Says whether a glob matches a whole value (OPA `glob.match`, gobwas/glob).

    `delimiters` are what `*` and `?` do not cross: null means nothing, an empty list means '.'. Raises ValueError for
    anything that is no glob, and for the escapes inside character classes on which readers of globs disagree.
    """
    if not isinstance(pattern, str) or not isinstance(value, str):
        raise ValueError("glob.match takes a pattern, delimiters and a string")  # noqa: TRY004 - as above
    separators = _separators(delimiters)
    if len(value) > _LONGEST_REMEMBERED:
        return _matches(pattern, separators, value)
    return _remembered(pattern, separators, value)


def lower(value: object) -> str:
    """Returns a string in lower case, one character for one as Go does it."""
    if not isinstance(value, str):
        raise ValueError("lower takes a string")  # noqa: TRY004 - as above
    return "".join("i" if character == "\u0130" else character.lower() for character in value)


def _separators(delimiters: object) -> str:
    """Returns the separators of a glob as one string."""
    if delimiters == _OF_STEPS:
        return _STEPS
    if delimiters is None:
        return ""
    if not isinstance(delimiters, Sequence) or isinstance(delimiters, str):
        raise ValueError("glob.match takes its delimiters as a list or null")  # noqa: TRY004 - as above
    if not all(isinstance(one, str) and len(one) == 1 for one in delimiters):
        raise ValueError("each delimiter of glob.match is one character")
    return "".join(delimiters) or "."


@functools.lru_cache(maxsize=512)
def _regex(pattern: str) -> Any:
    """Returns a compiled RE2 pattern."""
    # NOTE: \C matches one byte; Go's RE2, and so OPA, does not know it.
    if len(pattern) > _MAX_PATTERN or "\\C" in pattern:
        raise ValueError("not a pattern that OPA takes")
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error:
        raise ValueError("not a regular expression") from None


# NOTE: policies ask the same few questions of the same few agents; the matching itself takes most of a decision else.
@functools.lru_cache(maxsize=1024)
def _remembered(pattern: str, separators: str, value: str) -> bool:
    """Does as `_matches` does, once for each of the latest."""
    return _matches(pattern, separators, value)


def _matches(pattern: str, separators: str, value: str) -> bool:
    """Says whether a glob matches a whole value."""
    return _glob(pattern, separators).fullmatch(value) is not None


@functools.lru_cache(maxsize=512)
def _glob(pattern: str, separators: str) -> Any:
    """Returns a glob as a compiled RE2 pattern."""
    if len(pattern) > _MAX_PATTERN:
        raise ValueError("the glob is too long")
    return _regex(_Glob(pattern, separators).regex())


class _Glob:
    """Writes one glob as a regular expression, token by token."""

    def __init__(self, pattern: str, separators: str) -> None:
        self._pattern = pattern
        self._one = f"[^{''.join(re2.escape(one) for one in separators)}]" if separators else "."
        self._place = 0
        self._braces = 0

    def regex(self) -> str:
        """Returns the regular expression of the whole glob."""
        parts = []
        while self._place < len(self._pattern):
            parts.append(self._token())
        if self._braces:
            raise ValueError("a brace of the glob is never closed")
        return "(?s)" + "".join(parts)

    def _token(self) -> str:
        """Returns the regular expression of the next token."""
        character = self._next()
        simple = {"?": self._one, "[": None, "*": None, "\\": None}
        if character in {"{", ",", "}"} and (self._braces or character == "{"):
            return self._brace(character)
        if character not in simple:
            return str(re2.escape(character))
        if character == "*":
            if self._pattern[self._place : self._place + 1] != "*":
                return f"{self._one}*"
            self._place += 1
            return ".*"
        if character == "[":
            return self._class()
        return self._one if character == "?" else str(re2.escape(self._next()))

    def _brace(self, character: str) -> str:
        """Returns what opens, parts or closes alternatives."""
        if character == ",":
            return "|"
        self._braces += 1 if character == "{" else -1
        return "(?:" if character == "{" else ")"

    def _class(self) -> str:
        """Returns a character class: `[abc]`, `[!abc]`, `[a-z]` or `[!a-z]`."""
        end = self._pattern.find("]", self._place)
        body = self._pattern[self._place : end]
        negated = body.startswith("!")
        body = body.removeprefix("!")
        a_range = len(body) == 3 and body[1] == "-"  # noqa: PLR2004 - low, '-', high
        if end < 0 or not body or "\\" in body or (not a_range and body[1:2] == "-"):
            raise ValueError("not a character class that readers of globs agree on")
        if a_range and body[0] > body[2]:
            raise ValueError("a range of the glob runs backwards")
        self._place = end + 1
        members = (
            f"{re2.escape(body[0])}-{re2.escape(body[2])}" if a_range else "".join(re2.escape(one) for one in body)
        )
        return f"[{'^' if negated else ''}{members}]"

    def _next(self) -> str:
        """Returns the next character and steps over it."""
        if self._place >= len(self._pattern):
            raise ValueError("the glob ends in a backslash")
        self._place += 1
        return self._pattern[self._place - 1]
