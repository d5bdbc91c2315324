"""How the story is told: chapters, steps with what was expected and what happened, and a verdict at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

import remit


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
            self.console.print(escape(text), style="dim")

    def say(self, text: str) -> None:
        """Prints one line of plain text."""
        self.console.print(f"    {escape(text)}")

    def show(self, title: str, text: str) -> None:
        """Prints a text in a frame."""
        self.console.print(Panel(escape(text), title=escape(title), title_align="left", border_style="dim"))

    def table(self, *columns: str, rows: list[tuple[str, ...]]) -> None:
        """Prints a table."""
        table = Table(*columns, box=None, padding=(0, 2, 0, 4), header_style="dim")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.console.print(table)

    @contextmanager
    def step(self, told: str) -> Iterator[None]:
        """Tells what will happen, and whether it did; raises CameOutDifferently when it did not."""
        try:
            yield
        except CameOutDifferently as different:
            self.console.print(f"  [red]✗[/red] {escape(told)}: [red]{escape(str(different))}[/red]")
            raise
        except Exception as error:
            self.console.print(f"  [red]✗[/red] {escape(told)}: [red]{escape(str(error))}[/red]")
            raise CameOutDifferently(told) from error
        self.steps += 1
        self.console.print(f"  [green]✓[/green] {escape(told)}")

    def aws_refuses(self, told: str, call: Callable[[], object], *codes: str) -> None:
        """Expects AWS to refuse a call with one of the codes (AccessDenied unless others are given)."""
        with self.step(told):
            code = _aws_code(call)
            expect(code in (codes or ("AccessDenied",)), f"AWS answered {code or 'yes'}")
        self.say(f"AWS: {code}")

    def remit_refuses(self, told: str, call: Callable[[], object], reason: str) -> remit.RemitError:
        """Expects the gateway to refuse with this reason; returns the error."""
        with self.step(told):
            error = _remit_error(call)
            expect(error is not None, "the gateway said yes")
            assert error is not None  # noqa: S101 - for the type checker: `expect` has raised
            expect(error.reason == reason, f"the gateway's reason was {error.reason}")
        for line in str(error).splitlines():
            self.say(line)
        return error


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
