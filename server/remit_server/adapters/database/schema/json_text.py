"""Looks into the JSON text of records, in the words of each database."""

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class named_digest(FunctionElement[str]):  # noqa: N801 - a function of SQL
    """The digest that a record's body names under a key; NULL or empty where it names none."""

    type: TypeEngine[str] = Text()
    name = "named_digest"
    inherit_cache = False  # the key is no part of the clauses

    def __init__(self, body: ColumnElement[str], key: str) -> None:
        super().__init__(body)
        if not key.isidentifier() or not key.isascii():
            raise ValueError("a key of a record is a plain name")
        self.key_of_body = key


@compiles(named_digest, "sqlite")
def _sqlite(element: named_digest, compiler: Any, **options: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **options)}, '$.{element.key_of_body}')"


@compiles(named_digest, "postgresql")
def _postgresql(element: named_digest, compiler: Any, **options: Any) -> str:
    # PostgreSQL's json refuses \u0000, which a record may hold. In canonical JSON a quote within a text stands after a
    # backslash, so this is found as a key alone.
    body = compiler.process(element.clauses, **options)
    return f"""substring({body} from '"{element.key_of_body}":"([0-9a-f]*)"')"""
