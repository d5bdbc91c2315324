"""`remit-server policy simulate`: what a bundle would decide, and what AWS would see of it; needs nothing but files."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.policy.app import app, refused_by
from remit_server.cli.policy.naming.whom import may_ask_a_gateway

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.policy.bundles.bundle import Bundle
    from remit_server.application.policy.deciding.simulate import Simulated, Supposition
    from remit_server.config.settings import Settings
    from remit_server.domain.decision import ParentTask
    from remit_server.transport.grpc.operator_client import OperatorClient

_MOST_CHARACTERS: Final = 64 * 1024
_STDIN: Final = "-"


class OutputFormat(StrEnum):
    """How the answer is written."""

    TEXT = "text"
    JSON = "json"


@app.command("simulate")
@may_ask_a_gateway
def simulate_decision(
    client: "OperatorClient | None",
    *,
    claims: Annotated[str, typer.Option("--claims", help="A file with a token's claims as JSON, or - for stdin.")],
    agent: Annotated[str, typer.Option("--agent", help="Its id in the configuration, or its name in policies.")],
    intent: Annotated[str, typer.Option("--intent", help="A file with the task intent as JSON, or - for stdin.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")] = Path("remit.toml"),
    bundle: Annotated[
        Path | None, typer.Option("--bundle", "-b", help="A folder or an archive; else the configuration's own.")
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="When it is asked, as 2026-11-29T12:00:00Z; now where not given.")
    ] = None,
    duration: Annotated[int | None, typer.Option("--duration", min=15, help="For how many seconds.")] = None,
    narrow: Annotated[bool, typer.Option("--narrow", help="Takes what may be had of the intent.")] = False,
    source_ip: Annotated[str, typer.Option("--source-ip", help="Where the call comes from.")] = "192.0.2.1",
    revision: Annotated[
        str, typer.Option("--revision", metavar="REV", help="With --gateway: which published one, not the active one.")
    ] = "",
    parent_task: Annotated[
        str | None, typer.Option("--parent-task", help="A file with input.parent_task as JSON: it was handed on.")
    ] = None,
    output_format: Annotated[OutputFormat, typer.Option("--format", help="text or json.")] = OutputFormat.TEXT,
) -> None:
    """Says what would be decided, on claims that nobody verified, and what AWS would see of it.

    Ends with 0 when credentials would be issued (after an approval where one is needed), with 1 when not, with 2 when
    that cannot be said. Nothing is asked of anybody and nothing recorded, unless --gateway is given: then that gateway
    says what a published revision of its own would decide. Never give it a token: its claims suffice.
    """
    from remit_server.cli.policy.telling.simulated import words

    said, wanted, bounds = _read(claims, "--claims"), _read(intent, "--intent"), (time, duration, source_ip)
    if client is not None:
        if parent_task is not None:
            raise _cannot("--parent-task is for files alone: leave --gateway out.")
        answer = _asked_there(client, (said, agent, wanted), bounds, revision=revision, narrow=narrow)
    else:
        supposed = replace(_supposition(said, agent, wanted, bounds, narrow=narrow), parent_task=_above(parent_task))
        answer = _asked_here(supposed, config, bundle)
    if output_format is OutputFormat.JSON:
        typer.echo(json.dumps(answer, sort_keys=True))
    else:
        for line in words(answer):
            typer.echo(line)
    if not answer["allowed"]:
        raise typer.Exit(WRONG)


def _asked_here(supposition: "Supposition", config: Path, bundle: Path | None) -> dict[str, Any]:
    """Returns what a bundle in files makes of it; ends the command where that cannot be said."""
    from remit_server.cli.policy.telling.simulated import told

    settings = _settings(config)
    place = bundle or settings.policy.bundle
    if place is None:
        raise _cannot(f"{config} names a bundle server and no folder: name a folder or an archive with --bundle.")
    return told(_simulated(_bundle(place), settings, supposition))


def _asked_there(
    client: "OperatorClient",
    supposed: tuple[str, str, str],
    bounds: tuple[str | None, int | None, str],
    *,
    revision: str,
    narrow: bool,
) -> dict[str, Any]:
    """Returns what a gateway says of it; raises CallFailed, and ends the command for an intent that is none."""
    from remit_server.cli.policy.naming.intents import NoIntent, intent_members
    from remit_server.cli.policy.telling.simulated_there import told_there
    from remit_server.transport.grpc.policy import calls

    claims, agent, intent = supposed
    time, duration, source_ip = bounds
    try:
        members = intent_members(intent)
    except NoIntent as wrong:
        raise _cannot(f"--intent is no task intent: {wrong}.") from wrong
    request = calls.simulation(
        claims=claims, agent=agent, intent=members, revision=revision, narrow=narrow, source_ip=source_ip
    )
    if time is not None:
        request.time.FromDatetime(_time(time))
    if duration is not None:
        request.requested_duration.FromSeconds(duration)
    return told_there(calls.simulate(client, request))


def _read(name: str, option: str) -> str:
    """Returns a small file's text, or standard input's; ends the command where there is none."""
    try:
        if name == _STDIN:
            text = sys.stdin.read(_MOST_CHARACTERS + 1)
        else:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(_MOST_CHARACTERS + 1)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _cannot(f"{option} {name} cannot be read: {why}.") from error
    if len(text) > _MOST_CHARACTERS:
        raise _cannot(f"{option} {name} is over {_MOST_CHARACTERS} characters.")
    return text


def _supposition(
    claims: str, agent: str, intent: str, bounds: tuple[str | None, int | None, str], *, narrow: bool
) -> "Supposition":
    """Returns what is supposed; ends the command with the exact place of what is wrong."""
    from remit_server.application.policy.deciding.simulate import Supposition
    from remit_server.cli.policy.naming.intents import NoIntent, intent_members
    from remit_server.domain.errors import InvalidRequest
    from remit_server.transport.grpc.given_intents import given_intent

    time, duration, source_ip = bounds
    try:
        given = given_intent(intent_members(intent))
    except NoIntent as wrong:
        raise _cannot(f"--intent is no task intent: {wrong}.") from wrong
    except InvalidRequest as wrong:
        raise _cannot(f"--intent is no task intent: {wrong.message}.") from wrong
    return Supposition(
        claims=claims,
        agent=agent,
        intent=given,
        time=_time(time),
        requested_duration=None if duration is None else timedelta(seconds=duration),
        narrow=narrow,
        source_ip=source_ip,
    )


def _above(name: str | None) -> "ParentTask | None":
    """Returns the task above that is supposed; ends the command for what is none."""
    from remit_server.domain.decision import ParentTask

    try:
        return None if name is None else ParentTask.parse(_read(name, "--parent-task"))
    except ValueError as wrong:
        raise _cannot(f"--parent-task is no task above: {wrong}.") from wrong


def _time(text: str | None) -> datetime:
    """Returns the time that is supposed, by UTC."""
    if text is None:
        return datetime.now(UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise _cannot("--time is no time such as 2026-11-29T12:00:00Z.") from wrong
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


def _settings(config: Path) -> "Settings":
    from remit_server.config.loading import ConfigurationError, load

    try:
        return load(config)
    except ConfigurationError as error:
        raise _cannot(str(error)) from error


def _bundle(place: Path) -> "Bundle":
    """Returns the bundle in a folder or an archive, stamped or not: it may be work in progress."""
    from remit_server.adapters.policy.bundles.archive import MAX_ARCHIVE_BYTES, files_of_archive
    from remit_server.adapters.policy.bundles.bundle import bundle_of, read_bundle
    from remit_server.adapters.policy.findings import BundleRefused

    try:
        if place.is_dir():
            return read_bundle(place, stamped=False)
        with place.open("rb") as archive:
            return bundle_of(files_of_archive(archive.read(MAX_ARCHIVE_BYTES + 1)), stamped=False)
    except OSError as error:
        raise _cannot(f"--bundle {place} cannot be read: {error.strerror}.") from error
    except BundleRefused as refused:
        refused_by(refused)
        raise typer.Exit(CANNOT_START) from refused


def _simulated(bundle: "Bundle", settings: "Settings", supposition: "Supposition") -> "Simulated":
    """Returns what the bundle makes of it; ends the command where that cannot be said."""
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.domain.errors import RemitError

    try:
        return asyncio.run(_asked(bundle, settings, supposition))
    except BundleRefused as refused:
        refused_by(refused)
        raise typer.Exit(CANNOT_START) from refused
    except RemitError as error:
        cause = f" ({error.__cause__})" if isinstance(error.__cause__, LookupError) else ""
        raise _cannot(f"{error.reason.value}: {error.message}{cause}.") from error


async def _asked(bundle: "Bundle", settings: "Settings", supposition: "Supposition") -> "Simulated":
    from remit_server.adapters.identity.supposing import SupposedDelegations
    from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
    from remit_server.adapters.rego.judges import EngineJudge
    from remit_server.application.planning.ceilings import Ceilings
    from remit_server.application.planning.plan_session import Planner
    from remit_server.application.policy.deciding.simulate import SimulateDecision

    forbidden = tuple(str(action) for action in settings.forbidden_extra)
    planner = Planner(Ceilings.of(settings.roles, forbidden, settings.ceilings_digest))
    seconds = settings.policy.decision_timeout.total_seconds()
    engine = await EmbeddedRego.start(bundle, EngineLimits(spares=0, decision_seconds=max(1.0, seconds)))
    try:
        suppose = SupposedDelegations(settings.issuers, settings.agents)
        return await SimulateDecision(suppose, planner)(EngineJudge(engine, engine.active), supposition)
    finally:
        await engine.close()


def _cannot(message: str) -> typer.Exit:
    """Tells why the command could not do its work, and returns the exit that follows."""
    complain(message)
    return typer.Exit(CANNOT_START)
