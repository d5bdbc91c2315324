"""Ona's (formerly Gitpod's) OIDC tokens: https://ona.com/docs/ona/configuration/oidc.

Ona signs for every organisation: only those that `tenants` names are taken. Two versions are documented: V3 has flat
claims and `organization_id:<id>:project_id:<id>` as subject, V2 has `org` and `org:<id>/prj:<id>/env:<id>`.
"""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.profile import Profile, Rebuilt, never_client
from remit_server.adapters.identity.claim_values import optional_text, text_claim
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_profiles import is_uuid
from remit_server.config.settings import IssuerSettings

_IDS: Final = ("environment_id", "project_id", "runner_id", "user_id", "account_id", "service_account_id", "creator_id")
_SUBJECTS: Final = (
    "project_id",
    "environment_id",
    "user_id",
    "service_account_id",
)  # V3: what follows the organisation
_KINDS: Final = {"org": "organization_id", "prj": "project_id", "env": "environment_id", "user": "user_id"} | {
    "rnr": "runner_id"
}
_V2_SUBJECTS: Final = frozenset({("org", "user"), ("org", "rnr"), ("org", "env"), ("org", "prj", "env")})


def _check_gitpod(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts tokens of the configured organisations whose subject and other claims agree."""
    if _ids(claims)["organization_id"] not in settings.tenants:
        name = "org" if "org" in claims else "organization_id"
        raise TokenRefused(f"the claim `{name}` is not one of its issuer's `tenants`")


def _ids(claims: Mapping[str, Any]) -> Mapping[str, str]:
    """Returns every id that the token names, under the names of V3."""
    if "org" in claims and "organization_id" in claims:
        raise TokenRefused("the claims `org` and `organization_id` are of two versions of tokens")
    return _v2_ids(claims) if "org" in claims else _v3_ids(claims)


def _v3_ids(claims: Mapping[str, Any]) -> Mapping[str, str]:
    """Returns the ids of a V3 token, whose subject starts with the organisation and one of them.

    NOTE: what an organisation adds to the subject may hold colons, so the expected start is made and compared.
    """
    ids = {name: _id_claim(claims, name) for name in ("organization_id", *(name for name in _IDS if name in claims))}
    optional_text(claims, "creator_principal")
    starts = [f"organization_id:{ids['organization_id']}:{name}:{ids[name]}" for name in _SUBJECTS if name in ids]
    if not any(claims["sub"] == start or claims["sub"].startswith(f"{start}:") for start in starts):
        raise TokenRefused("the claim `sub` contradicts the token's ids, or names only an organisation or an account")
    return ids


def _v2_ids(claims: Mapping[str, Any]) -> Mapping[str, str]:
    """Returns the ids of a V2 token, all of which stand in its subject."""
    parts = [part.partition(":") for part in claims["sub"].split("/")]
    if tuple(kind for kind, _, _ in parts) not in _V2_SUBJECTS or not all(is_uuid(value) for _, _, value in parts):
        raise TokenRefused("the claim `sub` has none of the documented forms, such as org:<id>/prj:<id>/env:<id>")
    ids = {_KINDS[kind]: value for kind, _, value in parts}
    if _id_claim(claims, "org") != ids["organization_id"]:
        raise TokenRefused("the claims `sub` and `org` contradict each other")
    return ids


def _id_claim(claims: Mapping[str, Any], name: str) -> str:
    """Returns an id, which is a UUID in lower case."""
    value = text_claim(claims, name)
    if not is_uuid(value):
        raise TokenRefused(f"the claim `{name}` must be a UUID in lower case")
    return value


def _gitpod_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the organisation and the project; what the creator's own provider said of groups is not its word."""
    del settings
    ids = _ids(claims)
    project = (f"project:{ids['project_id']}",) if "project_id" in ids else ()
    return (f"organization:{ids['organization_id']}", *project)


def _rebuilt_ids(claims: Mapping[str, Any]) -> Rebuilt:
    """Returns the ids under one set of names, whichever version the token has."""
    return Rebuilt(_ids(claims))


GITPOD: Final = Profile(
    check=_check_gitpod,
    groups=_gitpod_groups,
    email=None,  # `creator_email` is what the creator's own provider said when the environment was made
    is_client=never_client,
    kept=frozenset({"creator_principal"}),
    dropped=frozenset(
        {"org", "organization_id", *_IDS, "gsub", "idp", "idp_claims", "runner_name", "environment_initializers"}
        | {"creator_email", "creator_name", "creator_idp", "creator_idp_claims"}
    ),
    rebuild=_rebuilt_ids,
)
