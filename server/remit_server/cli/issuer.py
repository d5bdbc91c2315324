"""`remit-server issuer`: the signing keys of the gateway as an OIDC issuer, and what it publishes about them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.config.settings import OwnIssuerSettings

app = typer.Typer(name="issuer", help="Keys and documents of the gateway's own issuer.", no_args_is_help=True)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="REMIT_SERVER_CONFIG", help="The configuration, such as remit.toml."),
]


@app.callback()
def issuer() -> None:
    """Keys and documents of the gateway's own issuer."""


@app.command("keys")
def keys(
    config: Config = None,
    make: Annotated[
        Path | None, typer.Option("--make", metavar="FILE", help="Makes a key, writes it there, and ends.")
    ] = None,
    kind: Annotated[
        Literal["rsa", "p256"], typer.Option("--kind", help="What --make makes: RSA of 2048 bits, or P-256.")
    ] = "rsa",
) -> None:
    """Says which key signs, which one is next, which one was before, and what to do next in a rotation."""
    if make is not None:
        _make(make, kind)
        return
    from datetime import UTC, datetime

    from remit_server.cli.issuer_words import advice, lines

    settings = _settings(config)
    try:
        found = lines(settings)
    except (OSError, ValueError) as wrong:
        complain(f"the keys cannot be read: {wrong}; remit-server config check says which, and what to do")
        raise typer.Exit(WRONG) from wrong
    typer.echo(f"The issuer {settings.url} has these keys:")
    for line in found:
        typer.echo(f"  {line}")
    typer.echo("What to do next:")
    for line in advice(settings, datetime.now(UTC)):
        typer.echo(f"  {line}")


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that a web server serves at issuer.url.")],
    config: Config = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Writes nothing; ends with 1 unless the files are what would be written.")
    ] = False,
) -> None:
    """Writes the discovery document and the key set as files, so that the gateway itself need not be public.

    Equal keys make equal files. Publish them anew at each step of a rotation.
    """
    from remit_server.adapters.issuer.signing_keys import SigningKeys

    settings = _settings(config)
    try:
        documents = SigningKeys.read(settings).documents
        written = {folder / path.lstrip("/"): document() for path, document in documents.items()}
        differing = [path for path, content in written.items() if not _holds(path, content)]
        for path in [] if check else written:
            _write(path, written[path])
            typer.echo(f"wrote {path}")
    except (OSError, RuntimeError) as wrong:
        complain(str(wrong))
        raise typer.Exit(CANNOT_START) from wrong
    if check and differing:
        for path in differing:
            complain(f"{path} is not what the issuer publishes now: export again, and publish it")
        raise typer.Exit(WRONG)


def _settings(config: Path | None) -> "OwnIssuerSettings":
    """Returns the issuer of a configuration; ends with 1 when there is none, or the configuration is wrong."""
    from remit_server.config.loading import ConfigurationError, load

    if config is None:
        raise typer.BadParameter("name the configuration: --config remit.toml, or REMIT_SERVER_CONFIG")
    try:
        settings = load(config)
    except ConfigurationError as error:
        complain(str(error))
        raise typer.Exit(WRONG) from error
    if settings.own_issuer is None:
        complain(f"{config} has no [issuer]: docs/web-identity.md tells what it is for")
        raise typer.Exit(WRONG)
    return settings.own_issuer


def _make(path: Path, kind: str) -> None:
    """Writes a fresh key into a file that nobody else may read, and says what it is; never over another file."""
    import os

    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from remit_server.adapters.issuer.keys import PublishedKey

    made = ec.generate_private_key(ec.SECP256R1()) if kind == "p256" else rsa.generate_private_key(65537, 2048)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as wrong:
        complain(f"{path} cannot be made: {wrong.strerror}; a key is never written over another file")
        raise typer.Exit(CANNOT_START) from wrong
    with os.fdopen(descriptor, "wb") as file:
        file.write(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = PublishedKey.of(made.public_key())
    typer.echo(f"made {path}: key {public.key_id} ({public.algorithm}), mode 0600")
    typer.echo(
        "Whoever has this file can open a session of every role that trusts the issuer. Keep it with the secrets."
    )


def _holds(path: Path, content: bytes) -> bool:
    """Says whether the file is there and holds just that; raises OSError."""
    return path.is_file() and path.read_bytes() == content


def _write(path: Path, content: bytes) -> None:
    """Puts a file in its place at once, so that nobody is served half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.new")
    half.write_bytes(content)
    half.chmod(0o644)
    half.replace(path)
