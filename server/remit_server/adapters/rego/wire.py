"""What parent and Rego worker say to each other over two pipes.

A frame is one byte of kind, four bytes of length (big-endian), and that many bytes of UTF-8.
"""

import struct
from typing import Final

HEADER: Final = struct.Struct(">cI")
MAX_ANSWER: Final = 1 << 20

# What the parent sends: the alarm in seconds, one module, the data, a question, a check or an outline of
# what was loaded, any query.
ALARM: Final = b"S"
MODULE: Final = b"M"
DATA: Final = b"T"
ISSUE: Final = b"I"
ADMIN: Final = b"A"
CHECK: Final = b"C"
OUTLINE: Final = b"O"
LINT: Final = b"N"  # what authors are told beyond the safety rules
QUERY: Final = b"Q"
# To a worker that runs tests: make the program ready for them, run one, run them on a changed program.
SUITE: Final = b"Y"
TRY: Final = b"V"
MUTANT: Final = b"W"

# What it gets: a value as JSON, nothing, or an error's text.
RESULT: Final = b"R"
UNDEFINED: Final = b"U"
FAILED: Final = b"E"
