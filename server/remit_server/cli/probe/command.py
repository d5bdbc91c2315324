"""The command: its options, one round or many, and its exit code."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from remit_server.cli.output import CANNOT_START, complain
from remit_server.cli.remote import CaFile, Gateway

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.probing.material import Gathering
    from remit_server.cli.probe.rounds import Rounds
    from remit_server.transport.grpc.probe_calls import ProbeCalls

_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_SHORTEST, _LONGEST = 10.0, 86_400.0
_AGENT, _USER, _HOW = "The agent that exists for probing", "The user that exists for probing", "How it runs"
_SOURCE = "SOURCE"
_SOURCES = "file:/path or command:PROGRAM ARGUMENTS"


def _interval(text: str) -> float:
    """Returns an interval such as 60s, 5m or 1h in seconds."""
    found = re.fullmatch(r"([0-9]{1,5})([smh])", text, re.ASCII)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not _SHORTEST <= seconds <= _LONGEST:
        raise typer.BadParameter(f"{text!r} is no interval between 10s and 24h, such as 60s or 5m")
    return seconds


def _address(text: str) -> tuple[str, int]:
    """Returns host and port."""
    host, _, port = text.rpartition(":")
    if not host or re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) is None or int(port) > 65535:  # noqa: PLR2004 - TCP's
        raise typer.BadParameter(f"{text!r} is no HOST:PORT, such as 127.0.0.1:9465")
    return host.strip("[]"), int(port)


def probe(
    gateway: Gateway,
    *,
    subject: Annotated[
        str, typer.Option(help="The `sub` of that user. A token of anybody else is never sent.", rich_help_panel=_USER)
    ],
    subject_token: Annotated[
        str, typer.Option(metavar=_SOURCE, help=f"Its token for the agent: {_SOURCES}.", rich_help_panel=_USER)
    ],
    unbound_token: Annotated[
        str | None,
        typer.Option(metavar=_SOURCE, help="Its token for another agent's client.", rich_help_panel=_USER),
    ] = None,
    other_audience_token: Annotated[
        str | None,
        typer.Option(metavar=_SOURCE, help="Its token for another service.", rich_help_panel=_USER),
    ] = None,
    expired_token: Annotated[
        str | None,
        typer.Option(metavar=_SOURCE, help="Its token of some time ago, which is over.", rich_help_panel=_USER),
    ] = None,
    ca_file: CaFile = None,
    certificate: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Its certificate (PEM), with --key.", rich_help_panel=_AGENT)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(dir_okay=False, help="The certificate's key (PEM).", rich_help_panel=_AGENT)
    ] = None,
    bearer: Annotated[
        str | None,
        typer.Option(metavar=_SOURCE, help="Its token, in place of a certificate.", rich_help_panel=_AGENT),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(parser=_interval, metavar="INTERVAL", help="Go on, such as every 60s.", rich_help_panel=_HOW),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve /metrics there, with --every.", rich_help_panel=_HOW),
    ] = None,
    textfile: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write the metrics there, for the node exporter.", rich_help_panel=_HOW),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=60, help="Seconds for each request.", rich_help_panel=_HOW)
    ] = 10.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object for each round.", rich_help_panel=_HOW)
    ] = False,
) -> None:
    """Ask a running gateway for what it must refuse. Exit code: 0 all refused, 1 ALARM, 2 nothing is proven."""
    from remit_server.application.probing.checks import ELSEWHERE, EXPIRED, UNBOUND
    from remit_server.cli.probe.rounds import Rounds

    if metrics is not None and every is None:
        raise typer.BadParameter("--metrics serves a page while the prober runs: it goes with --every")
    spare = {UNBOUND.name: unbound_token, ELSEWHERE.name: other_audience_token, EXPIRED.name: expired_token}
    try:
        gather, calls = _parts(gateway, ca_file, (certificate, key, bearer), (subject, subject_token, spare), timeout)
    except ValueError as wrong:
        complain(str(wrong))
        raise typer.Exit(CANNOT_START) from None
    rounds = Rounds(gather, calls, as_json=as_json, textfile=textfile)
    raise typer.Exit(rounds.once() if every is None else _endless(rounds, every, metrics))


def _parts(
    gateway: str,
    ca_file: Path | None,
    agent: tuple[Path | None, Path | None, str | None],
    user: tuple[str, str, dict[str, str | None]],
    timeout: float,
) -> "tuple[Gathering, ProbeCalls]":
    """Returns what gathers a round's tokens and what calls the gateway; raises ValueError."""
    from remit_server.adapters.probing.material import Gathering
    from remit_server.adapters.probing.sources import token_source
    from remit_server.transport.grpc.own_files import OwnCertificate, check_target
    from remit_server.transport.grpc.probe_calls import ProbeCalls

    check_target(gateway)
    certificate, key, bearer = agent
    if (certificate is None) != (key is None) or (certificate is None) == (bearer is None):
        raise ValueError("Say who the prober is: --certificate and --key, or --bearer.")
    subject, subject_token, spare = user
    sources = {name: token_source(text) for name, text in spare.items() if text is not None}
    if certificate is not None and key is not None:
        gather = Gathering(subject, token_source(subject_token), certificate, sources)
        return gather, ProbeCalls(gateway, ca_file, OwnCertificate(certificate, key), timeout)
    bearer_source = token_source(bearer or "")
    gather = Gathering(subject, token_source(subject_token), bearer_source, sources)
    return gather, ProbeCalls(gateway, ca_file, bearer_source, timeout)


def _endless(rounds: "Rounds", every: float, metrics: str | None) -> int:
    """Goes on until it is told to stop; with a page of metrics where that is asked for."""
    from contextlib import ExitStack

    from remit_server.adapters.probing.metrics import metrics_page

    with ExitStack() as stack:
        if metrics is not None:
            try:
                host, port = stack.enter_context(metrics_page(_address(metrics), rounds.metrics))
            except OSError as error:
                complain(f"--metrics cannot listen on {metrics}: {error.strerror}")
                return CANNOT_START
            complain(f"metrics on http://{host}:{port}/metrics")
        return rounds.forever(every)
