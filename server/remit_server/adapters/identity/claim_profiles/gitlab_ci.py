"""GitLab CI's ID tokens: https://docs.gitlab.com/ci/secrets/id_token_authentication/."""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.profile import Profile, never_client
from remit_server.adapters.identity.claim_values import flag_claim, text_claim
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.settings import IssuerSettings


def _check_gitlab(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts tokens whose project lies directly in their namespace and whose flags are the documented words."""
    del settings
    namespace, _, project = text_claim(claims, "project_path").rpartition("/")
    if not project or namespace != text_claim(claims, "namespace_path"):
        raise TokenRefused("the claims `project_path` and `namespace_path` contradict each other")
    flag_claim(claims, "ref_protected")
    if "environment" in claims:
        flag_claim(claims, "environment_protected")


def _gitlab_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the project's namespace and every namespace above it: rights of a group hold for its subgroups."""
    del settings
    segments = text_claim(claims, "namespace_path").split("/")
    if not all(segments):
        raise TokenRefused("the claim `namespace_path` is not a path of namespaces")
    return tuple("/".join(segments[:depth]) for depth in range(1, len(segments) + 1))


GITLAB_CI: Final = Profile(
    check=_check_gitlab,
    groups=_gitlab_groups,
    email=None,  # `user_email` is who started the pipeline, not who wrote what it runs
    is_client=never_client,
    kept=frozenset(
        {"project_path", "project_id", "namespace_path", "namespace_id", "project_visibility"}
        | {"ref", "ref_type", "ref_path", "ref_protected", "sha"}
        | {"environment", "environment_protected", "environment_action", "deployment_tier"}
        | {"pipeline_id", "pipeline_source", "job_id", "runner_environment", "ci_config_ref_uri", "ci_config_sha"}
        | {"user_id", "user_login", "user_access_level"}
    ),
    dropped=frozenset(
        {"user_email", "user_identities", "groups_direct", "runner_id"}
        | {"job_project_id", "job_project_path", "job_namespace_id", "job_namespace_path", "job_source"}
    ),
)
