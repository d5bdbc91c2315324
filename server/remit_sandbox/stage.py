"""How the story is told: chapters, steps with what was expected and what happened, and a verdict at the end."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import remit

_INDENT = 4


class CameOutDifferently(Exception):  # noqa: N818 - named for what it says
    """A step did not come out as told; the story ends here."""


class Stage:
    """Prints a story on a console: in colour on a terminal, plain text elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps = 0

    def chapter(self, title: str, text: str = "") -> None:
        """Opens a chapter."""
        self.console.print()
        self.console.rule(f"[bold]{escape(title)}", align="left")
        if text:
            self.console.print(Text(text, style="italic"))

    def say(self, *lines: str) -> None:
        """Prints lines below a step."""
        for line in lines:
            self.console.print(Padding(Text(line, style="dim"), (0, 0, 0, _INDENT), expand=False))

    def table(self, *columns: str, rows: Iterable[tuple[str, ...]]) -> None:
        """Prints a table."""
        table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(Padding(table, (0, 0, 0, _INDENT), expand=False))

    @contextmanager
    def step(self, told: str) -> Iterator[list[str]]:
        """Tells what happens, and whether it did; what the block adds to the list is told as its outcome.

        Raises CameOutDifferently when it did not.
        """
        outcome: list[str] = []
        try:
            yield outcome
        except CameOutDifferently as different:
            self._line("✗", "red", f"{told}: {different}")
            raise
        except Exception as error:
            self._line("✗", "red", f"{told}: {error}")
            raise CameOutDifferently(told) from error
        self.steps += 1
        self._line("✓", "green", " → ".join([told, *outcome]))

    def aws_refuses(self, told: str, call: Callable[[], object]) -> None:
        """Expects AWS to answer a call with AccessDenied."""
        with self.step(told) as outcome:
            code = _aws_code(call)
            expect(code == "AccessDenied", f"AWS answered {code or 'yes'}")
            outcome.append(code)

    def remit_refuses(self, told: str, call: Callable[[], object], reason: str) -> remit.RemitError:
        """Expects the gateway to refuse with this reason; tells its sentence and returns the error."""
        with self.step(told) as outcome:
            error = _remit_error(call)
            expect(error is not None, "the gateway said yes")
            assert error is not None  # noqa: S101 - for the type checker: `expect` has raised
            expect(error.reason == reason, f"the gateway's reason was {error.reason}")
            outcome.append(reason)
        self.say(error.message)
        return error

    def _line(self, mark: str, style: str, text: str) -> None:
        """Prints a step's line, with what is wrapped under its first word."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(Text(f"  {mark}", style=style), Text(text))
        self.console.print(grid)


def expect(came_out: object, otherwise: str) -> None:
    """Raises CameOutDifferently unless it came out."""
    if not came_out:
        raise CameOutDifferently(otherwise)


def _aws_code(call: Callable[[], object]) -> str:
    """Returns the error code of an AWS call, or nothing when it went through."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _remit_error(call: Callable[[], object]) -> remit.RemitError | None:
    """Returns the gateway's error, or None when the call went through."""
    try:
        call()
    except remit.RemitError as error:
        return error
    return None
