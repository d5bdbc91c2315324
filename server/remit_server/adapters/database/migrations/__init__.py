"""Brings a database to the tables of this version, by alembic, at every start."""

from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from remit_server.adapters.database.engine import START_PATIENCE, DatabaseRefused, open_database


def upgrade(url: str | Path, *, password_file: Path | None = None) -> None:
    """Creates or migrates the database; raises DatabaseRefused for one that this version cannot use."""
    database = open_database(url, password_file=password_file)
    try:
        database.write_now(migrate, START_PATIENCE)
    finally:
        database.close_now()


def migrate(connection: Connection) -> None:
    """Runs every missing migration in the connection's transaction: all of them, or none.

    Several processes may start at once: the transaction holds the write lock. Raises DatabaseRefused for a database of
    a later version, and for one that is not a ledger.
    """
    # Only a starting gateway needs alembic, whose import takes as long as reading a whole audit trail.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseRefused("the database was written by a later version of remit-server: use that one") from error
    except DatabaseError as error:
        raise DatabaseRefused(f"the database cannot be brought to this version: {error.orig}") from error
