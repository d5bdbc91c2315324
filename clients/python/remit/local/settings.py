"""The client's settings on this machine: one file, and `REMIT_*` variables over it, parsed once into frozen values."""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from remit.local.errors import InvalidSettings
from remit.local.login_settings import LoginSettings, login_settings
from remit.local.mcp_settings import McpSettings, mcp_settings
from remit.local.tables import Table

LARGEST_FILE = 256 * 1024
LOGIN = "login"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the gateway is and how this agent proves who it is.

    `bearer` is the text of a token source; `audience` is what a platform's token is asked for. `svid` is the text of a
    source of certificates, `spiffe` or `spiffe:SOCKET`.
    """

    target: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    bearer: str | None = None
    audience: str | None = None
    svid: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A task as it is written down: what it is for and what it needs, `allow` as texts of intents."""

    name: str
    purpose: str
    allow: tuple[str, ...]
    duration: timedelta | None = None
    narrow: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. `file` is where it was read, or where it would be; `subject_token` is the text of a token source."""

    file: Path
    gateway: GatewaySettings = GatewaySettings()
    subject_token: str = LOGIN
    login: LoginSettings | None = None
    mcp: McpSettings = field(default_factory=McpSettings)
    profiles: Mapping[str, Profile] = field(default_factory=lambda: MappingProxyType({}))

    def profile(self, name: str) -> Profile:
        """Returns a profile; raises InvalidSettings that names those there are."""
        found = self.profiles.get(name)
        if found is None:
            known = ", ".join(sorted(self.profiles)) or "none is written there yet"
            raise InvalidSettings(
                f"{self.file} has no profile {name!r} (known: {known})",
                advice=f"write a table [profiles.{name}] with purpose and allow, or give --purpose and --allow",
            )
        return found


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns where they are: `$REMIT_CONFIG`, else `remit/client.toml` in `$XDG_CONFIG_HOME` or `~/.config`."""
    if named := environ.get("REMIT_CONFIG"):
        return Path(named).expanduser().absolute()
    folder = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser().absolute() / "remit" / "client.toml"


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads the file, if it is there, and what the environment says over it; raises InvalidSettings.

    A file that `$REMIT_CONFIG` names must be there.
    """
    file = settings_file(environ)
    text = _text_of(file)
    if text is None and environ.get("REMIT_CONFIG"):
        raise InvalidSettings(
            f"REMIT_CONFIG names {file}, which is not there", advice="correct REMIT_CONFIG, or unset it"
        )
    settings = Settings(file) if text is None else parse_settings(text, file)
    return _checked(_overridden(settings, environ))


def parse_settings(text: str, file: Path) -> Settings:
    """Reads the text of a settings file; raises InvalidSettings."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{file} is not TOML: {error}", advice="correct that line") from None
    root = Table(values, "", file)
    names = ("gateway", "subject", "login", "mcp", "profiles")
    gateway, subject, login, mcp, profiles = (root.table(key) for key in names)
    root.done()
    return Settings(
        file=file,
        gateway=_gateway(gateway) if gateway else GatewaySettings(),
        subject_token=_subject(subject) if subject else LOGIN,
        login=login_settings(login) if login else None,
        mcp=mcp_settings(mcp) if mcp else McpSettings(),
        profiles=MappingProxyType({name: _profile(name, table) for name, table in profiles.tables().items()})
        if profiles
        else MappingProxyType({}),
    )


def _text_of(file: Path) -> str | None:
    """Reads the file, None where there is none; refuses one that other people may write.

    NOTE: it may name commands to run, and says where this user's tokens are sent.
    """
    try:
        with file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            if found.st_uid not in {os.getuid(), 0} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise InvalidSettings(
                    f"{file} is another user's, or others may write it", advice=f"chown it and chmod go-w {file}"
                )
            content = opened.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be read: {error.strerror}", advice="correct its permissions") from None
    if len(content) > LARGEST_FILE:
        raise InvalidSettings(f"{file} is larger than 256 KiB", advice="that is no settings file of remit's")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidSettings(f"{file} is not UTF-8", advice="write it again as UTF-8") from None


def _gateway(table: Table) -> GatewaySettings:
    settings = GatewaySettings(
        target=table.text("target"),
        ca_file=table.path("ca_file"),
        certificate_file=table.path("certificate_file"),
        key_file=table.path("key_file"),
        bearer=table.text("bearer"),
        audience=table.text("audience"),
        svid=table.text("svid"),
    )
    table.done()
    return settings


def _subject(table: Table) -> str:
    token = table.text("token") or LOGIN
    table.done()
    return token


def _profile(name: str, table: Table) -> Profile:
    purpose, allow = table.text("purpose"), table.texts("allow")
    if purpose is None or not allow:
        table.refuse(f"[profiles.{name}] needs purpose and allow")
    profile = Profile(
        name=name,
        purpose=purpose,
        allow=allow,
        duration=table.duration("duration"),
        narrow=table.flag("narrow"),
        labels=table.labels("labels"),
        region=table.text("region"),
    )
    table.done()
    return profile


def _overridden(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Returns the settings with what the environment says over them; empty variables say nothing.

    A proof of who the agent is replaces the other kind of proof, so that a certificate in the file is no obstacle to a
    bearer token in the environment.
    """
    gateway = settings.gateway
    if environ.get("REMIT_BEARER_TOKEN") or environ.get("REMIT_BEARER_TOKEN_FILE"):
        bearer = _source("REMIT_BEARER_TOKEN", environ)
        gateway = replace(gateway, certificate_file=None, key_file=None, bearer=bearer, svid=None)
    elif environ.get("REMIT_CERTIFICATE_FILE"):
        gateway = replace(gateway, bearer=None, svid=None)
    gateway = replace(
        gateway,
        target=environ.get("REMIT_GATEWAY") or gateway.target,
        ca_file=_file("REMIT_CA_FILE", environ) or gateway.ca_file,
        certificate_file=_file("REMIT_CERTIFICATE_FILE", environ) or gateway.certificate_file,
        key_file=_file("REMIT_KEY_FILE", environ) or gateway.key_file,
    )
    token = _source("REMIT_SUBJECT_TOKEN", environ) or settings.subject_token
    return replace(settings, gateway=gateway, subject_token=token)


def _source(name: str, environ: Mapping[str, str]) -> str | None:
    """Returns the token source that a variable, or the one that names a file, stands for."""
    if environ.get(name):
        return f"env:{name}"
    file = _file(f"{name}_FILE", environ)
    return None if file is None else f"file:{file}"


def _file(name: str, environ: Mapping[str, str]) -> Path | None:
    value = environ.get(name)
    return Path(value).expanduser().absolute() if value else None


def _checked(settings: Settings) -> Settings:
    """Refuses two proofs of who the agent is, and half of one."""
    gateway = settings.gateway
    if (gateway.certificate_file is None) != (gateway.key_file is None):
        raise InvalidSettings(
            "certificate_file and key_file belong together", advice=f"give both in {settings.file} or the environment"
        )
    if sum(proof is not None for proof in (gateway.certificate_file, gateway.bearer, gateway.svid)) > 1:
        raise InvalidSettings(
            "an agent proves who it is by certificate_file and key_file, by bearer or by svid, not by more than one",
            advice=f"take the others out of {settings.file}",
        )
    return settings
