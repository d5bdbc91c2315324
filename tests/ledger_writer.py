"""Writes to a ledger without end and prints each record's number once it was answered: to be killed in the middle."""

import asyncio
import sys
from datetime import UTC, datetime
from time import monotonic

from tests.ledger_values import opening, refused_record

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger


class SystemTime:
    """The system's time: what is killed here must not depend on a fake."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()


async def write(ledger: DatabaseLedger, start: int, step: int) -> None:
    number = start
    while True:
        if number % 3:
            await ledger.record(refused_record(f"record {number}", f"record-{number}"))
            sys.stdout.write(f"record-{number}\n")
        else:
            await ledger.authorize(opening(number))
            sys.stdout.write(f"request-{number}\n")
        sys.stdout.flush()
        number += step


async def main(path: str, first: int) -> None:
    async with open_ledger(path, SystemTime()) as ledger:
        await asyncio.gather(*(write(ledger, first + lane, 16) for lane in range(16)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
