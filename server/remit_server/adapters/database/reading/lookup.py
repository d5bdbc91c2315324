"""How grants are looked up by a value: by its index where few have it, else along the list from the newest on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, select

from remit_server.adapters.database.schema.tables import grants

FEW: Final = 5_000  # that are sorted for one page
_LEADING: Final = frozenset({"task_id", "state", "subject_id", "actor_id", "policy_revision"})  # of an index
Condition: TypeAlias = ColumnElement[bool]
LookUp: TypeAlias = Callable[[Any, Sequence[str]], Condition]


def by_any_index(column: Any, values: Sequence[str]) -> Condition:
    """Returns whether a column has one of the values; how they are found is for the database to choose."""
    found: Condition = column == values[0] if len(values) == 1 else column.in_(values)
    return found


@dataclass(frozen=True, slots=True)
class Lookup:
    """Chooses for a database that does not know how many grants have a value."""

    connection: Connection
    _many: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __call__(self, column: Any, values: Sequence[str]) -> Condition:
        """Returns whether a column has one of the values, in words that no index fits where many grants have one."""
        if column.name in _LEADING and any(self._have_many(column, value) for value in values):
            return by_any_index(column.concat(""), values)
        return by_any_index(column, values)

    def _have_many(self, column: Any, value: str) -> bool:
        """Says whether over 5,000 grants have the value; so many entries of its index are passed over."""
        key = (str(column.name), value)
        if key not in self._many:
            probe = select(column).select_from(grants).where(column == value).limit(1).offset(FEW)
            self._many[key] = self.connection.execute(probe).first() is not None
        return self._many[key]
