"""Statements of the hot path: written with SQLAlchemy, compiled once, run on the driver's own cursor.

SQLAlchemy's execution takes 55 to 70 us for each statement, SQLite's own 4. What is kept of SQLAlchemy is what makes a
statement run on both databases: its compiler, its types and its errors.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import CompoundSelect, Connection, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

Row: TypeAlias = Mapping[str, Any]
_Convert: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement in the words of one database: its text, how values become parameters, and how answers become rows.

    `held` are the parameters that the statement holds itself. Only what is to be converted is looked at one by one.
    """

    text: str
    take: Callable[[Row], tuple[Any, ...]]
    converts: tuple[tuple[int, _Convert], ...]
    held: Row
    columns: tuple[str, ...]
    reads: tuple[tuple[str, _Convert], ...]
    copy: str = ""

    def bound(self, values: Row) -> tuple[Any, ...]:
        """Returns the parameters in the order of the text; raises KeyError for a value that is missing."""
        found = self.take({**values, **self.held} if self.held else values)
        if not self.converts:
            return found
        parameters = list(found)
        for place, convert in self.converts:
            parameters[place] = convert(parameters[place])
        return tuple(parameters)

    def row(self, answer: Sequence[Any]) -> Row:
        """Returns an answer of the driver as a row by column names."""
        row = dict(zip(self.columns, answer, strict=True))
        for name, convert in self.reads:
            row[name] = convert(row[name])
        return row


class Prepared:
    """One statement, for any number of connections. An INSERT names every column it is given, and only those.

    A plain INSERT may be `copied`: PostgreSQL takes many rows by COPY faster than by as many statements.
    """

    def __init__(
        self,
        statement: Select[Any] | CompoundSelect[Any] | Insert | Update,
        *,
        columns: Iterable[str] = (),
        copied: bool = False,
    ) -> None:
        self.statement = statement
        self.columns = list(columns) or None
        self._copied = copied
        self._compiled: dict[str, _Compiled] = {}

    def all(self, connection: Connection, values: Row) -> list[Row]:
        """Returns every row of the answer."""
        compiled = self._for(connection.dialect)
        return [compiled.row(answer) for answer in _ran(connection, _once, compiled.text, compiled.bound(values))[0]]

    def first(self, connection: Connection, values: Row) -> Row | None:
        """Returns the first row of the answer, or None."""
        found = self.all(connection, values)
        return found[0] if found else None

    def run(self, connection: Connection, values: Row) -> int:
        """Runs a statement that answers with no rows; returns how many it changed."""
        compiled = self._for(connection.dialect)
        return int(_ran(connection, _once, compiled.text, compiled.bound(values))[1])

    def run_each(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Runs the statement once for each of the rows."""
        compiled = self._for(connection.dialect)
        bound = [compiled.bound(row) for row in rows]
        _ran(connection, _copied if compiled.copy else _repeated, compiled.copy or compiled.text, bound)

    def _for(self, dialect: Dialect) -> _Compiled:
        """Returns the statement as this database takes it."""
        if (known := self._compiled.get(dialect.name)) is None:
            known = self._compiled[dialect.name] = self._compile(dialect)
        return known

    def _compile(self, dialect: Dialect) -> _Compiled:
        statement = self.statement
        if isinstance(statement, Insert):
            statement = statement.inline()  # asks for no generated key
        compiled: Any = statement.compile(dialect=dialect, column_keys=self.columns)
        names = [str(name) for name in compiled.positiontup]
        kinds = {name: compiled.binds[name] for name in names}
        converts = {name: _to_driver(kind.type, dialect) for name, kind in kinds.items()}
        held = {name: _held(kind, converts[name]) for name, kind in kinds.items() if _is_held(kind)}
        columns = [(str(one.key), _from_driver(one.type, dialect)) for one in statement.exported_columns]
        return _Compiled(
            text=str(compiled),
            take=_taking(names),
            converts=tuple(
                (place, convert) for place, name in enumerate(names) if name not in held and (convert := converts[name])
            ),
            held=held,
            columns=tuple(name for name, _ in columns),
            reads=tuple((name, convert) for name, convert in columns if convert is not None),
            copy=self._copy(dialect, names),
        )

    def _copy(self, dialect: Dialect, names: Sequence[str]) -> str:
        """Returns the COPY of an INSERT that may be copied, where there is one."""
        if not self._copied or dialect.name != "postgresql":
            return ""
        quote = dialect.identifier_preparer.quote
        statement: Any = self.statement
        return f"COPY {quote(statement.table.name)} ({', '.join(map(quote, names))}) FROM STDIN"


def _is_held(kind: Any) -> bool:
    """Says whether the statement holds the parameter itself: then it is the same for ever."""
    return not kind.required and kind.value is not None


def _held(kind: Any, convert: _Convert | None) -> Any:
    return kind.value if convert is None else convert(kind.value)


def _taking(names: Sequence[str]) -> Callable[[Row], tuple[Any, ...]]:
    """Returns what takes the values of these names, in their order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])


def _to_driver(kind: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    """Returns what turns our value into a driver's, None where they are the same."""
    convert: _Convert | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return convert


def _from_driver(kind: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    """Returns what turns a driver's value into ours, None where they are the same."""
    convert: _Convert | None = kind.dialect_impl(dialect).result_processor(dialect, None)
    return convert


def run_text(connection: Connection, text: str) -> None:
    """Runs a statement that has no parameters and no answer, such as the one that begins a transaction."""
    _on_cursor(connection, _once, text, ())


_Run: TypeAlias = Callable[[Any, str, Any], tuple[Sequence[Any], int]]


def _ran(connection: Connection, run: _Run, text: str, values: Any) -> tuple[Sequence[Any], int]:
    """Runs a statement in the connection's transaction, which begins here when nothing has begun it."""
    if not connection.in_transaction():
        connection.begin()
    return _on_cursor(connection, run, text, values)


def _on_cursor(connection: Connection, run: _Run, text: str, values: Any) -> tuple[Sequence[Any], int]:
    """Runs a statement on the driver's cursor; raises SQLAlchemy's DBAPIError for the driver's own errors."""
    raw: Any = connection.connection.dbapi_connection  # which is the driver's own
    cursor = raw.cursor()
    try:
        return run(cursor, text, values)
    except Exception as error:
        driver = connection.dialect.dbapi
        if driver is None or not isinstance(error, driver.Error):
            raise
        raise DBAPIError.instance(
            None, None, error, driver.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
    finally:
        cursor.close()


def _once(cursor: Any, text: str, values: Any) -> tuple[Sequence[Any], int]:
    """Runs a statement; returns its answer and how many rows it changed."""
    cursor.execute(text, values)
    return (cursor.fetchall() if cursor.description else ()), cursor.rowcount


def _repeated(cursor: Any, text: str, values: Any) -> tuple[Sequence[Any], int]:
    """Runs a statement for each of many values."""
    cursor.executemany(text, values)
    return (), cursor.rowcount


def _copied(cursor: Any, text: str, values: Any) -> tuple[Sequence[Any], int]:
    """Writes rows as PostgreSQL takes them fastest."""
    with cursor.copy(text) as copy:
        for row in values:
            copy.write_row(row)
    return (), cursor.rowcount
