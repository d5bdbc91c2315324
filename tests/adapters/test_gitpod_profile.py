"""Ona's (Gitpod's) tokens of both documented versions: one set of ids, one organisation, no free text believed."""

from typing import Any

import pytest
from tests.profile_tokens import (
    CREATOR,
    ENVIRONMENT,
    GITPOD_V2_TOKEN,
    GITPOD_V3_TOKEN,
    ORGANIZATION,
    PROJECT,
    RUNNER,
    changed,
    profile_settings,
    refused,
)
from tests.token_forge import ABSENT

from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.settings import ClaimProfile, IssuerSettings

OTHER = "00000000-0000-4000-8000-00000000000f"


def _settings(**changes: Any) -> IssuerSettings:
    return profile_settings(ClaimProfile.GITPOD, **changes)


def test_a_v3_environment_token_is_read_as_documented() -> None:
    holder = read_holder(_settings(source_claim="creator_id"), GITPOD_V3_TOKEN)

    assert holder.groups == (f"organization:{ORGANIZATION}", f"project:{PROJECT}")
    assert holder.kept == {
        "creator_principal": "user",
        "organization_id": ORGANIZATION,
        "project_id": PROJECT,
        "environment_id": ENVIRONMENT,
        "runner_id": RUNNER,
        "creator_id": CREATOR,
    }
    assert (holder.source_id, holder.email, holder.presenters, holder.is_client) == (CREATOR, None, {}, False)


def test_a_v2_token_says_the_same_in_its_subject() -> None:
    holder = read_holder(_settings(carries_actor="sub"), GITPOD_V2_TOKEN)

    assert holder.groups == (f"organization:{ORGANIZATION}", f"project:{PROJECT}")
    assert holder.kept == {"organization_id": ORGANIZATION, "project_id": PROJECT, "environment_id": ENVIRONMENT}


@pytest.mark.parametrize(
    ("subject", "ids"),
    [
        (f"org:{ORGANIZATION}/user:{CREATOR}", {"user_id": CREATOR}),
        (f"org:{ORGANIZATION}/rnr:{RUNNER}", {"runner_id": RUNNER}),
        (f"org:{ORGANIZATION}/env:{ENVIRONMENT}", {"environment_id": ENVIRONMENT}),
    ],
)
def test_every_documented_form_of_a_v2_subject_is_read(subject: str, ids: dict[str, str]) -> None:
    holder = read_holder(_settings(), changed(GITPOD_V2_TOKEN, sub=subject))

    assert holder.kept == {"organization_id": ORGANIZATION, **ids}
    assert holder.groups == (f"organization:{ORGANIZATION}",)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": f"organization_id:{ORGANIZATION}:environment_id:{ENVIRONMENT}", "project_id": ABSENT},
        {"sub": f"organization_id:{ORGANIZATION}:project_id:{PROJECT}:creator_idp:https://accounts.google.com"},
        {
            "sub": f"organization_id:{ORGANIZATION}:user_id:{CREATOR}",
            "user_id": CREATOR,
            "project_id": ABSENT,
            "environment_id": ABSENT,
            "email": "dev@example.com",
            "idp": "https://accounts.google.com",
            "idp_claims": {"groups": ["engineering"]},
        },
        {"sub": f"organization_id:{ORGANIZATION}:service_account_id:{CREATOR}", "service_account_id": CREATOR},
    ],
    ids=["no project", "extra fields", "user", "service account"],
)
def test_every_documented_principal_of_a_v3_token_is_read(claims: dict[str, Any]) -> None:
    holder = read_holder(_settings(), changed(GITPOD_V3_TOKEN, **claims))

    assert holder.groups[0] == f"organization:{ORGANIZATION}"
    assert holder.unaccounted == ()
    assert holder.email is None


@pytest.mark.parametrize("token", [GITPOD_V2_TOKEN, GITPOD_V3_TOKEN], ids=["V2", "V3"])
def test_tokens_of_other_organisations_are_refused_by_the_name_of_the_claim(token: dict[str, Any]) -> None:
    why = refused(_settings(tenants=frozenset({OTHER})), token)

    assert ("`org`" if "org" in token else "`organization_id`") in why


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("organization_id", ABSENT),
        ("organization_id", ORGANIZATION.upper()),
        ("organization_id", [ORGANIZATION]),
        ("organization_id", "mallory"),
        ("sub", f"organization_id:{OTHER}:project_id:{PROJECT}"),
        ("sub", f"organization_id:{ORGANIZATION}:project_id:{OTHER}"),
        ("sub", f"organization_id:{ORGANIZATION}:project_id:{PROJECT}f"),
        ("sub", f"organization_id:{ORGANIZATION}"),
        ("sub", f"account_id:{CREATOR}"),
        ("sub", f"x:organization_id:{ORGANIZATION}:project_id:{PROJECT}"),
        ("sub", "mallory"),
        ("project_id", 7),
        ("environment_id", "../x"),
        ("creator_id", ""),
        ("creator_principal", ["user"]),
        ("org", ORGANIZATION),
    ],
)
def test_a_missing_or_contradicting_claim_of_a_v3_token_is_named(name: str, value: Any) -> None:
    assert f"`{name}`" in refused(_settings(), changed(GITPOD_V3_TOKEN, **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("org", OTHER),
        ("org", [ORGANIZATION]),
        ("org", ""),
        ("sub", f"org:{OTHER}/prj:{PROJECT}/env:{ENVIRONMENT}"),
        ("sub", f"org:{ORGANIZATION}/prj:{PROJECT}"),
        ("sub", f"org:{ORGANIZATION}"),
        ("sub", f"org:{ORGANIZATION}/env:{ENVIRONMENT}/prj:{PROJECT}"),
        ("sub", f"org:{ORGANIZATION}/prj:{PROJECT}/env:{ENVIRONMENT}/env:{OTHER}"),
        ("sub", f"org:{ORGANIZATION}//env:{ENVIRONMENT}"),
        ("sub", f"org:{ORGANIZATION}/env:mallory"),
        ("sub", f"org:{ORGANIZATION}/env:{ENVIRONMENT}:x"),
        ("sub", "https://github.com/mallory/repository"),
    ],
)
def test_a_contradicting_claim_of_a_v2_token_is_named(name: str, value: Any) -> None:
    assert f"`{name}`" in refused(_settings(), changed(GITPOD_V2_TOKEN, **{name: value}))


def test_what_the_creators_own_provider_said_decides_nothing() -> None:
    holder = read_holder(_settings(), GITPOD_V3_TOKEN)

    assert "engineering" not in holder.groups
    assert not {"creator_idp_claims", "creator_email"} & holder.kept.keys()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tenants": frozenset()}, "tenants"),
        ({"tenants": frozenset({ORGANIZATION.upper()})}, "tenants"),
        ({"tenants": frozenset({"acme"})}, "tenants"),
        ({"carries_actor": None}, "carries_actor"),
        ({"carries_actor": "creator_email"}, "carries_actor"),
        ({"carries_actor": "project_id"}, "carries_actor"),
        ({"source_claim": "email"}, "source_claim"),
        ({"events": ("push",)}, "events"),
    ],
)
def test_gitpod_cannot_be_configured_wrong(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as wrong:
        _settings(**changes)

    assert field in dict(wrong.value.mistakes)
