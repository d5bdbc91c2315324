"""The one database of a process, as everything that is kept in it reads and writes it."""

from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from remit_server.adapters.database.engine import Database, HandsFull, Work
from remit_server.adapters.database.writing.batch import T
from remit_server.adapters.database.writing.group_commit import GroupCommit, overloaded, unavailable
from remit_server.application.ports import Clock


@dataclass(frozen=True, slots=True)
class Store:
    """Reads what is committed, and writes by group commit: `commit(operation)` returns once it is on disk.

    `denying` says that what is revoked is to be told to AWS: the gateway has its revocation set up.
    """

    database: Database
    commit: GroupCommit
    clock: Clock
    denying: bool = False

    async def read(self, work: Work[T]) -> T:
        """Reads while the database gets on with reads.

        Raises Outage(OVERLOADED) when too many reads wait, and Outage(LEDGER_UNAVAILABLE) for any other failure.
        """
        try:
            return await self.database.read_in_time(work)
        except HandsFull as full:
            raise overloaded("look up") from full
        except (SQLAlchemyError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise unavailable() from error
