"""What a database said that could not be read, as one sentence: a right that is missing is not a file that is wrong."""

import sqlite3

from sqlalchemy.exc import DBAPIError

from remit_server.adapters.database.engine.database import DatabaseRefused

_NO_RIGHT = "42501"  # insufficient_privilege, of PostgreSQL


def unreadable(error: DBAPIError) -> DatabaseRefused:
    """Returns why it could not be read, and what to do."""
    if getattr(error.orig, "sqlstate", None) == _NO_RIGHT:
        first = next(iter(str(error.orig).splitlines()), "")
        return DatabaseRefused(
            f"this role may not read it: {first}. The owner of the tables gives it what it lacks: "
            "`remit-server database grants ROLE --reader | psql ...`"
        )
    why = f"this is not a ledger that can be read: {error.orig}"
    if not isinstance(error.orig, sqlite3.Error):
        return DatabaseRefused(why)
    return DatabaseRefused(
        f'{why}. A copy is made with `sqlite3 DB ".backup COPY"`: the file alone, without its -wal, lacks what was '
        "written last"
    )
