"""`remit-sandbox`: the story (`demo`), or the same world left running (`up`)."""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from remit_sandbox.errors import SandboxError
from remit_sandbox.guide import print_guide
from remit_sandbox.sandbox import Sandbox, running_sandbox
from remit_sandbox.stage import CameOutDifferently, Stage
from remit_sandbox.story import Story

app = typer.Typer(
    name="remit-sandbox",
    help="Everything a laptop needs to see Remit work; nothing leaves it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # NOTE: pretty tracebacks show local variables, secrets among them
)
_FAILED = 1


@app.command()
def demo() -> None:
    """Tell the story on real parts; exit 0 only if every step came out as told."""
    console = _console()
    folder = Path(tempfile.mkdtemp(prefix="remit-demo-"))
    try:
        asyncio.run(_told(Stage(console), folder))
    except (SandboxError, CameOutDifferently) as error:
        console.print(f"\n[red]The demo stopped:[/red] {error}\nIts files are kept in {folder}", soft_wrap=True)
        raise typer.Exit(_FAILED) from error
    shutil.rmtree(folder)


def _console() -> Console:
    """Returns the console: the terminal's width, or lines of 120 where there is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


async def _told(stage: Stage, folder: Path) -> None:
    """Runs the sandbox around the story. The story itself is plain synchronous code, so it has a thread of its own."""
    loop = asyncio.get_running_loop()
    with stage.console.status("starting: authority, OIDC issuer, local AWS, gateway …"):
        running = running_sandbox(folder)
        sandbox = await running.__aenter__()
    try:
        _introduce(stage, sandbox)

        def name_session(arn: str) -> None:
            asyncio.run_coroutine_threadsafe(sandbox.aws.let_partner_name(arn), loop).result()

        await asyncio.to_thread(Story(sandbox, stage, name_session).tell)
    finally:
        await running.__aexit__(None, None, None)
    stage.console.print(f"\n[green]All {stage.steps} steps came out as told.[/green] Every process has been ended.")


def _introduce(stage: Stage, sandbox: Sandbox) -> None:
    """Says what is running."""
    stage.console.rule("[bold]Remit: cloud credentials for one task of one agent", align="left")
    stage.table(
        "part",
        "where",
        rows=[
            ("gateway (gRPC, mTLS)", sandbox.mtls),
            ("gateway (gRPC, bearer)", sandbox.bearer),
            ("OIDC issuer", sandbox.issuer.url),
            ("AWS", f"{sandbox.aws.endpoint_url} (ministack, enforcing policies)"),
            ("policy", "policies/, embedded Rego in a worker process"),
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
        console.print(f"[red]The sandbox did not start:[/red] {error}", soft_wrap=True)
        raise typer.Exit(_FAILED) from error


async def _up(console: Console, folder: Path) -> None:
    """Runs until a signal arrives."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with running_sandbox(folder) as sandbox:
        print_guide(console, sandbox)
        await stop.wait()
        console.print("ending every process …")


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
