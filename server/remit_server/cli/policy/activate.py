"""`remit-server policy activate` and `rollback`: which revision decides."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from remit_server.cli.audit_words import counted, plain
from remit_server.cli.output import WRONG, complain
from remit_server.cli.policy.app import app
from remit_server.cli.policy.naming.desk import AsJson, Expected, RevokeIssued, Why, Yes, short
from remit_server.cli.policy.naming.whom import asks_a_desk

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.cli.policy.naming.desk import Desk
    from remit_server.transport.grpc.policy.calls import ActivateRevisionResponse

MOST_COUNTED: Final = 1000


@app.command("activate")
@asks_a_desk
def activate_revision(
    desk: "Desk",
    *,
    revision: Annotated[str, typer.Argument(metavar="REV", help="Its digest, or the first 8 or more digits.")],
    why: Why,
    revoke_issued: RevokeIssued = False,
    expected: Expected = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Makes a published revision the one that decides, on every replica."""
    if revoke_issued and not yes:
        expected = _confirm(desk, expected)
    began = time.monotonic()
    done = desk.activate(revision, why, revoke_issued=revoke_issued, expected=expected, rollback=False)
    _tell(done, time.monotonic() - began, revoke_issued=revoke_issued, as_json=as_json)
    _tell_left(desk, done, revoke_issued=revoke_issued)


@app.command("rollback")
@asks_a_desk
def roll_back(
    desk: "Desk",
    *,
    why: Why,
    revision: Annotated[
        str,
        typer.Argument(
            metavar="[REV]",
            help="One that was active before; without it the last before this one that nobody went back from.",
        ),
    ] = "",
    revoke_issued: RevokeIssued = False,
    expected: Expected = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Goes back to a revision that was active before, on every replica.

    An administrator of the configuration may do so whatever the active policy says.
    """
    if not revision:
        revision, expected = _back_to(desk, expected, ask=not (yes or revoke_issued))
    if revoke_issued and not yes:
        expected = _confirm(desk, expected)
    began = time.monotonic()
    done = desk.activate(revision, why, revoke_issued=revoke_issued, expected=expected, rollback=True)
    _tell(done, time.monotonic() - began, revoke_issued=revoke_issued, as_json=as_json)
    _tell_left(desk, done, revoke_issued=revoke_issued)


def _back_to(desk: "Desk", expected: str, *, ask: bool) -> tuple[str, str]:
    """Says, and asks at a terminal, where a rollback goes to that names none; returns that and what must be active.

    Ends the command where there is nothing to go back to, and where somebody says no.
    """
    from remit_server.application.policy.going_back import NOWHERE

    shown = desk.shown("")
    back = shown.rollback_revision
    if not back:
        complain(f"REVISION_REFUSED: {NOWHERE}.")
        raise typer.Exit(WRONG)
    complain(f"From revision {short(shown.revision.revision)} back to {short(back)}.")
    if ask and sys.stdin.isatty() and not typer.confirm("Go back to it?", err=True):
        complain("Nothing was done.")
        raise typer.Exit(WRONG)
    return back, expected or shown.revision.revision


def _confirm(desk: "Desk", expected: str) -> str:
    """Asks, at a terminal, whether what was issued shall be ended; returns the revision that this is about.

    Ends the command where somebody says no.
    """
    if not sys.stdin.isatty():
        return expected
    active = desk.shown("").revision.revision
    live = desk.live_grants(active, MOST_COUNTED + 1)
    if live is None:
        what = "grants that you may not list"
    else:
        what = counted(live, "live grant") if live <= MOST_COUNTED else f"more than {MOST_COUNTED} live grants"
    if not typer.confirm(f"End {what} of revision {short(active)} and block it?", err=True):
        complain("Nothing was done.")
        raise typer.Exit(WRONG)
    return expected or active


def _tell(done: "ActivateRevisionResponse", seconds: float, *, revoke_issued: bool, as_json: bool) -> None:
    """Says what an activation did, and how long it took."""
    from remit_server.transport.grpc.operator_calls import as_json as json_of
    from remit_server.transport.grpc.policy.calls import kind_name

    if as_json:
        typer.echo(json_of(done))
        return
    now, before = done.activation.revision, done.previous_revision
    since = f"{done.activation.time.ToDatetime():%F %T} UTC"
    if now == before:
        typer.echo(f"revision {short(now)} decides already, since {since}; nothing was changed.")
        return
    told = f", {short(before)} no more" if before else ""
    typer.echo(f"revision {short(now)} decides since {since} ({kind_name(done.activation)}){told}.")
    if revoke_issued:
        typer.echo(f"{counted(done.revoked_grants, 'live grant')} of {short(before)} ended, and it is blocked.")
    typer.echo(f"It took {seconds:.2f} s.")


def _tell_left(desk: "Desk", done: "ActivateRevisionResponse", *, revoke_issued: bool) -> None:
    """Says which live grants the revision before still has, and how to end them."""
    left = done.previous_revision
    if revoke_issued or not left or left == done.activation.revision:
        return
    live = desk.live_grants(left, MOST_COUNTED + 1)
    if live == 0:
        return
    if live is None:
        told = "what is live"
    elif live > MOST_COUNTED:
        told = f"more than {MOST_COUNTED} live grants"
    else:
        told = counted(live, "live grant")
    command = f"remit-server grants revoke --revision {plain(left)} --block --why '...'"
    complain(f"{told} of {short(left)}: not ended. To end what is left: {command}")
