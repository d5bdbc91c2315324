"""What the gateway and the process that reads a bundle for it say to each other: one order, one answer.

The order is a length, JSON of that length, and the archive up to the end of the input. The answer is one byte of kind
and, behind a length each, what was read: everything but the data as JSON, then the data as it goes to an engine.
"""

import struct
from typing import Final

LENGTH: Final = struct.Struct("!I")
READ: Final = b"R"
REFUSED: Final = b"F"
MOST_FINDINGS: Final = 100
