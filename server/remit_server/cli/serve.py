"""`remit-server serve`: runs the gateway until it is told to stop."""

import asyncio
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, complain

if TYPE_CHECKING:
    from remit_server.adapters.policy.sources.choosing import FirstOffer
    from remit_server.cli.workers.ports import HeldPorts
    from remit_server.cli.workers.supervisor import Ending
    from remit_server.config.settings import Settings

MOST_WORKERS = 64
_log = logging.getLogger(__name__)


def _count(text: str) -> int:
    """Returns how many workers are meant; `auto` is one for each core that the gateway may use."""
    if text == "auto":
        from remit_server.cli.workers.cores import usable_cores

        return min(usable_cores(), MOST_WORKERS)
    if re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) is None or not 1 <= int(text) <= MOST_WORKERS:
        raise typer.BadParameter(f"{text!r} is neither a number from 1 to {MOST_WORKERS} nor auto")
    return int(text)


def serve(
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="REMIT_SERVER_CONFIG", help="The configuration file.")
    ],
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            "-w",
            envvar="REMIT_WORKERS",
            metavar="N|auto",
            help="How many processes serve on the same ports; auto: one for each core.",
        ),
    ] = "1",
) -> None:
    """Serve the gateway until SIGTERM or SIGINT; running calls end first."""
    from remit_server.adapters.logs import configure_logs
    from remit_server.cli.start_errors import start_errors
    from remit_server.config.loading import load

    count = _count(workers)
    configure_logs()
    _allow_many_connections()
    try:
        settings = load(config)
        ending = _supervised(settings, count) if count > 1 else _alone(settings)
    except start_errors() as error:
        complain(f"the gateway did not start: {error}")
        raise typer.Exit(CANNOT_START) from error
    if ending.message:
        complain(ending.message)
    raise typer.Exit(ending.code)


def _allow_many_connections() -> None:
    """Lets this process, and those it forks, hold as many connections and files open as its limits allow at all."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def _held(settings: "Settings") -> "Iterator[tuple[Settings, HeldPorts]]":
    """Holds the gateway's ports for the block, and yields the settings with the ports it got; raises PortTaken."""
    from dataclasses import replace

    from remit_server.cli.workers.ports import HeldPorts

    opa, http, metrics = settings.policy.opa, settings.http, settings.metrics
    more = [] if http is None else [http.address]
    more += [] if metrics is None else [metrics.listener.address]
    more += [] if opa is None else [opa.bundle_address]
    with HeldPorts([*(listener.address for listener in settings.listeners), *more]) as ports:
        taken = iter(ports.addresses)  # OPA knows the last one as it is written
        listeners = tuple(replace(listener, address=next(taken)) for listener in settings.listeners)
        http = None if http is None else replace(http, address=next(taken))
        if metrics is not None:
            metrics = replace(metrics, listener=replace(metrics.listener, address=next(taken)))
        yield replace(settings, listeners=listeners, http=http, metrics=metrics), ports


def _supervised(settings: "Settings", workers: int) -> "Ending":
    """Serves with several workers.

    NOTE: what is forked must have no thread, no event loop and no grpc, so nothing here may load `bootstrap`.
    """
    from remit_server.adapters.metrics.cells import Cells
    from remit_server.adapters.opa.nonce import new_nonce
    from remit_server.adapters.own_memory import keep_memory_private
    from remit_server.adapters.policy.sources.choosing import first_offer
    from remit_server.cli.workers.gateway import GatewayWork
    from remit_server.cli.workers.supervisor import Supervisor
    from remit_server.config.sharing import share_of

    keep_memory_private()
    # Read once, for the workers of today and those that replace them: whatever happens to the files meanwhile.
    first = first_offer(settings.policy, [role.arn for role in settings.roles])
    with _held(share_of(settings, workers)) as (held, ports):
        cells = None if settings.metrics is None else Cells.of(workers)
        work = GatewayWork(held, first, workers, new_nonce(), cells)
        return Supervisor(work, workers, abandon=ports.close).run()


def _alone(settings: "Settings") -> "Ending":
    """Serves in this process."""
    import uvloop

    from remit_server.adapters.policy.sources.choosing import first_offer
    from remit_server.cli.workers.supervisor import Ending

    first = first_offer(settings.policy, [role.arn for role in settings.roles])
    with _held(settings) as (held, _):
        uvloop.run(_served(held, first))
    return Ending(0)


async def _served(settings: "Settings", first: "FirstOffer") -> None:
    """Serves until a signal arrives."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    # Loaded after that: it takes a second, in which a signal is heard already.
    from remit_server.bootstrap import running_gateway
    from remit_server.cli.heap import keep_what_is_loaded

    async with running_gateway(settings, first=first) as gateway:
        keep_what_is_loaded()
        _log.info("serving on %s under policy %s", gateway.where, gateway.policy_revision)
        await stop.wait()
        _log.info("stopping: running calls end first")
