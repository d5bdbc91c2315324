"""Makes the settings of approvals and notifications."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from remit_server.config.approval_settings import ApprovalSettings, Format, NotificationSettings
from remit_server.config.approval_shapes import ApprovalTable, NotificationTable
from remit_server.config.files import Files
from remit_server.config.identity_rules import is_alias, url_mistake
from remit_server.domain.notification import NotificationKind
from remit_server.domain.secret import Secret

SHORTEST_SECRET: Final = 32


def approvals(item: ApprovalTable | None) -> ApprovalSettings:
    """Returns how long people are waited for."""
    item = item or ApprovalTable()
    return ApprovalSettings(lapse=timedelta(seconds=item.lapse_seconds))


def notifications(items: Sequence[tuple[str, NotificationTable]], files: Files) -> tuple[NotificationSettings, ...]:
    """Returns the receivers that are right, after noting what is wrong with the others."""
    names = [item.name for _, item in items]
    for place, item in items:
        if names.count(item.name) > 1:
            why = "what it was told is kept by its name"
            files.notes.add(f"{place}.name", "is that of another receiver", why=why, mend="give each its own")
    found = [_notification(place, item, files) for place, item in items]
    return tuple(one for one in found if one is not None)


def _notification(place: str, item: NotificationTable, files: Files) -> NotificationSettings | None:
    """Returns one receiver, or None."""
    before = len(files.notes.mistakes)
    if not is_alias(item.name):
        why = "it stands in records"
        files.notes.add(
            f"{place}.name", "is no short name", why=why, mend='write a-z, 0-9 and "-", such as "approvers"'
        )
    url = _url(place, item, files)
    secret = _secret(place, item, files)
    ca_file = files.authorities(f"{place}.ca_file", item.ca_file) if item.ca_file is not None else None
    known = {kind.value for kind in NotificationKind}
    for number, kind in enumerate(item.kinds):
        if kind not in known:
            why, mend = "nobody would be told", f"write some of: {', '.join(sorted(known))}"
            files.notes.add(f"{place}.kinds[{number}]", "is nothing that can be told of", why=why, mend=mend)
    if url is None or len(files.notes.mistakes) > before:
        return None
    return NotificationSettings(
        name=item.name,
        url=url,
        format=Format(item.format),
        kinds=frozenset(map(NotificationKind, item.kinds or known)),
        secret=secret,
        with_session_policy=item.with_session_policy,
        ca_file=ca_file,
        private_network=item.private_network,
    )


def _url(place: str, item: NotificationTable, files: Files) -> Secret | None:
    """Returns where the receiver is."""
    if (item.url is None) == (item.url_file is None):
        why = "the gateway has to know where it is told"
        files.notes.add(place, "needs either url or url_file", why=why, mend="name one of them")
        return None
    url = Secret(item.url) if item.url is not None else files.secret(f"{place}.url_file", item.url_file or "")
    if url is None:
        return None
    host = urlsplit(url.reveal()).hostname or ""
    if mistake := url_mistake(url.reveal(), [host]):
        which = "url_file" if item.url_file is not None else "url"
        why, mend = "what is told goes there and nowhere else", 'write it like "https://chat.acme.example/remit"'
        files.notes.add(f"{place}.{which}", mistake, why=why, mend=mend)
        return None
    return url


def _secret(place: str, item: NotificationTable, files: Files) -> Secret | None:
    """Returns what signs the messages; Slack checks no signature, every other receiver has to."""
    if item.secret_file is None:
        if item.format == "json":
            why = "else the receiver cannot tell the gateway from anybody"
            mend = "name a file with a long random text, and check Remit-Signature (docs/approvals.md)"
            files.notes.add(f"{place}.secret_file", "is missing", why=why, mend=mend)
        return None
    secret = files.secret(f"{place}.secret_file", item.secret_file)
    if secret is not None and len(secret.reveal()) < SHORTEST_SECRET:
        why = "a short secret can be guessed"
        mend = f"write {SHORTEST_SECRET} random characters or more: openssl rand -hex 32"
        files.notes.add(f"{place}.secret_file", "holds a secret that is too short", why=why, mend=mend)
        return None
    return secret
