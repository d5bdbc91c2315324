"""Where figures are kept: rows of numbers in memory that the workers of one gateway share.

The supervisor makes it before it forks. Each worker writes its own part only, so nothing is locked, and whichever
worker is asked reads all parts. A worker that takes the place of another goes on from its figures, so no sum goes back.
"""

import mmap
from dataclasses import dataclass
from typing import Final, Self

NUMBERS: Final = 8192  # of one worker; no page is taken that nobody writes to
TEXT_BYTES: Final = 128
_NUMBER_BYTES: Final = 8
_PART: Final = NUMBERS * _NUMBER_BYTES + TEXT_BYTES


@dataclass(frozen=True, slots=True)
class Part:
    """One worker's part: its numbers, and room for one text."""

    numbers: "memoryview[float]"
    _text: "memoryview[int]"

    @property
    def text(self) -> str:
        """The text; empty while there is none, or while it is being written."""
        raw = bytes(self._text)
        length = raw[0]
        return raw[1 : 1 + length].decode("ascii", "replace")

    def put_text(self, text: str) -> None:
        """Sets the text; what is longer than there is room for is cut."""
        raw = text.encode("ascii", "replace")[: TEXT_BYTES - 1]
        self._text[0] = 0  # whoever reads meanwhile finds none, rather than half of each
        self._text[1 : 1 + len(raw)] = raw
        self._text[0] = len(raw)


@dataclass(frozen=True, slots=True)
class Cells:
    """The parts of all workers, by their numbers from 1 on."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, workers: int) -> Self:
        """Returns new cells, all zero, which processes forked from here on share."""
        whole = memoryview(mmap.mmap(-1, workers * _PART))
        return cls(tuple(_part(whole[place * _PART : (place + 1) * _PART]) for place in range(workers)))

    def __getitem__(self, worker: int) -> Part:
        return self.parts[worker - 1]


def _part(raw: "memoryview[int]") -> Part:
    """Returns a part of memory as a worker's."""
    split = NUMBERS * _NUMBER_BYTES
    return Part(raw[:split].cast("d"), raw[split:])
