"""How commands speak: results on standard output, complaints on standard error, and what an exit code means."""

import sys

WRONG = 1  # what was asked about is wrong: a configuration, a policy, a chain
CANNOT_START = 2  # the command could not do its work


def complain(message: str) -> None:
    """Writes one complaint to standard error."""
    sys.stderr.write(f"{message}\n")


def visible(text: str) -> str:
    """Returns a text that cannot steer a terminal: what is not printable is escaped as in Python."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
