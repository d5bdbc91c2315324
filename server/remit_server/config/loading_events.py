"""Makes the settings of transmitters, webhooks and status polls out of their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from remit_server.config.event_settings import (
    Delivery,
    EventSettings,
    StatusPollSettings,
    TransmitterSettings,
    UserName,
    WebhookSettings,
)
from remit_server.config.event_shapes import StatusPollTable, TransmitterTable, WebhookTable
from remit_server.config.files import Files
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.identity_settings import IssuerSettings
from remit_server.config.loading_identity import urlsplit_host
from remit_server.config.shapes import IssuerTable
from remit_server.config.source import Source, tables
from remit_server.domain.secret import Secret

_ADVICE: Final[Mapping[str, tuple[str, str]]] = {
    "issuer": ("events are trusted by this exact text", "copy `issuer` from the transmitter's configuration document"),
    "alias": ("it names the source in records, and the path that is pushed to", 'write a short name, such as "acme"'),
    "name": ("it names the source in records, and the path that is called", 'write a short name, such as "hr"'),
    "algorithms": (
        "an algorithm with a shared key lets everyone who has the public key sign",
        'name what the transmitter signs with, mostly ["RS256"]',
    ),
    "allowed_hosts": ("it is asked at listed hosts only, so that nobody can send the gateway elsewhere", ""),
    "poll_url": ("events are fetched there", "give it, and list a foreign host in allowed_hosts"),
    "access_token_file": ("the transmitter wants to know who asks", "name a file that holds its access token"),
    "authorization_files": ("a push may show what was given to its transmitter", "name a file, or two"),
    "secret_files": ("whoever has the secret can revoke and un-block", "name a file with a long random text"),
    "url": (
        "the account of one user is asked about there",
        'write it like "https://acme.okta.com/api/v1/users/{subject}"',
    ),
    "probe_subject": ("some providers answer 404 to a token that is not taken", ""),
}
_GENERAL: Final = ("a wrong value here loses events, or takes those of others", "see docs/security-events.md")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tables are checked against: the issuers by their aliases, and whether there is an HTTP listener."""

    issuers: Mapping[str, IssuerTable]
    files: Files
    has_http: bool


def events(
    source: Source, issuers: Sequence[tuple[str, IssuerTable]], files: Files, *, has_http: bool
) -> EventSettings:
    """Returns those who are right, after noting what is wrong with the others and between them."""
    known = _Known({item.alias: item for _, item in issuers}, files, has_http)
    transmitters = tables(source, "transmitters", TransmitterTable, files.notes)
    webhooks = tables(source, "webhooks", WebhookTable, files.notes)
    polls = tables(source, "status_polls", StatusPollTable, files.notes)
    for items in (
        [(f"{place}.alias", item.alias) for place, item in transmitters],
        [(f"{place}.name", item.name) for place, item in webhooks],
        [(f"{place}.alias", item.alias) for place, item in polls],
    ):
        _note_twice(items, files)
    right_transmitters = [_transmitter(place, item, known) for place, item in transmitters]
    right_webhooks = [_webhook(place, item, known) for place, item in webhooks]
    right_polls = [_status_poll(place, item, known) for place, item in polls]
    return EventSettings(
        transmitters=tuple(one for one in right_transmitters if one is not None),
        webhooks=tuple(one for one in right_webhooks if one is not None),
        status_polls=tuple(one for one in right_polls if one is not None),
    )


def _transmitter(place: str, item: TransmitterTable, known: _Known) -> TransmitterSettings | None:
    """Returns the settings of one transmitter, or None."""
    files, before = known.files, len(known.files.notes.mistakes)
    if item.delivery == "push":
        _check_http(place, known)
    users_of = _issuer_of(f"{place}.users_of", item.users_of, known)
    _check_named_by(place, item.named_by, item.users_of, known)
    authorization = _secrets(f"{place}.authorization_files", item.authorization_files, files)
    token_file = _private(f"{place}.access_token_file", item.access_token_file, files)
    ca_file = files.authorities(f"{place}.ca_file", item.ca_file) if item.ca_file is not None else None
    try:
        signer = IssuerSettings(
            issuer=item.issuer,
            alias=item.alias,
            audience=item.audience,
            algorithms=tuple(item.algorithms),
            token_type=item.token_type,
            leeway=timedelta(seconds=item.leeway_seconds),
            key_set_url=item.key_set_url,
            allowed_hosts=_hosts(item.issuer, item.allowed_hosts),
            ca_file=ca_file,
            private_network=item.private_network,
        )
        settings = TransmitterSettings(
            signer=signer,
            users_of=users_of or item.issuer,
            subject_issuer=item.subject_issuer or users_of or item.issuer,
            delivery=Delivery(item.delivery),
            subject_formats=frozenset(item.subject_formats),
            subject_map=tuple(sorted(item.subject_map.items())),
            named_by=UserName(item.named_by),
            users_alias=item.users_of,
            tenants=frozenset(item.tenants),
            authorization=tuple(Secret(f"Bearer {one.reveal()}") for one in authorization),
            events_per_minute=item.events_per_minute,
            configuration_url=item.configuration_url,
            receiver_url=item.receiver_url,
            access_token_file=token_file,
            poll_url=item.poll_url,
            poll_max_events=item.poll_max_events,
            poll_wait=timedelta(seconds=item.poll_wait_seconds),
        )
    except InvalidSettings as wrong:
        _note_invalid(place, wrong, files)
        return None
    return settings if len(files.notes.mistakes) == before else None


def _webhook(place: str, item: WebhookTable, known: _Known) -> WebhookSettings | None:
    """Returns the settings of one webhook, or None."""
    files, before = known.files, len(known.files.notes.mistakes)
    _check_http(place, known)
    issuers = [_issuer_of(f"{place}.users_of[{number}]", one, known) for number, one in enumerate(item.users_of)]
    secrets = _secrets(f"{place}.secret_files", item.secret_files, files)
    if len(files.notes.mistakes) > before:
        return None
    try:
        return WebhookSettings(
            name=item.name,
            secrets=secrets,
            issuers=frozenset(issuer for issuer in issuers if issuer is not None),
            events_per_minute=item.events_per_minute,
        )
    except InvalidSettings as wrong:
        _note_invalid(place, wrong, files)
        return None


def _status_poll(place: str, item: StatusPollTable, known: _Known) -> StatusPollSettings | None:
    """Returns the settings of one status poll, or None."""
    files, before = known.files, len(known.files.notes.mistakes)
    issuer = _issuer_of(f"{place}.users_of", item.users_of, known)
    _check_named_by(place, item.named_by, item.users_of, known)
    token_file = _private(f"{place}.token_file", item.token_file, files)
    ca_file = files.authorities(f"{place}.ca_file", item.ca_file) if item.ca_file is not None else None
    try:
        settings = StatusPollSettings(
            alias=item.alias,
            issuer=issuer or "",
            url=item.url,
            token_file=token_file or files.path(item.token_file),
            allowed_hosts=_hosts(item.url, ()),
            status_pointer=item.status_pointer,
            active_values=frozenset(item.active_values),
            missing_is_disabled=item.missing == "disabled",
            named_by=UserName(item.named_by),
            users_alias=item.users_of,
            probe_subject=item.probe_subject,
            every=timedelta(seconds=item.every_seconds),
            requests_per_second=item.requests_per_second,
            ca_file=ca_file,
            private_network=item.private_network,
        )
    except InvalidSettings as wrong:
        _note_invalid(place, wrong, files)
        return None
    return settings if len(files.notes.mistakes) == before else None


def _issuer_of(place: str, alias: str, known: _Known) -> str | None:
    """Returns the issuer with this alias whose users are taken, or None after noting that there is none."""
    issuer = known.issuers.get(alias)
    if issuer is not None and (issuer.subjects or issuer.carries_actor is not None):
        return issuer.issuer
    usable = [name for name, one in known.issuers.items() if one.subjects or one.carries_actor is not None]
    known.files.notes.add(
        place,
        "is not the alias of an issuer whose users are taken",
        why="an event is about a user of one issuer, and is believed from those only who may speak of its users",
        mend=f"the aliases are {', '.join(usable) or 'still to be given'}",
    )
    return None


def _check_named_by(place: str, named_by: str, alias: str, known: _Known) -> None:
    """Notes when nobody could be found by that name: the ledger then knows a hash of it."""
    issuer = known.issuers.get(alias)
    if named_by == "source_claim" and issuer is not None and issuer.source_identity == "hash":
        known.files.notes.add(
            f"{place}.named_by",
            'needs source_identity = "readable" at the issuer',
            why="the ledger keeps SourceIdentity, and nobody can be found by a hash of another name",
            mend='write named_by = "sub" and use subject_map, or make SourceIdentity readable',
        )


def _check_http(place: str, known: _Known) -> None:
    """Notes when nobody could push or call."""
    if not known.has_http:
        why = "events are sent to the gateway's HTTP listener"
        known.files.notes.add(place, "there is no [listen.http]", why=why, mend="add [listen.http], or poll instead")


def _secrets(place: str, texts: Sequence[str], files: Files) -> tuple[Secret, ...]:
    """Returns the secrets of files, after noting what is wrong with them."""
    found = [files.secret(f"{place}[{number}]", text) for number, text in enumerate(texts)]
    return tuple(secret for secret in found if secret is not None)


def _private(place: str, text: str | None, files: Files) -> Path | None:
    """Returns the path of a file that others cannot read, or None."""
    return None if text is None else files.private(place, text)


def _hosts(url: str, further: Sequence[str]) -> frozenset[str]:
    """Returns the host of a URL, and further ones."""
    host = urlsplit_host(url)
    return frozenset(further) | ({host} if host else frozenset())


def _note_twice(items: Sequence[tuple[str, str]], files: Files) -> None:
    """Notes every name that somebody before has."""
    seen: set[str] = set()
    for place, name in items:
        if name in seen:
            files.notes.add(place, "is that of another", why="it names one source", mend="give each a name of its own")
        seen.add(name)


def _note_invalid(place: str, wrong: InvalidSettings, files: Files) -> None:
    """Notes every mistake that the settings themselves found."""
    for name, problem in wrong.mistakes:
        why, mend = _ADVICE.get(name, _GENERAL)
        files.notes.add(f"{place}.{name}", problem, why=why, mend=mend or _GENERAL[1])
