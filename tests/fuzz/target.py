"""What a parser is fuzzed by: one function over bytes that holds the parser's contract, and where to begin."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
CRASHES: Final = Path(__file__).parent / "crashes"
_OURS: Final = ("/remit_server/", "/clients/python/remit/")


class ContractBroken(AssertionError):  # noqa: N818 - it names what was found
    """A parser let another error out, changed what it read, or took too many steps."""


@dataclass(frozen=True, slots=True)
class Target:
    """Holds one parser's contract.

    `check` raises for bytes that break it. `most_steps` is how many lines of ours an input of `length` bytes may run:
    counted, so that a busy machine finds nothing that a quiet one does not.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    most_steps: Callable[[int], int]

    def __call__(self, data: bytes) -> None:
        """Raises ContractBroken, or what escaped the parser, for an input that breaks the contract."""
        most = self.most_steps(len(data))
        steps = steps_of(lambda: self.check(data))
        if steps > most:
            raise ContractBroken(f"{self.name}: {len(data)} bytes take {steps} steps, more than {most}")

    def begin_with(self) -> list[bytes]:
        """Returns the seeds and every input that once broke the contract."""
        kept = sorted((CRASHES / self.name).glob("*")) if (CRASHES / self.name).is_dir() else []
        return [*self.seeds(), *(file.read_bytes() for file in kept)]


def steps_of(call: Callable[[], object]) -> int:
    """Counts the lines of ours that a call runs."""
    counted = 0

    def local(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal counted
        counted += event == "line"
        return local

    def entered(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local if any(part in frame.f_code.co_filename for part in _OURS) else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        call()
    finally:
        sys.settrace(before)
    return counted


def linear(base: int, each: int) -> Callable[[int], int]:
    """Returns a bound that grows with the length of the input, and no faster."""
    return lambda length: base + each * length


def same(one: object, other: object, what: str) -> None:
    """Raises ContractBroken unless both are equal."""
    if one != other:
        raise ContractBroken(f"{what} differs: {one!r} is not {other!r}")


def sure(what: str, *truths: bool) -> None:
    """Raises ContractBroken unless all of it is true."""
    if not all(truths):
        raise ContractBroken(what)


def text_of(data: bytes) -> str:
    """Reads bytes as any text that Python can hold but lone surrogates, which no wire format carries."""
    return data.decode("utf-8", "replace")
