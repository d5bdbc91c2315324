"""Brings a database to the tables of this version, by alembic, at every start."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from remit_server.adapters.database.engine import START_PATIENCE, Database, DatabaseRefused, open_database

if TYPE_CHECKING:  # only what starts needs alembic, whose import takes as long as reading a whole audit trail
    from alembic.config import Config


def upgrade(url: str | Path, *, password_file: Path | None = None) -> tuple[str | None, str | None]:
    """Creates or migrates the database, and returns its revision before (None: there were no tables) and after.

    Raises DatabaseRefused for one that this version cannot use.
    """
    database = open_database(url, password_file=password_file)
    try:
        before = database.read_now(_revision)
        bring_up_to_date(database)
        return before, newest()
    finally:
        database.close_now()


def bring_up_to_date(database: Database) -> None:
    """Creates or migrates the tables, where they are not of this version; raises DatabaseRefused as `migrate` does.

    Others that write are waited for longer than a caller would wait. They wait as well, so what takes its time (loading
    alembic and the migrations) is done before the transaction begins.
    """
    newest()
    current = database.read_now(is_current)
    database.write_now((lambda _: None) if current else migrate, START_PATIENCE)


@cache
def newest() -> str | None:
    """Returns the revision of this version's tables."""
    from alembic import command  # noqa: F401, PLC0415 - loaded here, so that `migrate` need not
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory.from_config(_config()).get_current_head()


def is_current(connection: Connection) -> bool:
    """Says whether the tables are those of this version."""
    return _revision(connection) == newest()


def _revision(connection: Connection) -> str | None:
    """Returns the revision of the tables that there are, None for none."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    try:
        return MigrationContext.configure(connection).get_current_revision()
    except DatabaseError:  # `migrate` says what is wrong
        return None


def migrate(connection: Connection) -> None:
    """Runs every missing migration in the connection's transaction: all of them, or none.

    Several processes may start at once: the transaction holds the write lock. Raises DatabaseRefused for a database of
    a later version, and for one that is not a ledger.
    """
    from alembic import command  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseRefused("the database was written by a later version of remit-server: use that one") from error
    except DatabaseError as error:
        raise DatabaseRefused(f"the database cannot be brought to this version: {error.orig}") from error


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
