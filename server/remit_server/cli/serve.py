"""`remit-server serve`: runs the gateway until it is told to stop."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, complain

if TYPE_CHECKING:
    from remit_server.config.settings import Settings

_log = logging.getLogger(__name__)


def serve(
    config: Annotated[Path, typer.Option("--config", "-c", envvar="REMIT_CONFIG", help="The configuration file.")],
) -> None:
    """Serve the gateway until SIGTERM or SIGINT; running calls end first."""
    import uvloop

    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.logs import configure_logs
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.config.loading import ConfigurationError, load
    from remit_server.domain.errors import RemitError

    configure_logs()
    try:
        uvloop.run(_served(load(config)))
    except (ConfigurationError, BundleRefused, DatabaseRefused, RemitError, RuntimeError) as error:
        complain(f"the gateway did not start: {error}")
        raise typer.Exit(CANNOT_START) from error


async def _served(settings: "Settings") -> None:
    """Serves until a signal arrives."""
    from remit_server.bootstrap import running_gateway

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with running_gateway(settings) as gateway:
        _log.info("serving on %s under policy %s", ", ".join(gateway.addresses), gateway.policy_revision)
        await stop.wait()
        _log.info("stopping: running calls end first")
