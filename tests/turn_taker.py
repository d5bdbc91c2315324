"""Takes turns at a database as another gateway's process would: `python turn_taker.py DATABASE`.

Each line of standard input asks for a turn or gives it up again; each line of output says which happened.
"""

import sys
from pathlib import Path

from remit_server.adapters.database.engine.turns import FileTurns


def main() -> None:
    """Does what it is told until the input ends."""
    turns = FileTurns(Path(sys.argv[1]), 30.0)
    for _ in sys.stdin:
        with turns.taken():
            sys.stdout.write("has it\n")
            sys.stdout.flush()
            sys.stdin.readline()
        sys.stdout.write("gave it up\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
