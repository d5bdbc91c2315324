"""`remit-server approvals`: shows what people are asked, and takes their yes or no, by calling a gateway."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from remit_server.cli.approval_words import told_approval, told_need
from remit_server.cli.audit_words import plain
from remit_server.cli.output import WRONG, complain
from remit_server.cli.remote import calls_a_gateway
from remit_server.cli.tables import print_table

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.transport.grpc.approval_calls import Approval
    from remit_server.transport.grpc.operator_client import OperatorClient

app = typer.Typer(name="approvals", help="Shows what people are asked, and takes their answer.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Writes one JSON object to a line.")]
Name = Annotated[str, typer.Argument(metavar="APPROVAL", help="approvals/APPROVAL, as `approvals list` shows it")]
Comment = Annotated[str, typer.Option("--comment", help="Why, for the record.")]
Digest = Annotated[
    str, typer.Option("--digest", help="What you decide about, as it was shown; without it you are shown and asked.")
]
MOST: Final = 10_000


@app.command("list")
@calls_a_gateway
def list_approvals(
    client: "OperatorClient",
    *,
    all_states: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Lists what you may decide, newest first."""
    from remit_server.transport.grpc import approval_calls as calls

    found = list(calls.list_approvals(client, limit, all_states=all_states))
    if as_json:
        for approval in found:
            typer.echo(calls.as_json(approval))
    elif not found:
        complain("Nothing waits for you.")
    else:
        heads = ("state", "about", "user", "agent", "purpose", "needs", "asked (UTC)", "approval")
        print_table(heads, [_row(approval) for approval in found])


@app.command("show")
@calls_a_gateway
def show_approval(client: "OperatorClient", name: Name, as_json: AsJson = False) -> None:
    """Shows one approval whole: the exact session policy, and the digest of all that is decided about."""
    from remit_server.transport.grpc import approval_calls as calls

    approval = calls.get(client, name)
    if as_json:
        typer.echo(calls.as_json(approval))
    else:
        _show(approval)


@app.command("approve")
@calls_a_gateway
def approve(
    client: "OperatorClient", name: Name, *, digest: Digest = "", comment: Comment = "", as_json: AsJson = False
) -> None:
    """Says yes, to exactly what was shown."""
    _decide(client, name, digest, comment, yes=True, as_json=as_json)


@app.command("deny")
@calls_a_gateway
def deny(
    client: "OperatorClient", name: Name, *, digest: Digest = "", comment: Comment = "", as_json: AsJson = False
) -> None:
    """Says no. After break-glass that revokes what was issued."""
    _decide(client, name, digest, comment, yes=False, as_json=as_json)


@app.command("watch")
@calls_a_gateway
def watch_approvals(client: "OperatorClient", as_json: AsJson = False) -> None:
    """Shows approvals as they are asked for and decided, until Ctrl-C."""
    from remit_server.transport.grpc import approval_calls as calls

    for approval in calls.watch(client):
        told = calls.as_json(approval) if as_json else f"{datetime.now(UTC):%H:%M:%S}  {'  '.join(_row(approval))}"
        typer.echo(told)


def _decide(client: "OperatorClient", name: str, digest: str, comment: str, *, yes: bool, as_json: bool) -> None:
    """Shows what is decided about, asks, and sends the answer with the digest of what was shown."""
    from remit_server.transport.grpc import approval_calls as calls

    if not digest:
        shown = calls.get(client, name)
        _show(shown)
        if not typer.confirm(f"Say {'yes' if yes else 'no'} to this?", err=True):
            complain("Nothing was decided.")
            raise typer.Exit(WRONG)
        digest = shown.digest
    after = calls.decide(client, name, digest, comment, approve=yes)
    if as_json:
        typer.echo(calls.as_json(after))
        return
    state = calls.state_name(after)
    rest = f": it still needs {told_need(after)}" if state == "PENDING" else ""
    typer.echo(f"{after.name} is {state}{rest}.")


def _show(approval: "Approval") -> None:
    """Prints an approval whole."""
    for label, text in told_approval(approval):
        typer.echo(f"{label:<14} {text}")


def _row(approval: "Approval") -> tuple[str, ...]:
    """Returns an approval as one line of a table."""
    from remit_server.transport.grpc.approval_calls import is_review, state_name

    about = "review" if is_review(approval) else "request"
    user, agent, purpose = (plain(one) for one in (approval.subject.id, approval.actor, approval.purpose))
    asked = f"{approval.create_time.ToDatetime():%F %T}"
    return (state_name(approval), about, user, agent, purpose[:40], told_need(approval), asked, approval.name)
