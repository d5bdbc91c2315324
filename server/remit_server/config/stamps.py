"""Whether files that a configuration names have changed since they were read."""

from collections.abc import Iterable
from pathlib import Path


def stamps_of(files: Iterable[Path]) -> tuple[tuple[int, int], ...]:
    """Returns when each file was last written, and which one it is: a mount puts another in its place.

    Raises OSError while one is missing, as in the middle of a rotation. Blocks for as long as the disk takes.
    """
    found = (file.stat() for file in files)
    return tuple((stat.st_mtime_ns, stat.st_ino) for stat in found)
