"""`remit-server events`: sets up the streams of security events, and shows that they work."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.security_events.management import Stream
    from remit_server.config.event_settings import TransmitterSettings
    from remit_server.config.settings import Settings

app = typer.Typer(name="events", help="Sets up streams of security events.", no_args_is_help=True)

Alias = Annotated[str, typer.Argument(help="The alias of a transmitter in the configuration.")]
Config = Annotated[Path, typer.Option("--config", "-c", envvar="REMIT_SERVER_CONFIG", help="The configuration file.")]


@app.command("configure")
def configure(alias: Alias, config: Config) -> None:
    """Creates the stream at its transmitter, or changes it to what the configuration says."""
    settings = _transmitter(_settings(config), alias)

    async def work() -> int:
        from remit_server.adapters.security_events.management import StreamManagement

        stream = await StreamManagement.of(settings).configure()
        typer.echo(f"stream {stream.stream_id} of {alias} is {'created' if stream.created else 'as configured'}")
        return _print_stream(settings, stream)

    _finish(work)


@app.command("status")
def status(alias: Alias, config: Config) -> None:
    """Shows the stream as its transmitter has it; ends with 1 when its events would not come or not be taken."""
    settings = _transmitter(_settings(config), alias)

    async def work() -> int:
        from remit_server.adapters.security_events.management import StreamManagement

        management = StreamManagement.of(settings)
        stream = await management.stream()
        state = await management.state(stream.stream_id)
        told = f" ({state.reason})" if state.reason else ""
        typer.echo(f"stream {stream.stream_id} of {alias} is {state.status}{told}")
        return max(_print_stream(settings, stream), 0 if state.status == "enabled" else WRONG)

    _finish(work)


@app.command("verify")
def verify(
    alias: Alias,
    config: Config,
    wait: Annotated[int, typer.Option("--wait", min=1, max=600, help="How many seconds to wait for the event.")] = 60,
) -> None:
    """Has the transmitter send a verification event, and waits until a running gateway has received it."""
    whole = _settings(config)
    settings = _transmitter(whole, alias)

    async def work() -> int:
        if not await _verified(whole, settings, wait):
            complain(
                f"no verification event of {alias} was received within {wait} s: is a gateway running with this "
                "configuration, and does the transmitter reach it? The gateway's log says what it refused."
            )
            return WRONG
        typer.echo(f"the stream of {alias} works: its verification event was received and its state is ours")
        return 0

    _finish(work)


async def _verified(whole: "Settings", settings: "TransmitterSettings", wait: int) -> bool:
    """Says whether the stream showed that it works."""
    from remit_server.adapters.database.ledger import open_ledger
    from remit_server.adapters.database.revoking.heard_events import DatabaseSecurityEvents
    from remit_server.adapters.security_events.management import StreamManagement
    from remit_server.adapters.system_clock import SystemClock, system_entropy
    from remit_server.application.security_events.verify_stream import VerifyStream

    clock, management = SystemClock(), StreamManagement.of(settings)
    stream = await management.stream()
    async with open_ledger(whole.database_url, clock, password_file=whole.database_password_file) as ledger:
        events = DatabaseSecurityEvents(ledger.store)
        request = management.request_verification
        verify = VerifyStream(settings.source, request, events.record_once, events.seen, system_entropy, clock)
        return await verify(stream.stream_id, wait)


def _settings(path: Path) -> "Settings":
    """Returns the configuration, or tells what is wrong with it and ends."""
    from remit_server.config.loading import ConfigurationError, load

    try:
        return load(path)
    except ConfigurationError as error:
        complain(str(error))
        raise typer.Exit(CANNOT_START) from error


def _transmitter(settings: "Settings", alias: str) -> "TransmitterSettings":
    """Returns the transmitter with this alias, or tells which there are and ends."""
    known = {one.alias: one for one in settings.events.transmitters}
    if alias not in known:
        complain(f"there is no transmitter {alias!r} in [[transmitters]]; there are: {', '.join(known) or 'none'}")
        raise typer.Exit(CANNOT_START)
    return known[alias]


def _print_stream(settings: "TransmitterSettings", stream: "Stream") -> int:
    """Prints what a person must know of a stream; returns 1 when its events would not be taken."""
    typer.echo(f"  delivers  {', '.join(one.rpartition('/')[2] for one in stream.delivered) or 'not told'}")
    for event_type in stream.missing if stream.delivered else ():
        complain(f"  advice: the transmitter does not deliver {event_type}")
    if stream.poll_url is not None and stream.poll_url != settings.poll_url:
        complain(f'  set poll_url = "{stream.poll_url}": events are fetched there')
        return WRONG
    if stream.audience not in {"", settings.signer.audience}:
        complain(f'  set audience = "{stream.audience}": its events are made for that, and are refused as it is')
        return WRONG
    return 0


def _finish(work: Callable[[], Awaitable[int]]) -> None:
    """Runs a command's work and ends with its exit code; what failed is told in one line."""
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.application.security_events.ports import TransmitterUnavailable
    from remit_server.domain.errors import RemitError

    async def run() -> int:
        return await work()

    try:
        code = asyncio.run(run())
    except (TransmitterUnavailable, RemitError, DatabaseRefused) as failed:
        complain(str(failed))
        raise typer.Exit(CANNOT_START) from failed
    raise typer.Exit(code)
