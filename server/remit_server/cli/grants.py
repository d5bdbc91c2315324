"""`remit-server grants`: shows what agents hold, and ends it, by calling a gateway."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from remit_server.cli.audit_words import counted, plain
from remit_server.cli.grant_words import told_grant, told_revoke, told_times
from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.remote import calls_a_gateway
from remit_server.cli.strangers import told_stranger
from remit_server.cli.tables import print_table

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.transport.grpc.operator_calls import Aim, Grant, Revoked
    from remit_server.transport.grpc.operator_client import OperatorClient

app = typer.Typer(name="grants", help="Shows what agents hold, and ends it.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Writes one JSON object to a line.")]
Why = Annotated[str, typer.Option("--why", help="Why, for the record.")]
Task = Annotated[str, typer.Option("--task", help="Of this task.")]
User = Annotated[str, typer.Option("--user", help="Of this user, by what the identity provider calls them (`sub`).")]
Issuer = Annotated[str, typer.Option("--issuer", help="The user's identity provider (`iss`).")]
Actor = Annotated[str, typer.Option("--actor", help="Of this agent: a SPIFFE ID or ALIAS:ID.")]
Revision = Annotated[str, typer.Option("--revision", help="Decided by this policy revision (64 hex digits).")]
MOST: Final = 100_000
MOST_COUNTED: Final = 1000


@app.command("list")
@calls_a_gateway
def list_grants(
    client: "OperatorClient",
    *,
    filter_: Annotated[
        str, typer.Option("--filter", help='An AIP-160 filter: state = ISSUED AND subject.id = "alice".')
    ] = "",
    task: Task = "",
    user: User = "",
    issuer: Issuer = "",
    actor: Actor = "",
    revision: Revision = "",
    state: Annotated[str, typer.Option("--state", help="In this state: ISSUED, REVOKING, ...")] = "",
    access_key: Annotated[str, typer.Option("--access-key", help="That this access key id belongs to.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Lists grants that you may see, newest first."""
    from remit_server.domain.grant import GrantState
    from remit_server.transport.grpc import operator_calls as calls

    if state and state not in GrantState.__members__:
        raise _failure(f"--state: there is no state {plain(state)}; there are {', '.join(GrantState.__members__)}.")
    wanted = _filter(
        filter_,
        {"task_id": task, "subject.id": user, "subject.issuer": issuer, "actor": actor, "policy_revision": revision},
        {"state": state, "access_key_id": access_key},
    )
    count = 0
    if as_json:
        for grant in calls.list_grants(client, wanted, limit):
            typer.echo(calls.as_json(grant))
        return
    rows = []
    for grant in calls.list_grants(client, wanted, limit):
        count += 1
        rows.append(_row(grant))
    if not count:
        complain(f"There are no grants that you may see{' and that this filter means' if wanted else ''}.")
        for line in told_stranger(client, user=user, actor=actor):
            complain(line)
        return
    print_table(("state", "user", "agent", "role", "issued (UTC)", "until (UTC)", "grant"), rows)
    if count == limit:
        complain(f"These are the newest {limit}; there may be more: --limit.")


@app.command("show")
@calls_a_gateway
def show_grant(
    client: "OperatorClient",
    name: Annotated[str, typer.Argument(metavar="GRANT", help="tasks/TASK/grants/GRANT")],
    as_json: AsJson = False,
) -> None:
    """Shows one grant whole, with its session policy."""
    from remit_server.transport.grpc import operator_calls as calls

    grant = calls.get_grant(client, name)
    if as_json:
        typer.echo(calls.as_json(grant))
        return
    for label, text in told_grant(grant):
        typer.echo(f"{label:<14} {text}")


@app.command("revoke")
@calls_a_gateway
def revoke_grants(
    client: "OperatorClient",
    *,
    why: Why,
    name: Annotated[str, typer.Argument(metavar="[GRANT]", help="tasks/TASK/grants/GRANT")] = "",
    task: Task = "",
    user: User = "",
    issuer: Issuer = "",
    actor: Actor = "",
    revision: Revision = "",
    block: Annotated[
        bool, typer.Option("--block", help="Also refuse this user, agent or revision from now on, until unblocked.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until AWS refuses the credentials.")] = False,
    timeout: Annotated[int, typer.Option("--timeout", min=1, help="How long to wait, in seconds.")] = 900,
    as_json: AsJson = False,
) -> None:
    """Ends grants: by name, or of a task, user, agent or policy revision. From then on no new credentials anywhere.

    It ends with 1 when no live grant matched and nothing was blocked either.
    """
    from remit_server.transport.grpc import operator_calls as calls

    if bool(user) != bool(issuer):
        raise _failure("--user and --issuer belong together: two providers may each have a user of one name.")
    aim = calls.Aim(name, task, (issuer, user) if user else None, actor, revision)
    aim.message()
    if not yes:
        _confirm(client, aim, block=block)
    revoked = calls.revoke(client, aim, block=block, why=why)
    in_vain = not revoked.grant_count and not block
    if as_json:
        typer.echo(calls.as_json(revoked))
    for line in told_revoke(revoked, aim, block=block) if in_vain or not as_json else ():
        typer.echo(line, err=in_vain)
    for line in () if revoked.grant_count else told_stranger(client, user=user, actor=actor):
        complain(line)
    if in_vain:
        raise typer.Exit(WRONG)
    if wait and revoked.grant_count:
        _wait(client, revoked, timeout, as_json=as_json)


@app.command("watch")
@calls_a_gateway
def watch_grants(
    client: "OperatorClient",
    filter_: Annotated[str, typer.Option("--filter", help="As with `grants list`.")] = "",
    as_json: AsJson = False,
) -> None:
    """Shows grants as they are issued, renewed and revoked, until Ctrl-C."""
    from remit_server.transport.grpc import operator_calls as calls

    for grant in calls.watch_grants(client, filter_):
        typer.echo(calls.as_json(grant) if as_json else f"{datetime.now(UTC):%H:%M:%S}  {'  '.join(_row(grant))}")


@app.command("blocks")
@calls_a_gateway
def list_blocks(
    client: "OperatorClient",
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Lists who is blocked."""
    from remit_server.transport.grpc import operator_calls as calls

    blocks = list(calls.list_blocks(client, limit))
    if as_json:
        for block in blocks:
            typer.echo(calls.as_json(block))
    elif not blocks:
        complain("Nobody is blocked.")
    else:
        rows = []
        for block in blocks:
            kind = block.target.WhichOneof("target") or ""
            value = getattr(block.target, kind)
            what = f"{value.id} of {value.issuer}" if kind == "subject" else value
            since = block.create_time.ToDatetime()
            told = (plain(what), f"{since:%F %T}", plain(block.by), plain(block.why))
            rows.append((kind.replace("_", " "), *told, block.name))
        print_table(("what", "who", "since (UTC)", "by", "why", "block"), rows)


@app.command("unblock")
@calls_a_gateway
def unblock(
    client: "OperatorClient",
    name: Annotated[
        str, typer.Argument(metavar="BLOCK", help="blocks/BLOCK, as `grants blocks` shows it, or BLOCK alone")
    ],
    why: Why,
) -> None:
    """Lifts a block. What was revoked stays revoked."""
    from remit_server.transport.grpc import operator_calls as calls

    name = name if name.startswith("blocks/") else f"blocks/{name}"
    lifted = calls.remove_block(client, name, why)
    typer.echo(f"{name} is lifted since {lifted.ToDatetime():%F %T} UTC.")


def _filter(own: str, texts: dict[str, str], words: dict[str, str]) -> str:
    """Returns one filter of what was written and of the options."""
    parts = [f"({own})"] if own.strip() else []
    for field, text in texts.items():
        if text:
            escaped = "".join(f"\\{one}" if one in "\"'\\*" else one for one in text)
            parts.append(f'{field} = "{escaped}"')
    parts += [f"{field} = {word}" for field, word in words.items() if word]
    return own if own.strip() and len(parts) == 1 else " AND ".join(parts)


def _row(grant: "Grant") -> tuple[str, ...]:
    """Returns a grant as one line of a table."""
    from remit_server.transport.grpc.operator_calls import state_name

    issued, until = told_times(grant)
    user, role = plain(grant.subject.id), grant.role_arn.rpartition("/")[2]
    return (state_name(grant), user, plain(grant.actor), role, issued, until, grant.name)


def _confirm(client: "OperatorClient", aim: "Aim", *, block: bool) -> None:
    """Asks whether so many grants shall be ended; ends the command where nobody says yes."""
    from itertools import islice

    from remit_server.transport.grpc import operator_calls as calls
    from remit_server.transport.grpc.operator_client import CallFailed

    if aim.grant:
        what = "1 grant"
    else:
        subject_issuer, subject_id = aim.subject or ("", "")
        fields = {"task_id": aim.task_id, "subject.id": subject_id, "subject.issuer": subject_issuer}
        wanted = _filter(
            "", {**fields, "actor": aim.actor, "policy_revision": aim.policy_revision}, {"state": "ISSUED"}
        )
        try:
            count = len(list(islice(calls.list_grants(client, wanted, MOST_COUNTED + 1), MOST_COUNTED + 1)))
            what = counted(count, "live grant") if count <= MOST_COUNTED else f"more than {MOST_COUNTED} live grants"
        except CallFailed as failed:
            what = f"grants that you may not list ({failed.reason})"
    blocked = " and block whose they are" if block else ""
    if not typer.confirm(f"End {what}{blocked}?", err=True):
        complain("Nothing was ended.")
        raise typer.Exit(WRONG)


def _wait(client: "OperatorClient", revoked: "Revoked", timeout: int, *, as_json: bool) -> None:
    """Waits until AWS refuses the credentials of the grants that were named, and says since when it does."""
    import time

    from remit_server.transport.grpc import operator_calls as calls

    waiting = list(revoked.grants)
    until = time.monotonic() + timeout
    latest: Grant | None = None
    while waiting:
        grant = calls.get_grant(client, waiting[-1])
        if calls.is_refused_by_aws(grant):
            latest = grant if latest is None or calls.refused_since(grant) > calls.refused_since(latest) else latest
            waiting.pop()
            continue
        if time.monotonic() > until:
            raise _failure(f"AWS is not known to refuse {len(waiting)} of them yet: `grants show` says when it does.")
        time.sleep(1)
    if latest is None:
        return
    if as_json:
        typer.echo(calls.as_json(latest))
        return
    more = f" (of {revoked.grant_count} the first {len(revoked.grants)} were looked at)"
    told = more if revoked.grant_count > len(revoked.grants) else ""
    typer.echo(f"AWS refuses them since {calls.refused_since(latest):%F %T} UTC, {calls.how_known(latest)}{told}.")


def _failure(message: str) -> typer.Exit:
    """Tells why the command could not do its work and returns the exit that follows."""
    complain(message)
    return typer.Exit(CANNOT_START)
