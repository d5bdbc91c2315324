"""The commands of `remit-sandbox`: the story (`demo`), or the same world left running (`up`)."""

import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from remit_sandbox.background import BackgroundSandbox, sandbox_in_background
from remit_sandbox.errors import SandboxError
from remit_sandbox.guide import print_guide
from remit_sandbox.local_aws import find_interpreter
from remit_sandbox.private_files import held, private_folder
from remit_sandbox.sandbox import running_sandbox
from remit_sandbox.stage import CameOutDifferently, Stage
from remit_sandbox.story import Story

app = typer.Typer(
    name="remit-sandbox",
    help="Everything a laptop needs to see Remit work; nothing leaves it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # NOTE: pretty tracebacks show local variables, secrets among them
)
WIDEST = 120
_FAILED = 1
_INTERRUPTED = 130


@app.command()
def demo() -> None:
    """Tell the story on real parts; exit 0 only if every step came out as told."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    console = _console()
    folder: Path | None = None
    try:
        find_interpreter()  # the one part that may be missing: better known before anything is made
        folder = Path(tempfile.mkdtemp(prefix="remit-demo-"))
        _tell(Stage(console), folder)
    except (SandboxError, CameOutDifferently) as error:
        _complain(console, "The demo stopped", error)
        if folder is not None:
            console.print(f"Its files are kept in {folder}", soft_wrap=True)
            folder = None
        raise typer.Exit(_FAILED) from error
    except KeyboardInterrupt:
        console.print("\nInterrupted; every process has been ended.")
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder)


def _console() -> Console:
    """Returns the console: the terminal's width up to 120, and lines of 120 where there is no terminal."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a ✓ that a terminal cannot show is no reason to fail
    console = Console(highlight=False)
    return Console(highlight=False, width=min(console.width, WIDEST) if console.is_terminal else WIDEST)


def _complain(console: Console, what: str, error: Exception) -> None:
    """Says what failed; the error's own text is never read as markup."""
    console.print(Text.assemble((f"\n{what}: ", "red"), str(error)), soft_wrap=True)


def _tell(stage: Stage, folder: Path) -> None:
    """Tells the story on a sandbox of its own."""
    starting = stage.console.status("starting: authority, OIDC issuer, local AWS, gateway …")
    starting.start()
    try:
        with sandbox_in_background(folder) as background:
            starting.stop()
            _introduce(stage, background)
            aws = background.sandbox.aws
            Story(background.sandbox, stage, lambda arn: background.run(aws.let_partner_name(arn))).tell()
    finally:
        starting.stop()
    stage.console.print(f"\n[green]All {stage.steps} steps came out as told.[/green] Every process has been ended.")
    stage.console.print("Next: `make sandbox` leaves it running and prints lines to try; README.md, Run it for real.")


def _introduce(stage: Stage, background: BackgroundSandbox) -> None:
    """Says what is running."""
    sandbox = background.sandbox
    stage.console.rule("[bold]Remit: cloud credentials for one task of one agent", align="left")
    stage.table(
        "on this machine",
        "",
        rows=[
            ("gateway (gRPC over TLS)", sandbox.mtls),
            ("OIDC issuer", sandbox.issuer.url),
            ("AWS", f"{sandbox.aws.endpoint_url} (ministack, which enforces policies)"),
            ("policy", "the default one, by embedded Rego"),
            ("audit trail", "one SQLite database"),
        ],
    )


@app.command()
def up(
    folder: Annotated[Path, typer.Option(help="Where certificates, configuration and the ledger are kept.")] = Path(
        ".sandbox"
    ),
) -> None:
    """Leave the sandbox running and print how to use it from another terminal; Ctrl-C ends it."""
    console = _console()
    try:
        asyncio.run(_up(console, folder.absolute()))
    except SandboxError as error:
        _complain(console, "The sandbox did not start", error)
        raise typer.Exit(_FAILED) from error


async def _up(console: Console, folder: Path) -> None:
    """Runs until a signal arrives."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(name, stop.set)
    with held(private_folder(folder)):
        await _running(console, folder, stop)


async def _running(console: Console, folder: Path, stop: asyncio.Event) -> None:
    """Prints the guide of a running sandbox and waits."""
    async with running_sandbox(folder) as sandbox:
        print_guide(console, sandbox)
        await stop.wait()
        console.print("Ending every process …")
