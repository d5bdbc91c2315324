"""Each profile on the token shapes that its vendor documents."""

from typing import Any

import pytest
from tests.profile_tokens import (
    GITHUB_TOKEN,
    GITPOD_V2_TOKEN,
    GITPOD_V3_TOKEN,
    GOOGLE_ID_TOKEN,
    KUBERNETES_TOKEN,
    profile_settings,
)
from tests.token_forge import ABSENT, settings

from remit_server.adapters.identity.claim_profiles import REGISTERED, read_holder
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.settings import Binding, ClaimProfile, IssuerSettings

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
ENTRA_ISSUER = f"https://login.microsoftonline.com/{TENANT}/v2.0"

# developer.okta.com, OAuth 2.0 overview: "Access token payload" and "ID token payload"
OKTA_ACCESS_TOKEN: dict[str, Any] = {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "iss": "https://acme.okta.com/oauth2/default",
    "aud": "https://api.example.com",
    "sub": "alice@example.com",
    "iat": 1467145094,
    "exp": 1467148694,
    "cid": "nmdP1fcyvdVO11AL7ECm",
    "uid": "00ujmkLgagxeRrAg20g3",
    "scp": ["openid", "email", "flights", "custom"],
    "auth_time": 1467142021,
    "groups": ["Everyone", "analysts"],
}
OKTA_SERVICE_TOKEN: dict[str, Any] = {
    "ver": 1,
    "jti": "AT.service",
    "iss": "https://acme.okta.com/oauth2/default",
    "aud": "api://remit",
    "cid": "0oa1b2c3d4E5f6G7h8i9",
    "scp": ["mint"],
    "sub": "0oa1b2c3d4E5f6G7h8i9",
    "iat": 1467145094,
    "exp": 1467145394,
}
OKTA_ID_TOKEN: dict[str, Any] = {
    "ver": 1,
    "sub": "00uid4BxXw6I6TV4m0g3",
    "iss": "https://acme.okta.com",
    "aud": "uAaunofWkaDJxukCFeBx",
    "iat": 1449624026,
    "exp": 1449627626,
    "amr": ["pwd"],
    "jti": "ID.4eAWJOCMB3SX8XewDfVR",
    "auth_time": 1449624026,
    "at_hash": "cpqKfdQA5eH891Ff5oJr_Q",
    "name": "John Doe",
    "email": "john.doe@example.com",
    "nickname": "jimmy",
    "preferred_username": "john.doe@example.com",
    "given_name": "John",
    "middle_name": "James",
    "family_name": "Doe",
    "profile": "https://example.com/john.doe",
    "zoneinfo": "America/Los_Angeles",
    "locale": "en-US",
    "updated_at": 1311280970,
    "email_verified": True,
    "address": {"street_address": "123 Hollywood Blvd."},
    "phone_number": "+1 (425) 555-1212",
    "idp": "00ok1u7AsAkrwdZL3z0g3",
    "nonce": "n-0S6_WzA2Mj",
}
# Microsoft Learn, identity platform, the page on access tokens and its v2.0 sample
ENTRA_ACCESS_TOKEN: dict[str, Any] = {
    "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "iss": ENTRA_ISSUER,
    "iat": 1537231048,
    "nbf": 1537231048,
    "exp": 1537234948,
    "aio": "AXQAi/8IAAAAtAaZLo3ChMif6KOnttRB7eBq4",
    "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "azpacr": "0",
    "name": "Abe Lincoln",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "abeli@microsoft.com",
    "rh": "I",
    "scp": "access_as_user",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
    "groups": ["02d2dd4b-7d69-4b1a-9e1f-7f0e2f9f6a11", "8d6d5a0c-5f5b-4b6a-8f9e-0c5f0a7d1b22"],
}
# docs.gitlab.com, "OpenID Connect (OIDC) Authentication Using ID Tokens": "Token payload"
GITLAB_ID_TOKEN: dict[str, Any] = {
    "namespace_id": "72",
    "namespace_path": "my-group/platform",
    "project_id": "20",
    "project_path": "my-group/platform/my-project",
    "user_id": "1",
    "user_login": "sample-user",
    "user_email": "sample-user@example.com",
    "user_identities": [
        {"provider": "github", "extern_uid": "2435223452345"},
        {"provider": "bitbucket", "extern_uid": "john.smith"},
    ],
    "user_access_level": "developer",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "feature-branch-1",
    "ref_type": "branch",
    "ref_path": "refs/heads/feature-branch-1",
    "ref_protected": "false",
    "groups_direct": ["mygroup/mysubgroup", "myothergroup/myothersubgroup"],
    "environment": "test-environment2",
    "environment_protected": "false",
    "deployment_tier": "testing",
    "environment_action": "start",
    "runner_id": 1,
    "runner_environment": "self-hosted",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "project_visibility": "public",
    "ci_config_ref_uri": "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main",
    "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
    "iss": "https://gitlab.example.com",
    "iat": 1681395193,
    "nbf": 1681395188,
    "exp": 1681398793,
    "sub": "project_path:my-group/platform/my-project:ref_type:branch:ref:feature-branch-1",
    "aud": "https://vault.example.com",
}
GENERIC_TOKEN: dict[str, Any] = {
    "iss": "https://idp.example.com",
    "sub": "alice",
    "aud": "remit",
    "iat": 1681395193,
    "exp": 1681398793,
    "jti": "1",
    "client_id": "copilot",
    "azp": "copilot",
    "scope": "openid profile",
    "groups": ["analysts", "engineers"],
    "email": "alice@example.com",
    "email_verified": True,
    "auth_time": 1681395190.5,
    "acr": "urn:mace:incommon:iap:silver",
    "amr": ["pwd", "otp"],
}


DOCUMENTED: dict[ClaimProfile, dict[str, Any]] = {
    ClaimProfile.GENERIC: GENERIC_TOKEN,
    ClaimProfile.OKTA: OKTA_ACCESS_TOKEN,
    ClaimProfile.ENTRA: ENTRA_ACCESS_TOKEN,
    ClaimProfile.GOOGLE: GOOGLE_ID_TOKEN,
    ClaimProfile.GITLAB_CI: GITLAB_ID_TOKEN,
    ClaimProfile.GITHUB_ACTIONS: GITHUB_TOKEN,
    ClaimProfile.GITPOD: GITPOD_V3_TOKEN,
    ClaimProfile.KUBERNETES: KUBERNETES_TOKEN,
}


def _settings(profile: ClaimProfile, **changes: Any) -> IssuerSettings:
    by_profile: dict[ClaimProfile, dict[str, Any]] = {
        ClaimProfile.GENERIC: {},
        ClaimProfile.OKTA: {"issuer": "https://acme.okta.com/oauth2/default"},
        ClaimProfile.ENTRA: {"issuer": ENTRA_ISSUER},
        ClaimProfile.GITLAB_CI: {"issuer": "https://gitlab.example.com", "carries_actor": "project_path"},
    }
    if profile not in by_profile:
        return profile_settings(profile, **changes)
    return settings(profile=profile, **{**by_profile[profile], **changes})


def _with(token: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**token, **changes}.items() if value is not ABSENT}


def _refusal(configuration: IssuerSettings, token: dict[str, Any]) -> str:
    with pytest.raises(TokenRefused) as refused:
        read_holder(configuration, token)
    return refused.value.why


@pytest.mark.parametrize(
    ("profile", "token"),
    [
        (ClaimProfile.GENERIC, GENERIC_TOKEN),
        (ClaimProfile.OKTA, OKTA_ACCESS_TOKEN),
        (ClaimProfile.OKTA, OKTA_SERVICE_TOKEN),
        (ClaimProfile.OKTA, OKTA_ID_TOKEN),
        (ClaimProfile.ENTRA, ENTRA_ACCESS_TOKEN),
        (ClaimProfile.GOOGLE, GOOGLE_ID_TOKEN),
        (ClaimProfile.GITLAB_CI, GITLAB_ID_TOKEN),
        (ClaimProfile.GITHUB_ACTIONS, GITHUB_TOKEN),
        (ClaimProfile.GITPOD, GITPOD_V2_TOKEN),
        (ClaimProfile.GITPOD, GITPOD_V3_TOKEN),
        (ClaimProfile.KUBERNETES, KUBERNETES_TOKEN),
    ],
    ids=[
        "generic",
        "okta access",
        "okta service",
        "okta id",
        "entra access",
        "google id",
        "gitlab id",
        "github",
        "gitpod V2",
        "gitpod V3",
        "kubernetes",
    ],
)
def test_every_documented_claim_is_accounted_for(profile: ClaimProfile, token: dict[str, Any]) -> None:
    assert read_holder(_settings(profile), token).unaccounted == ()


@pytest.mark.parametrize("profile", list(ClaimProfile))
def test_an_unknown_claim_is_dropped_and_named_unless_it_is_configured_as_kept(profile: ClaimProfile) -> None:
    token = _with(DOCUMENTED[profile], department="finance", cost_center=7)

    dropped = read_holder(_settings(profile), token)
    kept = read_holder(_settings(profile, kept_claims=("department",)), token)

    assert dropped.unaccounted == ("cost_center", "department")
    assert "department" not in dropped.kept
    assert kept.kept["department"] == "finance"
    assert kept.unaccounted == ("cost_center",)


# --- generic --------------------------------------------------------------------------------------------------------


def test_a_generic_token_is_read_as_openid_connect_and_rfc_9068_say() -> None:
    holder = read_holder(_settings(ClaimProfile.GENERIC), GENERIC_TOKEN)

    assert holder.token_id == "1"
    assert holder.source_id == "alice"
    assert holder.groups == ("analysts", "engineers")
    assert holder.email == "alice@example.com"
    assert (holder.auth_time, holder.acr, holder.amr) == (
        1681395190,
        "urn:mace:incommon:iap:silver",
        ("pwd", "otp"),
    )
    assert holder.presenters == {"azp": "copilot", "client_id": "copilot"}
    assert holder.kept == {}
    assert not holder.is_client


def test_groups_and_source_id_stand_where_the_configuration_says() -> None:
    configuration = _settings(ClaimProfile.GENERIC, group_claim="https://example.com/roles", source_claim="email")
    token = _with(GENERIC_TOKEN, **{"https://example.com/roles": ["admin"]})

    holder = read_holder(configuration, token)

    assert (holder.groups, holder.source_id) == (("admin",), "alice@example.com")


def test_a_group_map_renames_what_it_names_and_drops_the_rest() -> None:
    configuration = _settings(
        ClaimProfile.GENERIC, group_map=(("engineers", "eng"), ("analysts", "eng"), ("other", "x"))
    )

    assert read_holder(configuration, _with(GENERIC_TOKEN, groups=["analysts", "engineers", "z"])).groups == ("eng",)


def test_no_groups_are_no_groups() -> None:
    assert read_holder(_settings(ClaimProfile.GENERIC), _with(GENERIC_TOKEN, groups=ABSENT)).groups == ()


@pytest.mark.parametrize(
    "groups",
    ["analysts", {"analysts": 1}, None, [7], [""], [["a"]], ["a\nb"], ["a\u202eb"], ["x" * 513], ["g"] * 1001],
)
def test_groups_of_an_unexpected_shape_are_not_guessed_at(groups: Any) -> None:
    assert "`groups`" in _refusal(_settings(ClaimProfile.GENERIC), _with(GENERIC_TOKEN, groups=groups))


@pytest.mark.parametrize("elsewhere", [{"groups": "src1"}, [], "groups", 7, None])
def test_groups_that_stand_elsewhere_are_not_fetched_and_not_ignored(elsewhere: Any) -> None:
    token = _with(GENERIC_TOKEN, groups=ABSENT, _claim_names=elsewhere)

    assert "_claim_names" in _refusal(_settings(ClaimProfile.GENERIC), token)


@pytest.mark.parametrize("verified", [False, "true", 1, None])
def test_an_email_that_its_issuer_did_not_verify_is_not_known(verified: Any) -> None:
    token = _with(GENERIC_TOKEN, email_verified=verified)

    assert read_holder(_settings(ClaimProfile.GENERIC), token).email is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", 7),
        ("email", ""),
        ("email", "a\nb@example.com"),
        ("email", "x" * 321),
        ("auth_time", "1681395190"),
        ("auth_time", True),
        ("auth_time", -1),
        ("acr", 1),
        ("acr", ""),
        ("amr", "pwd"),
        ("amr", [1]),
        ("azp", ["copilot"]),
        ("azp", ""),
        ("client_id", None),
    ],
)
def test_a_claim_of_an_unexpected_shape_refuses_the_token(name: str, value: Any) -> None:
    why = _refusal(_settings(ClaimProfile.GENERIC), _with(GENERIC_TOKEN, **{name: value}))

    assert f"`{name}`" in why


@pytest.mark.parametrize("value", ["a\nb", "a\x00", {"deep": ["\u2028ok", "\u200b"]}, {"a\x07": 1}])
def test_kept_claims_cannot_forge_lines_in_records(value: Any) -> None:
    configuration = _settings(ClaimProfile.GENERIC, kept_claims=("note",))

    assert "control characters" in _refusal(configuration, _with(GENERIC_TOKEN, note=value))


def test_a_missing_source_claim_is_left_to_whoever_needs_it() -> None:
    configuration = _settings(ClaimProfile.GENERIC, source_claim="employee_id")

    assert read_holder(configuration, GENERIC_TOKEN).source_id is None


@pytest.mark.parametrize("claim", ["azp", "client_id"])
def test_a_token_whose_subject_is_its_client_has_nobody_behind_it(claim: str) -> None:
    token = _with(GENERIC_TOKEN, sub="copilot", azp=ABSENT, client_id=ABSENT)

    assert read_holder(_settings(ClaimProfile.GENERIC), {**token, claim: "copilot"}).is_client


# --- Okta -----------------------------------------------------------------------------------------------------------


def test_an_okta_access_token_names_its_client_in_cid() -> None:
    holder = read_holder(_settings(ClaimProfile.OKTA, source_claim="uid"), OKTA_ACCESS_TOKEN)

    assert holder.presenters == {"cid": "nmdP1fcyvdVO11AL7ECm"}
    assert holder.source_id == "00ujmkLgagxeRrAg20g3"
    assert holder.groups == ("Everyone", "analysts")
    assert holder.auth_time == 1467142021
    assert holder.token_id == "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE"
    assert not holder.is_client


def test_an_okta_id_token_says_how_the_user_signed_in() -> None:
    holder = read_holder(_settings(ClaimProfile.OKTA), OKTA_ID_TOKEN)

    assert (holder.amr, holder.auth_time, holder.email) == (("pwd",), 1449624026, "john.doe@example.com")
    assert holder.presenters == {}
    assert not holder.is_client


@pytest.mark.parametrize("subject", ["0oa1b2c3d4E5f6G7h8i9", "renamed-by-the-administrator"])
def test_an_okta_service_token_has_nobody_behind_it(subject: str) -> None:
    assert read_holder(_settings(ClaimProfile.OKTA), _with(OKTA_SERVICE_TOKEN, sub=subject)).is_client


@pytest.mark.parametrize("version", [ABSENT, 2, "1", True, None])
def test_a_token_that_is_none_of_oktas_is_refused_by_the_claim_that_says_so(version: Any) -> None:
    assert "`ver`" in _refusal(_settings(ClaimProfile.OKTA), _with(OKTA_ACCESS_TOKEN, ver=version))


def test_cid_names_a_presenter_only_at_okta() -> None:
    token = _with(GENERIC_TOKEN, cid="customer-7")

    assert "cid" not in read_holder(_settings(ClaimProfile.GENERIC), token).presenters


# --- Entra ID -------------------------------------------------------------------------------------------------------


def test_an_entra_access_token_is_read_as_documented() -> None:
    holder = read_holder(_settings(ClaimProfile.ENTRA, source_claim="oid"), ENTRA_ACCESS_TOKEN)

    assert holder.token_id == "fqiBqXLPj0eQa82S-IYFAA"
    assert holder.source_id == "690222be-ff1a-4d56-abd1-7e4f7d38e474"
    assert holder.groups == tuple(ENTRA_ACCESS_TOKEN["groups"])
    assert holder.presenters == {"azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3"}
    assert holder.email is None
    assert not holder.is_client


@pytest.mark.parametrize(
    "overage",
    [
        {
            "_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": "https://graph.windows.net/x/users/y/getMemberObjects"}},
        },
        {"hasgroups": True},
        {"hasgroups": "true"},
        {"groups:src1": {"endpoint": "https://graph.microsoft.com/v1.0/users/x/getMemberObjects"}},
    ],
    ids=["distributed", "hasgroups", "hasgroups as text", "groups:src1"],
)
def test_entra_groups_overage_is_refused_with_what_to_do(overage: dict[str, Any]) -> None:
    why = _refusal(_settings(ClaimProfile.ENTRA), _with(ENTRA_ACCESS_TOKEN, groups=ABSENT, **overage))

    assert "groups overage" in why
    assert "ApplicationGroup" in why
    assert "graph" not in why


def test_groups_overage_does_not_matter_where_groups_are_app_roles() -> None:
    configuration = _settings(ClaimProfile.ENTRA, group_claim="roles")
    token = _with(ENTRA_ACCESS_TOKEN, groups=ABSENT, hasgroups=True, roles=["Analyst"])

    assert read_holder(configuration, token).groups == ("Analyst",)


@pytest.mark.parametrize("version", ["1.0", 2.0, ABSENT, None])
def test_only_v2_tokens_of_entra_are_read(version: Any) -> None:
    assert "`ver`" in _refusal(_settings(ClaimProfile.ENTRA), _with(ENTRA_ACCESS_TOKEN, ver=version))


@pytest.mark.parametrize("tenant", ["9188040d-6c67-4c5b-b112-36a304b66dad", TENANT.upper(), "common", ABSENT])
def test_the_tenant_is_the_one_that_the_issuer_names(tenant: Any) -> None:
    assert "`tid`" in _refusal(_settings(ClaimProfile.ENTRA), _with(ENTRA_ACCESS_TOKEN, tid=tenant))


@pytest.mark.parametrize("change", [{"idtyp": "app"}, {"oid": ENTRA_ACCESS_TOKEN["sub"]}, {"idtyp": 7}])
def test_an_entra_application_token_has_nobody_behind_it(change: dict[str, Any]) -> None:
    assert read_holder(_settings(ClaimProfile.ENTRA), _with(ENTRA_ACCESS_TOKEN, **change)).is_client


@pytest.mark.parametrize(("vouched", "email"), [(True, "abe@example.com"), (False, None), ("1", None), (ABSENT, None)])
def test_an_entra_email_counts_only_when_its_domain_is_verified(vouched: Any, email: str | None) -> None:
    token = _with(ENTRA_ACCESS_TOKEN, email="abe@example.com", xms_edov=vouched)

    assert read_holder(_settings(ClaimProfile.ENTRA), token).email == email


# --- GitLab CI ------------------------------------------------------------------------------------------------------


def test_a_gitlab_token_tells_policies_where_the_job_runs() -> None:
    holder = read_holder(_settings(ClaimProfile.GITLAB_CI), GITLAB_ID_TOKEN)

    assert holder.groups == ("my-group", "my-group/platform")
    assert holder.kept["project_path"] == "my-group/platform/my-project"
    assert (holder.kept["ref"], holder.kept["ref_type"], holder.kept["ref_protected"]) == (
        "feature-branch-1",
        "branch",
        "false",
    )
    assert holder.kept["environment"] == "test-environment2"
    assert holder.kept["user_login"] == "sample-user"
    assert holder.email is None
    assert holder.presenters == {}
    assert not holder.is_client


def test_a_gitlab_job_without_an_environment_has_none() -> None:
    token = _with(GITLAB_ID_TOKEN, environment=ABSENT, environment_protected=ABSENT, deployment_tier=ABSENT)

    assert "environment" not in read_holder(_settings(ClaimProfile.GITLAB_CI), token).kept


def test_the_groups_of_a_gitlab_user_are_not_those_of_the_project() -> None:
    holder = read_holder(_settings(ClaimProfile.GITLAB_CI), GITLAB_ID_TOKEN)

    assert not any("mysubgroup" in group for group in holder.groups)
    assert "groups_direct" not in holder.kept


@pytest.mark.parametrize(
    "change",
    [
        {"project_path": "other-group/my-project"},
        {"project_path": "my-group/platform"},
        {"project_path": "my-project"},
        {"project_path": ABSENT},
        {"namespace_path": "my-group"},
        {"namespace_path": ABSENT},
        {"namespace_path": "my-group//platform", "project_path": "my-group//platform/my-project"},
        {"namespace_path": "", "project_path": "/my-project"},
        {"ref_protected": True},
        {"ref_protected": "yes"},
        {"ref_protected": ABSENT},
        {"ref_protected": []},
        {"environment_protected": "maybe"},
        {"environment_protected": ABSENT},
    ],
)
def test_gitlab_claims_that_contradict_their_documentation_refuse_the_token(change: dict[str, Any]) -> None:
    assert _refusal(_settings(ClaimProfile.GITLAB_CI), _with(GITLAB_ID_TOKEN, **change))


def test_a_gitlab_issuer_may_do_without_a_bound_presenter_when_the_operator_says_so() -> None:
    configuration = _settings(ClaimProfile.GITLAB_CI, carries_actor=None, binding=Binding.NONE)

    assert read_holder(configuration, GITLAB_ID_TOKEN).source_id == GITLAB_ID_TOKEN["sub"]


def test_registered_claims_are_never_among_the_kept_ones_by_default() -> None:
    for profile, token in DOCUMENTED.items():
        assert REGISTERED.isdisjoint(read_holder(_settings(profile), token).kept)
