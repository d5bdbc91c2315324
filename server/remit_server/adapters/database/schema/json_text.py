"""Looks into the JSON text of records, in the words of each database."""

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class input_digest(FunctionElement[str]):  # noqa: N801 - a function of SQL
    """The digest of the input that a record's body names; NULL or empty where it names none."""

    type: TypeEngine[str] = Text()
    name = "input_digest"
    inherit_cache = True

    def __init__(self, body: ColumnElement[str]) -> None:
        super().__init__(body)


@compiles(input_digest, "sqlite")
def _sqlite(element: input_digest, compiler: Any, **options: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **options)}, '$.input_digest')"


@compiles(input_digest, "postgresql")
def _postgresql(element: input_digest, compiler: Any, **options: Any) -> str:
    # PostgreSQL's json refuses \u0000, which a record may hold. In canonical JSON a quote within a text stands after a
    # backslash, so this is found as a key alone.
    return f"""substring({compiler.process(element.clauses, **options)} from '"input_digest":"([0-9a-f]*)"')"""
