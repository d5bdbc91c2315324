r"""Reads a filter out of its text, or says at which character it stops making sense and what was expected there.

    filter     = term { AND term } | term { OR term }      AND beside OR needs parentheses: AIP-160 binds OR tighter
    term       = NOT term | "(" filter ")" | comparison    than people who program expect, so neither reading is taken
    comparison = field operator value
    value      = quoted text (with \", \', \\ and \*), or a bare word

Stars are no wildcards and are refused, so that nobody takes an empty answer for "there are none".
"""

import re
from datetime import UTC, datetime
from typing import Final

from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.grant import GrantState
from remit_server.domain.grant_filter.terms import (
    FIELDS,
    OPERATORS,
    AllOf,
    AnyOf,
    Comparison,
    Filter,
    IsSet,
    Kind,
    Not,
    Operator,
    Value,
)

MAX_LENGTH: Final = 2048
MAX_DEPTH: Final = 8
MAX_COMPARISONS: Final = 32
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_KEYWORD: Final = re.compile(r"(AND|OR|NOT)(?![A-Za-z0-9_.])")
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
_OPERATOR: Final = re.compile(r"!=|<=|>=|=|<|>|:")
_BARE: Final = re.compile(r"[A-Za-z0-9_./:@+*-]+")
_ESCAPED: Final = frozenset("\"'\\*")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def filter_of(text: str) -> Filter | None:
    """Returns the filter, None for an empty one that means everything; raises InvalidRequest."""
    if len(text) > MAX_LENGTH:
        raise _wrong(f"must have at most {MAX_LENGTH} characters")
    reader = _Reader(text)
    return None if reader.is_over() else reader.whole()


def _wrong(rule: str) -> InvalidRequest:
    return InvalidRequest([FieldViolation("filter", rule)])


class _Reader:
    """Walks through one filter."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comparisons = 0

    def is_over(self) -> bool:
        """Passes over spaces and says whether nothing follows."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._at == len(self._text)

    def whole(self) -> Filter:
        """Reads the filter to its end."""
        found = self._filter(1)
        if not self.is_over():
            raise self._error("expected AND, OR or the end")
        return found

    def _filter(self, depth: int) -> Filter:
        """Reads terms that are joined by one word."""
        terms = [self._term(depth)]
        joined = self._word("AND", "OR")
        if joined is None:
            return terms[0]
        word = joined
        while word == joined:
            terms.append(self._term(depth))
            if (word := self._word("AND", "OR") or "") not in {"", joined}:
                self._at -= len(word)
                raise self._error(f"{word} stands beside {joined}: put parentheses around what belongs together")
        return AllOf(tuple(terms)) if joined == "AND" else AnyOf(tuple(terms))

    def _term(self, depth: int) -> Filter:
        """Reads one term."""
        if depth > MAX_DEPTH:
            raise self._error(f"it nests more than {MAX_DEPTH} deep")
        if self.is_over():
            raise self._error("expected a field, NOT or (, and found the end")
        if self._word("NOT"):
            return Not(self._term(depth + 1))
        if self._text[self._at] != "(":
            return self._comparison()
        self._at += 1
        inner = self._filter(depth + 1)
        if self.is_over() or self._text[self._at] != ")":
            raise self._error("expected AND, OR or )")
        self._at += 1
        return inner

    def _word(self, *words: str) -> str | None:
        """Reads one of these words, if one is next."""
        if not self.is_over() and (found := _KEYWORD.match(self._text, self._at)) and found[1] in words:
            self._at = found.end()
            return found[1]
        return None

    def _comparison(self) -> Filter:
        """Reads field, operator and value."""
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise self._error(f"it has more than {MAX_COMPARISONS} comparisons")
        name = _FIELD.match(self._text, self._at)
        if name is None or _KEYWORD.fullmatch(name[0]):
            raise self._error("expected a field, NOT or (")
        kind = FIELDS.get(name[0])
        if kind is None:
            raise self._error(f"no such field; there are {', '.join(FIELDS)}")
        self._at = name.end()
        written = None if self.is_over() else _OPERATOR.match(self._text, self._at)
        if written is None:
            raise self._error("expected one of = != < > <= >= :")
        start, self._at = self._at, written.end()
        if kind is Kind.TIME and written[0] == ":":
            return self._is_set(name[0])
        return self._compared(name[0], kind, written[0], start)

    def _is_set(self, field: str) -> IsSet:
        """Reads the star behind `revoke_time:`."""
        if self.is_over() or self._text[self._at] != "*" or field != "revoke_time":
            raise self._error("expected a star: `revoke_time:*` asks whether it is set")
        self._at += 1
        return IsSet(field)

    def _compared(self, field: str, kind: Kind, written: str, start: int) -> Comparison:
        """Reads the value of a comparison, once its operator fits the field."""
        # Both are said of one key: it is of this access key, it has this access key.
        sign = Operator.HAS if field == "access_key_id" and written == "=" else Operator(written)
        if sign not in OPERATORS[kind]:
            self._at = start
            known = " ".join(one.value for one in Operator if one in OPERATORS[kind])
            raise self._error(f"{field} is compared by {known} only")
        if self.is_over():
            raise self._error(f"expected {kind.value}, and found the end")
        place = self._at
        text = self._quoted() if self._text[self._at] in "\"'" else self._bare(kind)
        return Comparison(field, sign, self._value(kind, text, place))

    def _bare(self, kind: Kind) -> str:
        """Reads a value without quotes."""
        found = _BARE.match(self._text, self._at)
        if found is None:
            raise self._error(f"expected {kind.value}")
        if "*" in found[0]:
            self._at += found[0].index("*")
            raise self._error(_NO_WILDCARDS)
        self._at = found.end()
        return found[0]

    def _quoted(self) -> str:
        """Reads a value in quotes."""
        quote, opened = self._text[self._at], self._at
        self._at += 1
        read: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == quote:
                self._at += 1
                return "".join(read)
            if character == "*":
                raise self._error(_NO_WILDCARDS)
            if not character.isprintable():
                raise self._error("a control character stands in the quotes")
            if character == "\\":
                self._at += 1
                character = self._text[self._at : self._at + 1]
                if character not in _ESCAPED or not character:
                    raise self._error("expected a quote, a star or a backslash after the backslash")
            read.append(character)
            self._at += 1
        self._at = opened
        raise self._error("the quotes opened here are never closed")

    def _value(self, kind: Kind, text: str, place: int) -> Value:
        """Returns a value of the field's kind."""
        match kind:
            case Kind.TEXT | Kind.SEVERAL:
                return text
            case Kind.STATE if text in GrantState.__members__:
                return GrantState(text)
            case Kind.FLAG if text in {"true", "false"}:
                return text == "true"
            case Kind.TIME if (time := _time(text)) is not None:
                return time
        self._at = place
        states = f" of {', '.join(GrantState)}" if kind is Kind.STATE else ""
        raise self._error(f"expected {kind.value}{states}")

    def _error(self, rule: str) -> InvalidRequest:
        """Returns the failure with the place that was come to, counted from 1."""
        return _wrong(f"character {self._at + 1}: {rule}")


_NO_WILDCARDS: Final = "stars are no wildcards here: compare whole values, and write \\* for a star in quotes"


def _time(text: str) -> datetime | None:
    """Returns a time in UTC, None for what is none (RFC 3339 5.6)."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
