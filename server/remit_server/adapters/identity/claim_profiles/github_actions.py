"""GitHub Actions' OIDC tokens: https://docs.github.com/en/actions/reference/security/oidc.

GitHub signs for every repository there is: only those of the owners that `tenants` names by their ids are taken. Names
of owners and repositories can be given up and taken by others, ids cannot, so groups are made of ids alone.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.profile import Profile, never_client
from remit_server.adapters.identity.claim_values import flag_claim, is_visible, text_claim
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_profiles import GITHUB_EVENTS, is_number
from remit_server.config.settings import IssuerSettings

_LONGEST: Final = 1024
_KEPT: Final = frozenset(
    {"repository", "repository_id", "repository_owner", "repository_owner_id", "repository_visibility"}
    | {"ref", "ref_type", "ref_protected", "base_ref", "head_ref", "sha", "environment", "event_name"}
    | {"workflow", "workflow_ref", "workflow_sha", "job_workflow_ref", "job_workflow_sha"}
    | {"actor", "actor_id", "run_id", "run_number", "run_attempt", "runner_environment"}
    | {"enterprise", "enterprise_id"}
)
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "repository_visibility": frozenset({"public", "private", "internal"}),
    "runner_environment": frozenset({"github-hosted", "self-hosted"}),
}


def _check_github(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts tokens of the configured owners' repositories, started by an accepted event, with claims that agree."""
    _check_shapes(claims)
    if _id_claim(claims, "repository_owner_id") not in settings.tenants:
        raise TokenRefused("the claim `repository_owner_id` is not one of its issuer's `tenants`")
    _id_claim(claims, "repository_id")
    owner, _, name = text_claim(claims, "repository").partition("/")
    if not name or "/" in name or owner != text_claim(claims, "repository_owner"):
        raise TokenRefused("the claims `repository` and `repository_owner` contradict each other")
    _check_subject(claims)
    if text_claim(claims, "event_name") not in (settings.events or GITHUB_EVENTS):
        raise TokenRefused(
            "the claim `event_name` is not one of the events whose runs are taken: start the workflow in another way, "
            "or have the event added to its issuer's `events`"
        )


def _check_shapes(claims: Mapping[str, Any]) -> None:
    """Refuses what is no string: GitHub writes ids, numbers and flags as strings, too."""
    for name in sorted(_KEPT & claims.keys()):
        value = claims[name]
        if not isinstance(value, str) or len(value) > _LONGEST or not is_visible(value):
            raise TokenRefused(f"the claim `{name}` must be a string of at most {_LONGEST} visible characters")
        if name in _WORDS and value not in _WORDS[name]:
            raise TokenRefused(f"the claim `{name}` must be one of {', '.join(sorted(_WORDS[name]))}")
    if "ref_protected" in claims:
        flag_claim(claims, "ref_protected")
    if claims.get("environment") == "":
        raise TokenRefused("the claim `environment` must not be empty")


def _id_claim(claims: Mapping[str, Any], name: str) -> str:
    """Returns an id, which is a number written in one way only."""
    value = text_claim(claims, name)
    if not is_number(value):
        raise TokenRefused(f"the claim `{name}` must be a number without leading zeros")
    return value


def _check_subject(claims: Mapping[str, Any]) -> None:
    """Checks that `sub` names this repository, and no environment or ref but this token's.

    NOTE: the expected text is made of the claims and compared, never taken apart: an organisation may bear the name
    that a composite of another's would have (the `-` forms of immutable subjects). Templates that name no repository
    make one subject of many, so they are refused.
    """
    repository, _, rest = claims["sub"].partition(":")[2].partition(":")
    if claims["sub"].startswith("repo:"):
        owner, _, name = claims["repository"].partition("/")
        immutable = f"{owner}@{claims['repository_owner_id']}/{name}@{claims['repository_id']}"
        agrees = repository in {claims["repository"], immutable}
    elif claims["sub"].startswith("repository_id:"):
        agrees = repository == claims["repository_id"]
    else:
        raise TokenRefused("the claim `sub` names no repository: let its template start with `repo` or `repository_id`")
    if not (agrees and _is_context(claims, rest)):
        raise TokenRefused("the claim `sub` contradicts the token's repository, environment or ref")


def _is_context(claims: Mapping[str, Any], context: str) -> bool:
    """Says whether what follows the repository in `sub` agrees; there, a colon inside a value is written `%3A`.

    The token's own environment and ref are taken out wherever they stand; none may be left.
    """
    left = f":{context}:"
    for name in ("environment", "ref"):
        if claims.get(name):
            own = claims[name].replace(":", "%3A")
            left = re.sub(rf":{name}:{re.escape(own)}(?=:)", "", left)
        if f":{name}:" in left:
            return False
    return True


def _github_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns groups: owner, repository, whether the ref is protected, and the job's environment.

    NOTE: the last two say no more than the repository's settings do. `repository:<id>:environment:<name>` is a job that
    passed that environment's rules, and one without rules, or made by being named, is open to whoever can push.
    `repository:<id>:protected` is a ref that some rule matches: unless creations are restricted, whoever can push makes
    `release/evil` under `release/*`. No pull request's run is in it: what runs there, nobody has reviewed.
    https://docs.github.com/en/actions/concepts/workflows-and-actions/deployment-environments

    No two lists of parts make one name: ids are digits, and only the last part is free.
    """
    del settings
    repository = f"repository:{claims['repository_id']}"
    groups = [f"owner:{claims['repository_owner_id']}", repository]
    if claims.get("ref_protected") == "true" and not claims["event_name"].startswith("pull_request"):
        groups.append(f"{repository}:protected")
    if "environment" in claims:
        groups.append(f"{repository}:environment:{claims['environment']}")
    return tuple(groups)


GITHUB_ACTIONS: Final = Profile(
    check=_check_github,
    groups=_github_groups,
    email=None,
    is_client=never_client,
    kept=_KEPT,
    dropped=frozenset({"environment_node_id", "issuer_scope", "check_run_id"}),
    dropped_prefixes=("repo_property_",),  # who may set them is the organisation's choice: name them in kept_claims
)
