"""What the gateway and the process that examines a bundle for it say to each other: one order, one answer."""

import struct
from typing import Final

# The length of the order; the order (order.py), pickled; the archive, up to the end of the input. The answer is JSON.
HEADER: Final = struct.Struct("!I")
MAX_ANSWER: Final = 8 * 1024 * 1024
MAX_FINDINGS: Final = 1000
MAX_TEXT: Final = 1000  # characters of a finding's path, problem and mend: they hold what an author wrote
