"""What a program on this machine asks for: written as options or as a profile, read into one comparable value."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from remit.errors import FieldViolation, InvalidRequest
from remit.intent import Capability, Permission
from remit.intents import intent_of
from remit.local.errors import InvalidSettings
from remit.local.settings import LOGIN, Profile, Settings, load_settings
from remit.local.tables import duration_of
from remit.secret import Secret
from remit.workload import naming

# NOTE: a job's platform gives its token by variables, too: another job of this user must never be given out for it.
TOKEN_VARIABLES = ("REMIT_BEARER_TOKEN", "REMIT_SUBJECT_TOKEN", *naming.VARIABLES)
VARIABLES = (
    *TOKEN_VARIABLES,
    "REMIT_CONFIG",
    "XDG_CONFIG_HOME",
    "REMIT_GATEWAY",
    "REMIT_CA_FILE",
    "REMIT_CERTIFICATE_FILE",
    "REMIT_KEY_FILE",
    "REMIT_BEARER_TOKEN_FILE",
    "REMIT_SUBJECT_TOKEN_FILE",
)
"""The variables that say what the settings are: a program that asks another on this machine passes them on."""


@dataclass(frozen=True, slots=True)
class Options:
    """A wish as it is written on a command line; what is given wins over the profile's."""

    profile: str | None = None
    purpose: str | None = None
    allow: tuple[str, ...] = ()
    duration: str | None = None
    narrow: bool = False
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    region: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish for a task. Two that are equal, made on the same settings, may share one."""

    purpose: str
    allow: tuple[Permission | Capability, ...]
    duration: timedelta | None = None
    narrow: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    region: str | None = None
    task_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose settings a wish is made; `environ` are the variables that tokens are read from, kept out of reprs."""

    settings: Settings
    environ: Secret[Mapping[str, str]]

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> "Caller":
        """Reads the settings that this environment stands for; raises InvalidSettings."""
        return cls(load_settings(environ), Secret(dict(environ)))

    def key(self) -> tuple[object, ...]:
        """Returns what tells callers apart whose tasks are not to be shared; a token by its digest.

        Who is signed in is part of it: what was begun for one person is not given to the next, nor to nobody.
        """
        tokens = "\n".join(self.environ.reveal().get(name, "") for name in TOKEN_VARIABLES)
        return (
            self.settings.gateway,
            self.settings.subject_token,
            self.settings.login,
            hashlib.sha256(tokens.encode()).digest(),
            self._signed_in(),
        )

    def _signed_in(self) -> str | None:
        """Returns whose sign-in the tokens come from, None where they come from elsewhere."""
        settings = self.settings
        if settings.login is None or LOGIN not in {settings.subject_token, settings.gateway.bearer}:
            return None
        from remit.local.login.who import signed_in  # noqa: PLC0415 - only this kind of source needs it

        return signed_in(settings.login)


def wish_of(options: Options, settings: Settings, *, files: bool = False) -> Wish:
    """Reads a wish; raises InvalidSettings and InvalidRequest that say what to write.

    `files` lets `@intent.json` name a file: for what a person wrote on a command line only.
    """
    profile = settings.profile(options.profile) if options.profile else None
    texts = options.allow or (profile.allow if profile else ())
    if not texts:
        raise InvalidSettings(
            "nothing says what the task needs",
            advice="give --allow 's3:GetObject=arn:aws:s3:::BUCKET/PREFIX/*', or --profile NAME",
        )
    intent = intent_of(texts, files=files)
    purpose = options.purpose or intent.purpose or (profile.purpose if profile else None)
    if not purpose:
        raise InvalidSettings("nothing says what the task is for", advice="give --purpose 'why, for people to read'")
    usual = profile or Profile("", purpose, ())
    return Wish(
        purpose=purpose,
        allow=intent.allow,
        duration=_duration(options.duration) if options.duration else usual.duration,
        narrow=options.narrow or usual.narrow,
        labels=tuple(sorted({**dict(usual.labels), **intent.labels, **options.labels}.items())),
        region=options.region or usual.region,
        request_id=options.request_id,
    )


def options_of(values: Mapping[str, Any]) -> Options:
    """Reads options that came as JSON from another program of this user; raises InvalidRequest for any other shape."""
    kinds: dict[str, type] = {"allow": list, "labels": dict, "narrow": bool}
    for name, value in values.items():
        if name not in Options.__dataclass_fields__ or not isinstance(value, kinds.get(name, str)):
            raise InvalidRequest.of(FieldViolation("wish", "is no wish of this version of remit"))
    allow, labels = values.get("allow", []), values.get("labels", {})
    if not all(isinstance(text, str) for text in (*allow, *labels.values())):
        raise InvalidRequest.of(FieldViolation("wish", "allow and labels are texts"))
    return Options(**{**values, "allow": tuple(allow), "labels": MappingProxyType(labels)})


def _duration(text: str) -> timedelta:
    try:
        return duration_of(text)
    except ValueError as error:
        raise InvalidRequest.of(FieldViolation("duration", str(error))) from None
