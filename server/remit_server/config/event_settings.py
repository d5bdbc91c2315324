"""Who may tell the gateway about users: the frozen values of `[[transmitters]]`, `[[webhooks]]`, `[[status_polls]]`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from remit_server.config.identity_rules import InvalidSettings, is_alias, is_claim_name, is_plain_text, url_mistake
from remit_server.config.identity_settings import IssuerSettings
from remit_server.domain.secret import Secret

SUBJECT_FORMATS: Final = frozenset({"iss_sub", "email", "opaque"})
SET_TYPE: Final = "secevent+jwt"
PLACE_OF_SUBJECT: Final = "{subject}"
_LONGEST_TEMPLATE: Final = 1024
_LONGEST_POINTER: Final = 256


class Delivery(StrEnum):
    """How a transmitter's events come."""

    PUSH = "push"  # RFC 8935
    POLL = "poll"  # RFC 8936


class UserName(StrEnum):
    """By which claim of users' tokens somebody else calls them."""

    SUB = "sub"
    SOURCE_CLAIM = "source_claim"  # the one that names them in SourceIdentity


@dataclass(frozen=True, slots=True)
class TransmitterSettings:
    """One transmitter of Shared Signals and everything its events must be; raises InvalidSettings with every mistake.

    `signer` holds what is checked as in any token: the `iss` and `aud` of its SETs, algorithms, `typ`, leeway, and
    where its keys come from; its alias is the stream's (`/ssf/<alias>`). `users_of` is the issuer of `[[issuers]]` of
    whose users it may speak, `subject_issuer` how its events write that issuer. `subject_map` maps the ids in its
    events to those of users' tokens, where the two differ. By `named_by` those ids are the `sub`, or the claim that
    names users of the issuer, called `users_alias`, in SourceIdentity. With `tenants` an event must name one of them.
    `authorization` are the values that a push may show, any of them. `access_token_file` is read anew for each call.
    """

    signer: IssuerSettings
    users_of: str
    subject_issuer: str
    delivery: Delivery = Delivery.PUSH
    subject_formats: frozenset[str] = frozenset({"iss_sub"})
    subject_map: tuple[tuple[str, str], ...] = ()
    named_by: UserName = UserName.SUB
    users_alias: str = ""
    tenants: frozenset[str] = frozenset()
    authorization: tuple[Secret, ...] = field(default=(), repr=False)
    events_per_minute: int = 600
    configuration_url: str | None = None
    receiver_url: str | None = None
    access_token_file: Path | None = None
    poll_url: str | None = None
    poll_max_events: int = 50
    poll_wait: timedelta = timedelta(seconds=30)

    @property
    def alias(self) -> str:
        """The stream's short name."""
        return self.signer.alias

    @property
    def source(self) -> str:
        """How its events are named in records."""
        return f"ssf:{self.signer.alias}"

    def __post_init__(self) -> None:
        of_delivery = _push_mistakes(self) if self.delivery is Delivery.PUSH else _poll_mistakes(self)
        mistakes = (*_subject_mistakes(self), *_configuration_mistakes(self), *of_delivery)
        if mistakes:
            raise InvalidSettings(mistakes)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """One sender of plain signed events: its name, its secrets (two during a rotation), whose users it speaks of."""

    name: str
    secrets: tuple[Secret, ...] = field(repr=False)
    issuers: frozenset[str]
    events_per_minute: int = 600

    @property
    def source(self) -> str:
        """How its events are named in records."""
        return f"webhook:{self.name}"

    def __post_init__(self) -> None:
        mistakes = tuple(_webhook_mistakes(self))
        if mistakes:
            raise InvalidSettings(mistakes)


@dataclass(frozen=True, slots=True)
class StatusPollSettings:
    """How an identity provider without a transmitter is asked about the users for whom agents work at present.

    `url` holds `{subject}` once. An account is active when the answer's member at `status_pointer` (RFC 6901) is one of
    `active_values`; without a pointer, when there is an answer. `missing_is_disabled` takes a 404 for a disabled
    account; then `probe_subject` is an account that is always there, asked first in each round.
    """

    alias: str
    issuer: str
    url: str
    token_file: Path
    allowed_hosts: frozenset[str]
    status_pointer: str | None = None
    active_values: frozenset[str] = frozenset()
    missing_is_disabled: bool = False
    named_by: UserName = UserName.SUB
    users_alias: str = ""
    probe_subject: str | None = None
    every: timedelta = timedelta(seconds=60)
    requests_per_second: float = 5.0
    ca_file: Path | None = None
    private_network: bool = False

    @property
    def source(self) -> str:
        """How its events are named in records."""
        return f"poll:{self.alias}"

    def __post_init__(self) -> None:
        mistakes = (*_template_mistakes(self), *_status_mistakes(self))
        if mistakes:
            raise InvalidSettings(mistakes)


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Everyone who may tell the gateway about users."""

    transmitters: tuple[TransmitterSettings, ...] = ()
    webhooks: tuple[WebhookSettings, ...] = ()
    status_polls: tuple[StatusPollSettings, ...] = ()

    @property
    def are_pushed(self) -> bool:
        """Whether somebody sends events by HTTP."""
        return bool(self.webhooks) or any(one.delivery is Delivery.PUSH for one in self.transmitters)


def _subject_mistakes(settings: TransmitterSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with how subjects are read."""
    if not settings.subject_formats or not settings.subject_formats <= SUBJECT_FORMATS:
        yield "subject_formats", "must name at least one of iss_sub, email and opaque, and nothing else"
    if not is_plain_text(settings.subject_issuer):
        yield "subject_issuer", "must be 1 to 255 printable ASCII characters"
    if not all(is_plain_text(there) and is_plain_text(here) for there, here in settings.subject_map):
        yield "subject_map", "must map printable ASCII ids to printable ASCII ids"
    if not all(is_plain_text(tenant) for tenant in settings.tenants):
        yield "tenants", "must each be 1 to 255 printable ASCII characters"


def _configuration_mistakes(settings: TransmitterSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with how the stream is set up."""
    url = settings.configuration_url
    if url is not None and (wrong := url_mistake(url, settings.signer.allowed_hosts)):
        yield "configuration_url", wrong
    if settings.receiver_url is not None and (wrong := url_mistake(settings.receiver_url)):
        yield "receiver_url", wrong


def _push_mistakes(settings: TransmitterSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a stream that is pushed."""
    if settings.poll_url is not None:
        yield "poll_url", 'belongs to delivery = "poll"'
    if len(settings.authorization) > MOST_SECRETS:
        yield "authorization_files", "must be one file, or two during a rotation"


def _poll_mistakes(settings: TransmitterSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a stream that is polled."""
    if settings.authorization:
        yield "authorization_files", 'belongs to delivery = "push": nobody calls the gateway for a poll'
    if settings.access_token_file is None:
        yield "access_token_file", "is missing: polling asks the transmitter with an access token"
    if settings.poll_url is None:
        yield "poll_url", "is missing: `remit-server events configure` prints it"
    elif wrong := url_mistake(settings.poll_url, settings.signer.allowed_hosts):
        yield "poll_url", wrong


def _webhook_mistakes(settings: WebhookSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a webhook."""
    if not is_alias(settings.name):
        yield "name", "must be 1 to 20 of a-z, 0-9 and -"
    if not 1 <= len(settings.secrets) <= MOST_SECRETS:
        yield "secret_files", "must be one file, or two during a rotation"
    if any(len(secret.reveal()) < SHORTEST_SECRET for secret in settings.secrets):
        yield "secret_files", f"must each hold at least {SHORTEST_SECRET} characters: `openssl rand -hex 32` makes one"
    if not settings.issuers:
        yield "users_of", "must name at least one alias of [[issuers]]"


MOST_SECRETS: Final = 2
SHORTEST_SECRET: Final = 32


def _template_mistakes(settings: StatusPollSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with the URL that is asked."""
    url, hosts = settings.url, settings.allowed_hosts
    place, _, query = url.partition("?")
    try:
        host = urlsplit(url).netloc
    except ValueError:
        host = PLACE_OF_SUBJECT
    if url.count(PLACE_OF_SUBJECT) != 1 or PLACE_OF_SUBJECT in host:
        yield "url", "must hold {subject} once, in its path or its query"
    elif len(url) > _LONGEST_TEMPLATE or (query and not is_claim_name(query[:255])) or "#" in url:
        yield "url", "must be a URL of printable ASCII characters"
    elif wrong := url_mistake(place.replace(PLACE_OF_SUBJECT, "subject"), hosts):
        yield "url", wrong


def _status_mistakes(settings: StatusPollSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with how an answer is read."""
    if not is_alias(settings.alias):
        yield "alias", "must be 1 to 20 of a-z, 0-9 and -"
    pointer = settings.status_pointer
    if pointer is not None and not (pointer.startswith("/") and len(pointer) <= _LONGEST_POINTER):
        yield "status_pointer", "must be a JSON pointer such as `/status` (RFC 6901)"
    if (pointer is None) != (not settings.active_values):
        yield "active_values", "belongs to status_pointer: give both, or neither"
    if pointer is None and not settings.missing_is_disabled:
        yield "status_pointer", 'is missing: without it and without missing = "disabled" no answer means anything'
    if settings.missing_is_disabled and settings.probe_subject is None:
        yield (
            "probe_subject",
            "is missing: name an account that always exists, so that a 404 for all is an error",
        )
    if settings.probe_subject is not None and not is_plain_text(settings.probe_subject):
        yield "probe_subject", "must be 1 to 255 printable ASCII characters"
