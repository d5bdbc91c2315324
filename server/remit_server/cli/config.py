"""`remit-server config`: says whether a configuration can be served, and everything that is wrong with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from remit_server.cli.audit_words import counted
from remit_server.cli.output import WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.config.mistakes import Mistake
    from remit_server.config.settings import IssuerSettings, OwnIssuerSettings, Settings
    from remit_server.domain.entitlement import Role

PLATFORM = "the platform's credentials"
app = typer.Typer(name="config", help="Checks a configuration.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Check a configuration."""


@app.command("check")
def check(
    config: Annotated[
        Path,
        typer.Option(
            "--config", "-c", envvar="REMIT_SERVER_CONFIG", help="The configuration file, such as remit.toml."
        ),
    ],
    *,
    ask_issuers: Annotated[
        bool, typer.Option("--ask-issuers", help="Also fetch each issuer's keys, as the gateway would, from here.")
    ] = False,
) -> None:
    """Prints every mistake and ends with 1, or prints what would be served and ends with 0."""
    from remit_server.config.loading import ConfigurationError, load

    try:
        settings = load(config)
    except ConfigurationError as error:
        _print_mistakes(error.path, error.mistakes)
        raise typer.Exit(WRONG) from error
    revision = _check_bundle(settings)
    if ask_issuers:
        _check_issuers(settings)
    _print_settings(config, settings, revision)
    _print_advice(settings)


def _check_bundle(settings: "Settings") -> str:
    """Returns the revision in the folder, or ends the command when it could not be served.

    Empty for a bundle server, which is asked at the start only.
    """
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.policy.sources.choosing import first_bundle

    if settings.policy.bundle is None:
        return ""
    try:
        return first_bundle(settings.policy, [role.arn for role in settings.roles]).revision
    except BundleRefused as refused:
        complain(f"the policy bundle in {settings.policy.bundle} cannot be served:\n{refused}")
        raise typer.Exit(WRONG) from refused


def _print_advice(settings: "Settings") -> None:
    """Prints the actions of ceilings and floor that AWS's own reference does not have; they may be newer than it."""
    from remit_server.adapters.policy.checking.aws_advice import unknown_action

    if settings.own_issuer is not None:
        if urlsplit(settings.own_issuer.url).port is not None:
            complain("advice: issuer.url has a port. AWS's OIDC providers have none: serve the documents on 443.")
        if settings.http is None:
            complain("advice: [issuer] without [listen.http]: publish its documents by `remit-server issuer export`.")
    places = [
        (f"the ceiling of {role.arn}", action)
        for role in settings.roles
        for statement in role.ceiling.statements
        for action in statement.actions
    ]
    places += [("forbidden.actions", action) for action in settings.forbidden_extra]
    for place, action in dict.fromkeys(places):
        for advice in unknown_action(action):
            complain(f"advice: {place}: {advice.problem}. {advice.mend}.")


def _check_issuers(settings: "Settings") -> None:
    """Prints why an issuer's keys cannot be had and ends with 1, unless all of them can."""
    from remit_server.adapters.identity.jwks import why_keys_fail
    from remit_server.adapters.security_events.management import ssf_discovery_url

    failures = why_keys_fail(settings.issuers)
    for alias, why in failures:
        complain(f"the keys of issuer {alias} cannot be had: {why}")
    signers = [transmitter.signer for transmitter in settings.events.transmitters]
    silent = why_keys_fail(signers, ssf_discovery_url)
    for alias, why in silent:
        complain(f"the keys of transmitter {alias} cannot be had: {why}")
    if failures or silent:
        raise typer.Exit(WRONG)


def _print_mistakes(path: Path, mistakes: "tuple[Mistake, ...]") -> None:
    """Prints every mistake to standard error."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    console.print(Text(f"{path} has {count}", style="bold red"))
    for mistake in mistakes:
        grid = Table.grid(padding=(0, 1, 0, 2))
        grid.add_row(Text("why", style="dim"), Text(mistake.why))
        grid.add_row(Text("mend", style="dim"), Text(mistake.mend))
        console.print()
        console.print(Text.assemble((mistake.place, "bold"), f": {mistake.problem}"), soft_wrap=True)
        console.print(grid)


def _print_settings(path: Path, settings: "Settings", revision: str) -> None:
    """Prints what a gateway with these settings would serve."""
    typer.secho(f"{path} is right. A gateway with it would serve:", fg=typer.colors.GREEN)
    for label, text in _rows(settings, revision):
        typer.echo(f"  {label:<9} {text}")


def _rows(settings: "Settings", revision: str) -> list[tuple[str, str]]:
    """Returns what is served, line by line; no secret is among it.

    `revision` is what a gateway would adopt, unless it decided before and another one is active by now.
    """
    rows = [
        ("listens", f"{item.address} ({'client certificates' if item.client_ca_file else 'bearer tokens'})")
        for item in settings.listeners
    ]
    if settings.http is not None:
        rows.append(("listens", f"{settings.http.address} ({'HTTPS' if settings.http.key_pair else 'HTTP, loopback'})"))
    if settings.metrics is not None:
        whom = "whoever is on this machine" if settings.metrics.token is None else "who shows the token"
        rows.append(("figures", f"{settings.metrics.listener.address}, for {whom}"))
    if settings.tracing is not None:
        rows.append(("traces", f"{settings.tracing.share:.0%} of calls, to {settings.tracing.endpoint}"))
    if settings.own_issuer is not None:
        rows.append(("issues", _issuer(settings.own_issuer)))
    rows += [("trusts", f"{item.issuer} as {item.alias}, for {_use(item)}") for item in settings.issuers]
    rows += [
        ("agent", f"{item.agent}: {item.spiffe_id or f'{item.subject} of {item.issuer}'}") for item in settings.agents
    ]
    rows += [("admin", name) for name in sorted(settings.administrators)]
    rows += [
        ("role", f"{item.arn} in {item.region}, up to {int(item.max_session.total_seconds())} s{_way(item)}")
        for item in settings.roles
    ]
    rows += _event_rows(settings)
    rows += [
        ("policy", f"{_bundles(settings)}, decided by {_engine(settings)}"),
        *([("revision", revision)] if revision else []),
        ("AWS", f"{settings.aws.endpoint_url or f'STS of {settings.aws.region}'}, {_signed_with(settings)}"),
        ("revokes", _revoking(settings)),
        ("ledger", settings.database_url),
        ("digest", settings.digest),
        ("ceilings", settings.ceilings_digest),
    ]
    return rows


def _bundles(settings: "Settings") -> str:
    """Says where bundles come from, and whose signature they bear."""
    policy = settings.policy
    place = str(policy.bundle) if policy.server is None else policy.server.url
    keys = ", ".join(key.key_id for key in policy.signing.keys)
    if not keys:
        return place
    return f"{place}, {'signed by' if policy.signing.required else 'if signed, by'} {keys}"


def _event_rows(settings: "Settings") -> list[tuple[str, str]]:
    """Returns who tells the gateway about users."""
    events = settings.events
    return [
        *(("hears", f"{one.source} about users of {one.users_of}, by {one.delivery}") for one in events.transmitters),
        *(("hears", f"{one.source} about users of {', '.join(sorted(one.issuers))}") for one in events.webhooks),
        *(("asks", f"{one.source} about users of {one.issuer}") for one in events.status_polls),
    ]


def _way(role: "Role") -> str:
    """Returns by which subject a role is opened, where that is not by AWS keys."""
    from remit_server.domain.entitlement import AssumedBy

    return f", by web identity as {role.web_identity_subject}" if role.assumed_by is AssumedBy.WEB_IDENTITY else ""


def _signed_with(settings: "Settings") -> str:
    """Returns what the calls to AWS are signed with."""
    from remit_server.domain.entitlement import AssumedBy

    if all(role.assumed_by is AssumedBy.WEB_IDENTITY for role in settings.roles):
        return "with tokens of the gateway's own issuer and no AWS keys"
    return f"signed with {f'access key {settings.aws.access_key_id}' if settings.aws.access_key_id else PLATFORM}"


def _issuer(settings: "OwnIssuerSettings") -> str:
    """Returns what the gateway's own issuer is and signs with."""
    from remit_server.adapters.issuer.keys import Keys

    keys = Keys.read(settings)
    return f"{settings.url}, signing with key {keys.active.key_id}, publishing {len(keys.published)}"


def _engine(settings: "Settings") -> str:
    """Returns which engine decides."""
    opa = settings.policy.opa
    if opa is None:
        return "the embedded engine"
    return f"OPA at {opa.url}, which pulls the bundle from {opa.bundle_address}"


def _revoking(settings: "Settings") -> str:
    """Returns how sessions that are out come to their end."""
    table = settings.revocation
    if table is None:
        return "sessions end by their time guards; AWS is told nothing ([revocation] is absent)"
    accounts = len({role.account for role in settings.roles})
    how = "observed by canaries" if table.canary else "assumed"
    bound = int(table.propagation_bound.total_seconds())
    where = counted(accounts, "AWS account")
    return f"{table.policy_prefix}-1 to -4 in {where}, by {table.role_name}; {how} within {bound} s"


def _use(item: "IssuerSettings") -> str:
    """Returns what an issuer's tokens are taken for."""
    uses = {
        "subjects": "users",
        "actors": "agents",
        "carries_actor": "both in one",
        "operator_audience": "operators",
    }
    return " and ".join(word for name, word in uses.items() if getattr(item, name))
