"""Reads what a verified token says of its holder, in the shapes that each vendor documents: one file per vendor.

Every claim is accounted for: checked before (`REGISTERED`), read here, kept for policies, or known and dropped on
purpose. What a profile has never heard of is dropped too, and named in `unaccounted` for the operator's log.
"""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.entra import ENTRA
from remit_server.adapters.identity.claim_profiles.generic import GENERIC
from remit_server.adapters.identity.claim_profiles.github_actions import GITHUB_ACTIONS
from remit_server.adapters.identity.claim_profiles.gitlab_ci import GITLAB_CI
from remit_server.adapters.identity.claim_profiles.gitpod import GITPOD
from remit_server.adapters.identity.claim_profiles.google import GOOGLE
from remit_server.adapters.identity.claim_profiles.kubernetes import KUBERNETES
from remit_server.adapters.identity.claim_profiles.okta import OKTA
from remit_server.adapters.identity.claim_profiles.profile import (
    COMMON_DROPPED,
    REGISTERED,
    Profile,
    Rebuilt,
    TokenHolder,
)
from remit_server.adapters.identity.claim_values import (
    kept_value,
    list_claim,
    optional_seconds,
    optional_text,
    text_claim,
)
from remit_server.config.settings import ClaimProfile, IssuerSettings

__all__ = ["REGISTERED", "TokenHolder", "read_holder"]

_PROFILES: Final[Mapping[ClaimProfile, Profile]] = {
    ClaimProfile.GENERIC: GENERIC,
    ClaimProfile.OKTA: OKTA,
    ClaimProfile.ENTRA: ENTRA,
    ClaimProfile.GOOGLE: GOOGLE,
    ClaimProfile.GITLAB_CI: GITLAB_CI,
    ClaimProfile.GITHUB_ACTIONS: GITHUB_ACTIONS,
    ClaimProfile.GITPOD: GITPOD,
    ClaimProfile.KUBERNETES: KUBERNETES,
}


def read_holder(settings: IssuerSettings, claims: Mapping[str, Any]) -> TokenHolder:
    """Returns what a token's claims say of its holder; raises TokenRefused when one has not its documented shape."""
    profile = _PROFILES[settings.profile]
    profile.check(settings, claims)
    presenters = {name: text_claim(claims, name) for name in profile.presenters if name in claims}
    kept = profile.kept | frozenset(settings.kept_claims)
    rebuilt = profile.rebuild(claims) if profile.rebuild else Rebuilt({})
    return TokenHolder(
        token_id=optional_text(claims, profile.token_id),
        source_id=_source_id(settings, profile, claims),
        groups=_mapped(settings, profile.groups(settings, claims)),
        email=profile.email(claims) if profile.email else None,
        auth_time=optional_seconds(claims, "auth_time"),
        acr=optional_text(claims, "acr"),
        amr=list_claim(claims, "amr", longest=32, characters=64),
        presenters=presenters,
        is_client=profile.is_client(claims, presenters),
        kept={name: kept_value(claims, name) for name in sorted(kept & claims.keys())} | dict(rebuilt.kept),
        unaccounted=(*_unaccounted(settings, profile, claims), *rebuilt.unaccounted),
    )


def _source_id(settings: IssuerSettings, profile: Profile, claims: Mapping[str, Any]) -> str | None:
    """Returns the claim that names the person to AWS.

    NOTE: an address counts only where its issuer vouches for it: CloudTrail and trust policies would name another's.
    """
    if settings.source_claim == "email" and (profile.email is None or profile.email(claims) is None):
        return None
    return optional_text(claims, settings.source_claim)


def _unaccounted(settings: IssuerSettings, profile: Profile, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of claims that neither the profile nor the configuration knows."""
    read = {"auth_time", "acr", "amr", "email", "email_verified", profile.token_id, *profile.presenters}
    configured = {settings.group_claim, settings.source_claim, settings.carries_actor, *settings.kept_claims}
    known = REGISTERED | read | configured | profile.kept | profile.dropped | COMMON_DROPPED
    unknown = (name for name in claims.keys() - known if not name.startswith(profile.dropped_prefixes))
    return tuple(sorted(unknown))


def _mapped(settings: IssuerSettings, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the policy's names of the groups, in their order, each once."""
    if settings.group_map:
        names = dict(settings.group_map)
        groups = tuple(names[group] for group in groups if group in names)
    return tuple(dict.fromkeys(groups))
