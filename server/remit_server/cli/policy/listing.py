"""`remit-server policy list`: the published revisions."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from remit_server.cli.audit_words import plain
from remit_server.cli.output import complain
from remit_server.cli.policy.app import app
from remit_server.cli.policy.naming.desk import AsJson, short
from remit_server.cli.policy.naming.whom import asks_a_desk
from remit_server.cli.tables import print_table

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.cli.policy.naming.desk import Desk
    from remit_server.transport.grpc.policy.calls import PolicyRevision

MOST: Final = 100_000


@app.command("list")
@asks_a_desk
def list_revisions(
    desk: "Desk",
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Lists published revisions, newest first; one JSON object to a line with --json."""
    from remit_server.transport.grpc.operator_calls import as_json as json_of

    found = list(desk.listed(limit))
    if as_json:
        for revision in found:
            typer.echo(json_of(revision))
    elif not found:
        complain("No revision is published.")
    else:
        heads = ("", "revision", "published (UTC)", "by", "from", "signed by", "entitlements", "capabilities")
        print_table(heads, [_row(revision) for revision in found])
        if len(found) == limit:
            complain(f"These are the newest {limit}; there may be more: --limit.")


def _row(revision: "PolicyRevision") -> tuple[str, ...]:
    """Returns a revision as one line of a table."""
    from remit_server.transport.grpc.policy.calls import source_name

    return (
        "*" if revision.active else "blocked" if revision.block else "",
        short(revision.revision),
        f"{revision.publish_time.ToDatetime():%F %T}",
        plain(revision.publisher),
        source_name(revision),
        plain(revision.signed_by) or "-",
        str(revision.entitlements),
        str(revision.capabilities),
    )
