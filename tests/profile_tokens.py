"""Tokens of workloads and of Google as their vendors document them, with the settings of an issuer that takes them."""

from typing import Any

import pytest
from tests.token_forge import ABSENT, settings

from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.settings import ClaimProfile, IssuerSettings

ORGANIZATION = "a1b2c3d4-0000-4000-8000-000000000001"
CREATOR = "b3c4d5e6-0000-4000-8000-000000000003"
ENVIRONMENT = "e5f6a7b8-0000-4000-8000-000000000004"
PROJECT = "c9d0e1f2-0000-4000-8000-000000000005"
RUNNER = "f3a4b5c6-0000-4000-8000-000000000007"

# developers.google.com, "OpenID Connect": "An ID token's payload"
GOOGLE_ID_TOKEN: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "azp": "1234987819200.apps.googleusercontent.com",
    "aud": "1234987819200.apps.googleusercontent.com",
    "sub": "10769150350006150715113082367",
    "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
    "hd": "example.com",
    "email": "jsmith@example.com",
    "email_verified": True,
    "iat": 1353601026,
    "exp": 1353604926,
    "nonce": "0394852-3190485-2490358",
    "name": "John Smith",
    "picture": "https://lh3.googleusercontent.com/a/photo.jpg",
    "given_name": "John",
    "family_name": "Smith",
    "locale": "en",
}
# docs.github.com, "OpenID Connect": "Understanding the OIDC token", and the claims of its reference page
GITHUB_TOKEN: dict[str, Any] = {
    "jti": "example-id",
    "sub": "repo:octo-org/octo-repo:environment:prod",
    "environment": "prod",
    "environment_node_id": "EN_kwDOI1Vzn84yRhwA",
    "aud": "https://remit.acme.example",
    "ref": "refs/heads/main",
    "ref_type": "branch",
    "ref_protected": "true",
    "sha": "example-sha",
    "repository": "octo-org/octo-repo",
    "repository_owner": "octo-org",
    "actor_id": "12",
    "repository_visibility": "private",
    "repository_id": "74",
    "repository_owner_id": "65",
    "run_id": "1234567890",
    "run_number": "10",
    "run_attempt": "2",
    "runner_environment": "github-hosted",
    "actor": "octocat",
    "workflow": "example-workflow",
    "workflow_ref": "octo-org/octo-repo/.github/workflows/oidc.yml@refs/heads/main",
    "workflow_sha": "example-sha",
    "head_ref": "",
    "base_ref": "",
    "event_name": "workflow_dispatch",
    "enterprise": "avocado-corp",
    "enterprise_id": "2",
    "check_run_id": "77",
    "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
    "job_workflow_sha": "example-sha",
    "repo_property_business_unit": "payments",
    "iss": "https://token.actions.githubusercontent.com",
    "nbf": 1632492967,
    "exp": 1632493867,
    "iat": 1632493567,
}
# ona.com/docs, "OpenID Connect (OIDC)": "Environment tokens" (V3)
GITPOD_V3_TOKEN: dict[str, Any] = {
    "iss": "https://app.gitpod.io",
    "sub": f"organization_id:{ORGANIZATION}:project_id:{PROJECT}",
    "aud": ["https://remit.acme.example"],
    "exp": 1711929600,
    "iat": 1711926000,
    "environment_id": ENVIRONMENT,
    "organization_id": ORGANIZATION,
    "project_id": PROJECT,
    "runner_id": RUNNER,
    "creator_principal": "user",
    "creator_id": CREATOR,
    "creator_email": "dev@example.com",
    "creator_name": "Jane Doe",
    "creator_idp": "https://accounts.google.com",
    "creator_idp_claims": {"groups": ["engineering"]},
    "environment_initializers": [
        {"git": {"remote_uri": "https://github.com/org/repo.git"}, "context_url": "https://github.com/org/repo"}
    ],
}
# ona.com/docs, the page on AWS, its token of V2
GITPOD_V2_TOKEN: dict[str, Any] = {
    "aud": "https://remit.acme.example",
    "exp": 1740517845,
    "iat": 1740514245,
    "iss": "https://app.gitpod.io",
    "org": ORGANIZATION,
    "sub": f"org:{ORGANIZATION}/prj:{PROJECT}/env:{ENVIRONMENT}",
}
# kubernetes.io, "Managing Service Accounts": "Schema for service account private claims"
KUBERNETES_TOKEN: dict[str, Any] = {
    "aud": ["https://my-audience.example.com"],
    "exp": 1729605240,
    "iat": 1729601640,
    "iss": "https://my-cluster.example.com",
    "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
    "kubernetes.io": {
        "namespace": "my-namespace",
        "node": {"name": "my-node", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
        "pod": {"name": "my-pod", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
        "serviceaccount": {"name": "my-serviceaccount", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
        "warnafter": 1729605247,
    },
    "nbf": 1729601640,
    "sub": "system:serviceaccount:my-namespace:my-serviceaccount",
}
# The token of a Secret, as before Kubernetes 1.24: it never ends
KUBERNETES_LEGACY_TOKEN: dict[str, Any] = {
    "iss": "kubernetes/serviceaccount",
    "kubernetes.io/serviceaccount/namespace": "default",
    "kubernetes.io/serviceaccount/secret.name": "mytestaccount-token-pnj77",
    "kubernetes.io/serviceaccount/service-account.name": "mytestaccount",
    "kubernetes.io/serviceaccount/service-account.uid": "a709ef71-30e2-489a-bd19-ade97031b9db",
    "sub": "system:serviceaccount:default:mytestaccount",
}

_SETTINGS: dict[ClaimProfile, dict[str, Any]] = {
    ClaimProfile.GOOGLE: {
        "issuer": "https://accounts.google.com",
        "tenants": frozenset({"example.com"}),
        "group_members": (("analysts", ("jsmith@example.com",)),),
    },
    ClaimProfile.GITHUB_ACTIONS: {
        "issuer": "https://token.actions.githubusercontent.com",
        "tenants": frozenset({"65"}),
        "carries_actor": "repository_id",
    },
    ClaimProfile.GITPOD: {
        "issuer": "https://app.gitpod.io",
        "tenants": frozenset({ORGANIZATION}),
        "carries_actor": "environment_id",
    },
    ClaimProfile.KUBERNETES: {"issuer": "https://my-cluster.example.com", "subjects": False, "actors": True},
}


def profile_settings(profile: ClaimProfile, **changes: Any) -> IssuerSettings:
    """The settings of an issuer that takes the documented tokens of this profile, with changes."""
    return settings(profile=profile, **{**_SETTINGS[profile], **changes})


def changed(token: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The token with changes; ABSENT leaves a claim out."""
    return {name: value for name, value in {**token, **changes}.items() if value is not ABSENT}


def refused(configuration: IssuerSettings, token: dict[str, Any]) -> str:
    """Says why the token is refused; fails when it is not, or when the refusal repeats a value of the token."""
    with pytest.raises(TokenRefused) as raised:
        read_holder(configuration, token)
    assert "mallory" not in raised.value.why
    return raised.value.why
