"""How much is killed: some two hundred times on each database in `make test`, at every step in `make test-extended`."""

import os
from typing import Final

EXTENDED: Final = os.environ.get("REMIT_EXTENDED") == "1"
STRIDE: Final = 1 if EXTENDED else 12  # steps from one kill to the next
ROUNDS: Final = 300 if EXTENDED else 12  # of each crowd that is killed from outside, at least
SEED: Final = int(os.environ.get("REMIT_CRASH_SEED", "1"))
