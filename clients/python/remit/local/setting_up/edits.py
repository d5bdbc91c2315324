"""Edits of files that are somebody's own: what is not ours stays byte for byte, a change is whole or not at all."""

import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remit.local.errors import InvalidSettings

LARGEST_FILE = 1024 * 1024
_MARK = re.compile(rb"(?m)^# remit: (begin|end) (\S+)")


@dataclass(frozen=True, slots=True)
class Edit:
    """What a file is to hold; `before` is what it holds, None where it is not there. `block` is what is ours in it."""

    file: Path
    before: bytes | None
    after: bytes
    block: str

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        return self.before != self.after


def read(file: Path) -> bytes | None:
    """Returns what a file holds, None where there is none; raises InvalidSettings for what cannot be edited."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be read: {error.strerror}", advice="correct its permissions") from None
    if len(content) > LARGEST_FILE:
        raise InvalidSettings(f"{file} is larger than 1 MiB", advice="that is not what it should be")
    return content


def edit(file: Path, blocks: Mapping[str, str]) -> Edit:
    """Returns the edit that makes the marked blocks of these names hold exactly these lines, at their place or the end.

    Raises InvalidSettings for marks that do not come in pairs.
    """
    before = read(file)
    after, shown = before or b"", ""
    for name, block in blocks.items():
        marked = f"# remit: begin {name}, written by `remit init` and replaced by it\n{block}# remit: end {name}\n"
        after, shown = _replaced(after, name, marked.encode(), file), shown + marked
    return Edit(file, before, after, shown)


def outside(content: bytes, name: str, file: Path) -> bytes:
    """Returns a file's content without the block of this name."""
    place = _place(content, name, file)
    return content if place is None else content[: place[0]] + content[place[1] :]


def apply(edits: list[Edit]) -> list[Path]:
    """Makes the edits that change something; returns the copies of what was there. Raises InvalidSettings."""
    return [kept for edit in edits if edit.changes for kept in _written(edit)]


def _replaced(content: bytes, name: str, marked: bytes, file: Path) -> bytes:
    place = _place(content, name, file)
    if place is not None:
        return content[: place[0]] + marked + content[place[1] :]
    if not content:
        return marked
    return content + (b"\n" if content.endswith(b"\n") else b"\n\n") + marked


def _place(content: bytes, name: str, file: Path) -> tuple[int, int] | None:
    """Returns where the block of this name begins and ends."""
    marks = [found for found in _MARK.finditer(content) if found[2].rstrip(b",") == name.encode()]
    if not marks:
        return None
    if [found[1] for found in marks] != [b"begin", b"end"]:
        raise InvalidSettings(
            f"{file} has marks of remit that do not belong together", advice=f"take out the lines `# remit: ... {name}`"
        )
    end = content.find(b"\n", marks[1].end())
    return marks[0].start(), len(content) if end < 0 else end + 1


def _written(edit: Edit) -> list[Path]:
    """Writes one file: beside it first, then in its place. A link stays one, and what it leads to is written."""
    file = edit.file.resolve()
    kept: list[Path] = []
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = 0o600
        if edit.before is not None:
            mode = stat.S_IMODE(file.stat().st_mode)
            copy = file.with_name(f"{file.name}.before-remit")
            _replace(copy, edit.before, mode)
            kept.append(copy)
        _replace(file, edit.after, mode)
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be written: {error.strerror}", advice="correct its permissions") from None
    return kept


def _replace(file: Path, content: bytes, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
