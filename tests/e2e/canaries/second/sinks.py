"""Where secrets could come out of the other gateway: what every gateway has, PostgreSQL and OPA."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg
from tests.e2e.canaries.journey import Journey
from tests.e2e.canaries.second.paths import second
from tests.e2e.canaries.sinks import LEFT, USUAL, Sink, Texts, append, files_of

_TABLES = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information_)'"


def _dumped(journey: Journey) -> Texts:
    """Returns every table as `pg_dump` writes it, by COPY: what is compressed in the files is whole here."""
    server, database = second(journey).server, second(journey).database
    with closing(psycopg.connect(server.url(database))) as connection:
        tables = [str(row[0]) for row in connection.execute(_TABLES)]
        return {table: _copied(connection, table) for table in tables}


def _copied(connection: psycopg.Connection[tuple[object, ...]], table: str) -> bytes:
    with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
        return b"".join(bytes(block) for block in copy)


def _planted(journey: Journey, text: str) -> None:
    """Writes a text into a table of its own as the gateway writes, by a parameter of a statement."""
    server, database = second(journey).server, second(journey).database
    with closing(psycopg.connect(server.url(database), autocommit=True)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS planted (text TEXT)")
        connection.execute("INSERT INTO planted VALUES (%s)", (text,))
        connection.execute("CHECKPOINT")


def _log_of(journey: Journey) -> Path:
    return second(journey).server.folder / "log"


def _files(journey: Journey) -> Texts:
    """Returns the files of this one database, as they are on the disk after a checkpoint."""
    server, database = second(journey).server, second(journey).database
    server.asked("CHECKPOINT")
    ((number,),) = server.asked("SELECT oid FROM pg_database WHERE datname = current_database()", database)
    return files_of(server.folder / "data" / "base" / str(number))


SECOND_SINKS: Final[Mapping[str, Sink]] = {
    **USUAL,
    "the ledger in PostgreSQL, as a dump": Sink(_dumped, _planted),
    "PostgreSQL's log, of every statement with its parameters": Sink(
        lambda journey: {"log": _log_of(journey).read_bytes()}, _planted
    ),
    "the files of the database": Sink(_files, _planted),
    "what OPA keeps, and logs at debug": Sink(
        lambda journey: files_of(second(journey).opa.folder),
        lambda journey, text: append(second(journey).opa.folder / LEFT, text),
    ),
}
