"""Finds out of which user an event speaks (RFC 9493, SSF 1.0 3), and that its transmitter may speak of that user."""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.config.event_settings import TransmitterSettings
from remit_server.config.identity_rules import is_plain_text
from remit_server.domain.security_event import EventRefusal, EventRefused

_USER: Final = "user"
_TENANT: Final = "tenant"
_COMPLEX_MEMBERS: Final = frozenset({_USER, _TENANT, "device", "session", "application", "org_unit", "group"})


class NotAboutAUser(Exception):  # noqa: N818 - named for what it says
    """The event is sound and speaks of nobody that this gateway knows by that kind of name; says why."""


def subject_of(settings: TransmitterSettings, claims: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """Returns the `sub`, as users' tokens have it, of the user that the event is about.

    The identifier stands in the claim `sub_id` (SSF 1.0), or in the event's `subject` (its drafts; Okta and Google).
    Raises NotAboutAUser, and EventRefused for one that is malformed or of an issuer this transmitter may not speak for.
    """
    identifier = _identifier(claims, event)
    is_complex = identifier.get("format", "complex") == "complex" and "subject_type" not in identifier
    user = _user_of_complex(identifier) if is_complex else identifier
    _check_tenant(settings, identifier)
    there = _user_id(settings, user)
    return dict(settings.subject_map).get(there, there)


def _identifier(claims: Mapping[str, Any], event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the one subject identifier of the event; two that differ have no one reading."""
    found = [holder[name] for holder, name in ((claims, "sub_id"), (event, "subject")) if name in holder]
    if not found:
        raise _malformed("the event has no subject: neither `sub_id` nor a `subject` in the event")
    if len(found) > 1 and found[0] != found[1]:
        raise _malformed("`sub_id` and the event's `subject` differ")
    return _object(found[0], "the subject identifier")


def _user_of_complex(identifier: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the user of a complex subject. An event about one session or device of a user is about that user here.

    NOTE: grants know no sessions of the identity provider, so that revoking all of the user's is the least that does
    what the event asks.
    """
    if _COMPLEX_MEMBERS.isdisjoint(identifier):
        raise _malformed("the subject identifier has no `format`")
    if _USER not in identifier:
        raise NotAboutAUser("its subject names no user")
    return _object(identifier[_USER], "the subject's user")


def _check_tenant(settings: TransmitterSettings, identifier: Mapping[str, Any]) -> None:
    """Checks the tenant of the subject where the configuration names those that count."""
    if not settings.tenants:
        return
    if _TENANT not in identifier:
        raise NotAboutAUser("its subject names no tenant, and `tenants` is set")
    tenant = _object(identifier[_TENANT], "the subject's tenant")
    names = [tenant[name] for name in ("id", "sub") if name in tenant]
    if len(names) != 1 or not isinstance(names[0], str):
        raise _malformed("the subject's tenant must be of the format opaque or iss_sub")
    if names[0] not in settings.tenants:
        raise NotAboutAUser("its subject is of a tenant that is not among `tenants`")


def _user_id(settings: TransmitterSettings, identifier: Mapping[str, Any]) -> str:
    """Returns the user's id as the transmitter writes it."""
    kind = _format(identifier)
    if kind not in settings.subject_formats:
        raise NotAboutAUser("its subject is of a format that is not among `subject_formats`")
    match kind:
        case "iss_sub":
            return _subject_of_issuer(settings, identifier)
        case "email":
            return _text(identifier, "email")
        case "opaque":
            return _text(identifier, "id")
        case _:
            raise NotAboutAUser("its subject is of a format that is not known here")


def _format(identifier: Mapping[str, Any]) -> str:
    """Returns the format; RISC's first drafts, which Google sends, call it `subject_type` and write it with hyphens.

    Their `id_token_claims` are `iss` and `sub`, with an address beside them that decides nothing.
    """
    if "format" in identifier and "subject_type" in identifier:
        raise _malformed("the subject identifier has both `format` and `subject_type`")
    if "subject_type" in identifier:
        drafted = _text(identifier, "subject_type").replace("-", "_")
        return "iss_sub" if drafted == "id_token_claims" else drafted
    return _text(identifier, "format")


def _subject_of_issuer(settings: TransmitterSettings, identifier: Mapping[str, Any]) -> str:
    """Returns the `sub` of an identifier that names its issuer: only the one that this transmitter speaks for."""
    if _text(identifier, "iss") != settings.subject_issuer:
        raise EventRefused(
            EventRefusal.ACCESS_DENIED,
            "the subject is a user of another issuer than `subject_issuer`, the one this transmitter may speak for",
        )
    return _text(identifier, "sub")


def _object(value: Any, name: str) -> Mapping[str, Any]:
    """Returns a JSON object."""
    if not isinstance(value, dict):
        raise _malformed(f"{name} is not an object")
    return value


def _text(identifier: Mapping[str, Any], name: str) -> str:
    """Returns a member that must be 1 to 255 printable ASCII characters."""
    value = identifier.get(name)
    if not isinstance(value, str) or not is_plain_text(value):
        raise _malformed(f"the subject identifier's `{name}` must be 1 to 255 printable ASCII characters")
    return value


def _malformed(why: str) -> EventRefused:
    return EventRefused(EventRefusal.INVALID_REQUEST, why)
