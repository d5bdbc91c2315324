"""The vendors whose token shapes are known, and what each needs of an issuer's settings."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from remit_server.config.identity_rules import is_entra_issuer, is_host

if TYPE_CHECKING:  # the settings ask these rules about themselves
    from remit_server.config.identity_settings import IssuerSettings

GOOGLE_ISSUER: Final = "https://accounts.google.com"
# What the repository's own people start. Whoever can push starts them, so policies ask for an environment with rules.
GITHUB_EVENTS: Final = ("push", "schedule", "workflow_dispatch", "release")
# NOTE: strangers start these, mostly with the base repository's rights: whoever comments could hold credentials.
# https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows
STRANGERS_EVENTS: Final = frozenset(
    {"pull_request_target", "pull_request_review", "pull_request_review_comment", "pull_request_comment"}
    | {"issues", "issue_comment", "discussion", "discussion_comment", "commit_comment", "fork", "watch", "gollum"}
    | {"workflow_run"}
)
_NUMBER = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_DNS_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_EVENT = re.compile(r"[a-z][a-z_]{0,63}", re.ASCII)
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<domain>[^@]+)", re.ASCII)


class ClaimProfile(StrEnum):
    """Which vendor's token shapes an issuer has."""

    GENERIC = "generic"
    OKTA = "okta"
    ENTRA = "entra"
    GOOGLE = "google"
    GITLAB_CI = "gitlab_ci"
    GITHUB_ACTIONS = "github_actions"
    GITPOD = "gitpod"
    KUBERNETES = "kubernetes"


def is_number(text: str) -> bool:
    """Says whether the text is a vendor's numeric id, written in the one way there is."""
    return _NUMBER.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Says whether the text is a UUID in lower case."""
    return _UUID.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """Says whether the text is a DNS domain in lower case: a host name of at least two labels, no address."""
    return is_host(text) and "." in text and not text.rpartition(".")[2].isdigit()


def is_dns_label(text: str) -> bool:
    """Says whether the text can be a namespace of Kubernetes (RFC 1123 label)."""
    return _DNS_LABEL.fullmatch(text) is not None


def is_dns_name(text: str) -> bool:
    """Says whether the text can be the name of an object of Kubernetes (RFC 1123 subdomain)."""
    return _DNS_NAME.fullmatch(text) is not None


# Issuers that sign for everybody: what their tenants are called.
_TENANTS: Final[Mapping[ClaimProfile, tuple[Callable[[str], bool], str]]] = {
    ClaimProfile.GOOGLE: (is_domain, "the organisation's Google Workspace domain (`hd`), such as acme.example"),
    ClaimProfile.GITHUB_ACTIONS: (is_number, "the owner's numeric id (`repository_owner_id`), such as 65"),
    ClaimProfile.GITPOD: (is_uuid, "the organisation's id, a UUID in lower case"),
}
# Tokens of workloads: they name no presenter, and these claims are fit to be the actor (empty: any).
_CARRIERS: Final[Mapping[ClaimProfile, tuple[str, ...]]] = {
    ClaimProfile.GITLAB_CI: (),
    ClaimProfile.GITHUB_ACTIONS: ("repository_id", "repository", "workflow_ref", "job_workflow_ref", "sub"),
    ClaimProfile.GITPOD: ("environment_id", "sub"),
    ClaimProfile.KUBERNETES: ("sub",),
}
_NAMES: Final = {
    ClaimProfile.GITLAB_CI: ("GitLab CI", "project_path"),
    ClaimProfile.GITHUB_ACTIONS: ("GitHub Actions", "repository_id"),
    ClaimProfile.GITPOD: ("Gitpod (Ona)", "environment_id"),
    ClaimProfile.KUBERNETES: ("Kubernetes", "sub"),
}


def profile_mistakes(settings: "IssuerSettings") -> Iterator[tuple[str, str]]:
    """Yields what is wrong with the settings for the vendor that they name."""
    yield from _tenant_mistakes(settings)
    yield from _workload_mistakes(settings)
    yield from _event_mistakes(settings)
    if settings.profile is ClaimProfile.GOOGLE:
        yield from _google_mistakes(settings)
    elif settings.group_members:
        yield "group_members", "is for the profile google only: other issuers' tokens say the groups themselves"
    if settings.profile is ClaimProfile.ENTRA and not is_entra_issuer(settings.issuer):
        yield "issuer", "an Entra ID issuer names its one tenant: https://<login host>/<tenant id>/v2.0, not `common`"


def _tenant_mistakes(settings: "IssuerSettings") -> Iterator[tuple[str, str]]:
    """Yields what is wrong with whose tokens of a shared issuer are taken."""
    known = _TENANTS.get(settings.profile)
    if known is None:
        if settings.tenants:
            yield "tenants", f"is for issuers that sign for everybody ({', '.join(_TENANTS)}), not for this profile"
        return
    is_tenant, what = known
    if not settings.tenants:
        yield "tenants", f"must name whose tokens are taken, for this issuer signs for everybody: {what}"
    elif not all(is_tenant(tenant) for tenant in settings.tenants):
        yield "tenants", f"must each be {what}"


def _workload_mistakes(settings: "IssuerSettings") -> Iterator[tuple[str, str]]:
    """Yields contradictions of issuers whose tokens name a workload: no presenter, no address, few fit actors."""
    if settings.profile not in _CARRIERS:
        return
    name, example = _NAMES[settings.profile]
    if settings.subjects and not settings.carries_actor and settings.binding == "required":
        mend = f"set carries_actor, for example to `{example}`, or actors = true with subjects = false"
        yield "carries_actor", f"a {name} token names no presenter: {mend}"
    fit = _CARRIERS[settings.profile]
    if settings.carries_actor and fit and settings.carries_actor not in fit:
        yield (
            "carries_actor",
            f"of a {name} token only {', '.join(fit)} can name the actor: others can be chosen freely",
        )
    if settings.source_claim == "email":
        yield "source_claim", f"a {name} token has no address that its issuer vouches for: name another claim"


def _event_mistakes(settings: "IssuerSettings") -> Iterator[tuple[str, str]]:
    """Yields events that must not start what holds credentials."""
    if settings.events and settings.profile is not ClaimProfile.GITHUB_ACTIONS:
        yield "events", "is for the profile github_actions only"
    strangers = sorted(STRANGERS_EVENTS.intersection(settings.events))
    if strangers:
        yield "events", f"must not name {', '.join(strangers)}: strangers start these with the repository's own rights"
    if not all(_EVENT.fullmatch(event) for event in settings.events):
        yield "events", "must be names of events, such as push"


def _google_mistakes(settings: "IssuerSettings") -> Iterator[tuple[str, str]]:
    """Yields what cannot be with Google's ID tokens, which name a person and no groups."""
    if settings.issuer != GOOGLE_ISSUER:
        yield "issuer", f"Google's tokens are of {GOOGLE_ISSUER}, to the letter"
    if settings.actors or settings.carries_actor:
        yield "actors", "a Google ID token names a person: agents prove themselves in another way"
    if settings.group_map or settings.group_claim != "groups":
        yield "group_map", "Google's tokens carry no groups: name the members in group_members"
    members = {member for _, group in settings.group_members for member in group}
    if not all(_is_member(member, settings.tenants) for member in members):
        yield (
            "group_members",
            "must be addresses in lower case of a domain with letters, `sub` ids (digits), or domains among `tenants`",
        )
    if not all(group.strip() == group and group and members for group, members in settings.group_members):
        yield "group_members", "must give each group a name and at least one member"


def _is_member(text: str, tenants: frozenset[str]) -> bool:
    """Says whether the text names a member in exactly one way: an address, a `sub` of digits, or a tenant's domain."""
    address = _ADDRESS.fullmatch(text)
    if address is not None:
        return is_domain(address["domain"])
    return text in tenants or (text.isascii() and text.isdigit())
