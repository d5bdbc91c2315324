"""What parent and Rego worker say to each other over two pipes.

A frame is one byte of kind, four bytes of length (big-endian), and that many bytes of UTF-8.
"""

import struct
from typing import Final

HEADER: Final = struct.Struct(">cI")
MAX_ANSWER: Final = 1 << 20

# What the parent sends: the alarm in seconds, one module, the data, a question, a check or a list of the tests of what
# was loaded, any query.
ALARM: Final = b"S"
MODULE: Final = b"M"
DATA: Final = b"T"
ISSUE: Final = b"I"
ADMIN: Final = b"A"
CHECK: Final = b"C"
LIST_TESTS: Final = b"L"
QUERY: Final = b"Q"

# What it gets: a value as JSON, nothing, or an error's text.
RESULT: Final = b"R"
UNDEFINED: Final = b"U"
FAILED: Final = b"E"
