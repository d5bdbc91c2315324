"""The table of faults: what each one of a dependency does to a task that asks for credentials meanwhile.

`hears` is the code and the reason that the caller gets. `asked` bounds how often the dependency is asked for it, `STS`
how often STS is, always for the very same session. `left` is what the ledger says of it afterwards: the state of the
grant, `refused` where it came to none, `-` where nothing could be written. `runs` says whether a cell is part of every
run or of the extended one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.faults import FAULTS

_DECIDED: Final = {"task_started": 1, "grant_authorized": 1}
RECORDS: Final[dict[str, dict[str, int]]] = {
    "ISSUED": {**_DECIDED, "credentials_issued": 1},
    "FAILED": {**_DECIDED, "issuance_failed": 1, "request_refused": 1},
    "REVOKING": {**_DECIDED, "issuance_failed": 1, "request_refused": 1},
    "refused": {"request_refused": 1},
    "-": {},
}

ASKED: Final = """
dependency  fault          hears                           asked  STS  left        runs
opa         slow           OK                              1      1    ISSUED      each
opa         gone           UNAVAILABLE POLICY_UNAVAILABLE  0      0    refused     each
opa         reset-before   UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         reset-after    UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         closed-after   UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         cut            UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         half           UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         stalled        UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         stalled-half   UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         late           UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         drip           UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         garbage        UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         garbage-after  UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         status-500     UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         status-404     UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         redirect       UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         empty          UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     full
opa         other-json     UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
opa         huge           UNAVAILABLE POLICY_UNAVAILABLE  1      0    refused     each
sts         slow           OK                              1      1    ISSUED      each
sts         gone           UNAVAILABLE STS_UNAVAILABLE     0      0    FAILED      each
sts         reset-before   UNAVAILABLE STS_UNAVAILABLE     4      0    REVOKING    each
sts         reset-after    UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    each
sts         closed-after   UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    full
sts         cut            UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    full
sts         half           UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    each
sts         stalled        UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    each
sts         stalled-half   UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    full
sts         late           UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    full
sts         drip           UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    full
sts         garbage        UNAVAILABLE STS_UNAVAILABLE     4      0    REVOKING    each
sts         garbage-after  UNAVAILABLE STS_UNAVAILABLE     4      4    REVOKING    full
sts         status-500     UNAVAILABLE STS_UNAVAILABLE     4      0    REVOKING    each
sts         status-404     UNAVAILABLE STS_UNAVAILABLE     1      0    REVOKING    full
sts         redirect       UNAVAILABLE STS_UNAVAILABLE     1      0    REVOKING    full
sts         empty          UNAVAILABLE STS_UNAVAILABLE     1      0    REVOKING    full
sts         other-json     UNAVAILABLE STS_UNAVAILABLE     1      0    REVOKING    each
sts         huge           UNAVAILABLE STS_UNAVAILABLE     1      0    REVOKING    each
database    slow           OK                              60     1    ISSUED      each
database    gone           UNAVAILABLE LEDGER_UNAVAILABLE  0      0    -           each
database    reset-before   UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           each
database    reset-after    UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           each
database    closed-after   UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           full
database    cut            UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           full
database    half           UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           each
database    stalled        UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           each
database    stalled-half   UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           full
database    late           UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           full
database    drip           UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           full
database    garbage        UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           each
database    garbage-after  UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           full
database    huge           UNAVAILABLE LEDGER_UNAVAILABLE  9      0    -           each
"""

# The database meets its fault while STS answers: the grant is on record, and the credentials are made. Nothing can be
# written of them; the sweep finds such a grant when it has been AUTHORIZED for a minute, and revokes it.
BETWEEN: Final = """
dependency  fault          hears                           asked  STS  left        runs
database    gone           UNAVAILABLE LEDGER_UNAVAILABLE  9      1    AUTHORIZED  each
database    reset-before   UNAVAILABLE LEDGER_UNAVAILABLE  9      1    AUTHORIZED  full
database    reset-after    UNAVAILABLE LEDGER_UNAVAILABLE  9      1    AUTHORIZED  each
database    half           UNAVAILABLE LEDGER_UNAVAILABLE  9      1    AUTHORIZED  full
database    stalled        UNAVAILABLE LEDGER_UNAVAILABLE  9      1    AUTHORIZED  full
database    garbage        UNAVAILABLE LEDGER_UNAVAILABLE  9      1    AUTHORIZED  full
"""

EVERY_RUN: Final = "each"


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of a table."""

    dependency: str
    fault: str
    hears: str
    asked: int
    sts: int
    left: str
    runs: str

    @property
    def name(self) -> str:
        """What the cell is called in a test's id."""
        return f"{self.dependency}-{self.fault}"

    @property
    def records(self) -> Counter[str]:
        """How many records of each kind it leaves."""
        return Counter(RECORDS[self.left])


def cells(table: str) -> Sequence[Cell]:
    """Reads a table, whose third column is the only one of several words."""
    _, *rows = table.strip().splitlines()
    found = []
    for row in rows:
        dependency, fault, *hears, asked, sts, left, runs = row.split()
        assert fault in FAULTS, row
        found.append(Cell(dependency, fault, " ".join(hears), int(asked), int(sts), left, runs))
    return found
