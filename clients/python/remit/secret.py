"""Values that cannot be printed: tokens, and messages that hold one."""

from collections.abc import Callable
from typing import Generic, TypeVar

from remit.errors import FieldViolation, InvalidRequest

T = TypeVar("T")
TokenSource = str | Callable[[], str]


class Secret(Generic[T]):
    """Keeps a value out of every repr, and so out of tracebacks that show variables.

    NOTE: `debug_redact` does nothing in Python: a protobuf message prints all of its fields.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "***"

    def reveal(self) -> T:
        """Returns the value: call it where the value is used, and name no variable for it."""
        return self._value


class Token:
    """A token, or a function that is asked for a fresh one at every use."""

    __slots__ = ("_field", "_source")

    def __init__(self, field: str, source: TokenSource) -> None:
        if not isinstance(source, str) and not callable(source):
            raise TypeError(f"{field} must be a string, or a function that returns one")
        self._field = field
        self._source: Secret[TokenSource] = Secret(source)

    def __repr__(self) -> str:
        return "***"

    @property
    def is_asked_for(self) -> bool:
        """Says whether a function of the caller's makes the token, which may take its time."""
        return callable(self._source.reveal())

    def is_from_where(self, other: "Token") -> bool:
        """Says whether the same function, or the same platform, gives the other token: one for both, then."""
        source = self._source.reveal()
        return callable(source) and source == other._source.reveal()  # noqa: SLF001 - of this class

    def read(self) -> Secret[str]:
        """Returns the token as it is now, without white space around it.

        Raises InvalidRequest for what no token looks like, without repeating it; whatever the caller's function raises
        passes through.
        """
        found = Secret(self._asked())
        if not isinstance(found.reveal(), str):
            raise TypeError(f"the function given as {self._field} must return a string")
        token = Secret(found.reveal().strip())
        # NOTE: gRPC and protobuf repeat a value which they refuse in their own error, so it never gets that far.
        if not all("!" <= character <= "~" for character in token.reveal()):
            raise InvalidRequest.of(FieldViolation(self._field, "must be ASCII without spaces or control characters"))
        return token

    def _asked(self) -> str:
        """Returns what the source gives."""
        # NOTE: no caller of this names a variable for it: a traceback may show every variable of a frame.
        source = self._source.reveal()
        return source() if callable(source) else source
