"""Where the prober's own tokens come from: a file or a command, asked anew in every round."""

import shlex
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from remit_server.domain.secret import Secret

LARGEST_TOKEN: Final = 16 * 1024
COMMAND_SECONDS: Final = 30.0
FORMS: Final = "file:/path or command:PROGRAM ARGUMENTS"

TokenSource = Callable[[], Secret]


class NoToken(Exception):  # noqa: N818 - named for what it says
    """A source gave no token; says why, and repeats nothing of what it gave."""


def token_source(text: str) -> TokenSource:
    """Returns the source that a text names, as the client's settings do; raises ValueError for a text that names none.

    The source raises NoToken. A command is run without a shell, for 30 s at most; its standard output is the token.
    """
    kind, _, rest = text.partition(":")
    if kind == "file" and rest:
        return partial(_of_file, Path(rest))
    if kind == "command" and (words := shlex.split(rest)):
        return partial(_of_command, tuple(words))
    # NOTE: without the text: it may be a token that was put where the name of its source belongs.
    raise ValueError(f"this names no source of tokens; there are: {FORMS}")


def _of_file(path: Path) -> Secret:
    """Reads a file."""
    try:
        with path.open("rb") as opened:
            return _token(opened.read(LARGEST_TOKEN + 1), str(path))
    except OSError as error:
        raise NoToken(f"{path} cannot be read: {error.strerror}") from None


def _of_command(command: tuple[str, ...]) -> Secret:
    """Runs a command; what it says on standard error is left where it goes."""
    told = f"the token command {command[0]}"
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoToken(f"{told} took longer than {COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        raise NoToken(f"{told} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise NoToken(f"{told} failed with exit code {done.returncode}")
    return _token(done.stdout, told)


def _token(content: bytes, told: str) -> Secret:
    """Returns the token that was read."""
    text = content.decode("ascii", errors="replace").strip()
    if len(content) > LARGEST_TOKEN or not text or not all("!" <= character <= "~" for character in text):
        raise NoToken(f"{told} gives no token but other text, nothing, or more than 16 KiB")
    return Secret(text)
