"""`remit login` and `remit logout`."""

import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from remit.cli.app import app, failures_told

if TYPE_CHECKING:
    from remit.local.login.device import Prompt


@app.command()
def login(
    *,
    device: Annotated[
        bool, typer.Option("--device", help="Enter a code on any device; for machines without one.")
    ] = False,
    browser: Annotated[bool, typer.Option("--browser", help="Sign in with a browser on this machine.")] = False,
    no_keyring: Annotated[
        bool, typer.Option("--no-keyring", help="Keep the sign-in in a file of mode 0600, not in the system's keyring.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the browser comes back, for issuers that need it fixed.")
    ] = 0,
) -> None:
    """Sign in at the issuer of the settings; tokens are refreshed silently from then on."""
    from remit.local.login.signing_in import Screen, Way, login_settings, minutes_left, sign_in
    from remit.local.settings import load_settings

    if device and browser:
        raise typer.BadParameter("choose --device or --browser")
    way = Way.DEVICE if device else Way.BROWSER if browser or port else None
    with failures_told():
        settings = login_settings(load_settings())
        signed_in = sign_in(settings, way, Screen(_open, _show), keyring=not no_keyring, port=port)
    found = signed_in.sign_in
    where = "the system's keyring" if signed_in.in_keyring else f"{signed_in.store.file} (mode 0600)"
    lasts = (
        "it is refreshed silently" if found.refresh_token else "the issuer gives no refresh token: then sign in again"
    )
    typer.echo(f"Signed in as {found.subject} at {found.issuer}.")
    typer.echo(f"Kept in {where}; the token works for {minutes_left(found)} minutes, and {lasts}.")


@app.command()
def logout() -> None:
    """Forget the sign-in on this machine, and revoke its refresh token at the issuer."""
    from remit.local.login.signing_in import login_settings, sign_out
    from remit.local.settings import load_settings

    with failures_told():
        was_there, is_revoked = sign_out(login_settings(load_settings()))
    if not was_there:
        typer.echo("Nobody was signed in.")
        return
    issuer = "and the issuer has revoked it" if is_revoked else "the issuer was not told, or has no way to be told"
    typer.echo(f"Signed out: the sign-in is forgotten here, {issuer}.")
    typer.echo("Tasks that are running keep what they have: `remit end --all` ends those of this machine.")


def _open(url: str) -> None:
    """Opens a page; shows its address too, because no window may come up."""
    from remit.local.login.signing_in import has_browser

    typer.echo(f"Sign in with a browser on this machine:\n\n  {url}\n", err=True)
    if has_browser():
        webbrowser.open(url)


def _show(prompt: "Prompt") -> None:
    """Shows where to go, and the code that must be the one that is shown there."""
    typer.echo(f"On any device, open\n\n  {prompt.uri}\n\nand enter the code\n\n  {prompt.user_code}\n", err=True)
    if prompt.complete_uri:
        typer.echo(f"or open {prompt.complete_uri} and compare the code.\n", err=True)
