"""Google's ID tokens: whose they are, and which configured groups their people are in."""

from typing import Any

import pytest
from tests.profile_tokens import GOOGLE_ID_TOKEN, changed, profile_settings, refused
from tests.token_forge import ABSENT

from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.settings import ClaimProfile, IssuerSettings

SUBJECT = GOOGLE_ID_TOKEN["sub"]


def _settings(**changes: Any) -> IssuerSettings:
    return profile_settings(ClaimProfile.GOOGLE, **changes)


def _groups(*members: str, **claims: Any) -> tuple[str, ...]:
    return read_holder(_settings(group_members=(("g", members),)), changed(GOOGLE_ID_TOKEN, **claims)).groups


def test_a_google_id_token_is_read_as_documented() -> None:
    holder = read_holder(_settings(), GOOGLE_ID_TOKEN)

    assert holder.source_id == SUBJECT
    assert holder.email == "jsmith@example.com"
    assert holder.groups == ("analysts",)
    assert holder.presenters == {"azp": "1234987819200.apps.googleusercontent.com"}
    assert holder.kept == {"hd": "example.com"}
    assert holder.token_id is None
    assert not holder.is_client


@pytest.mark.parametrize(
    "hosted", [ABSENT, "gmail.com", "example.com.evil.example", "EXAMPLE.COM", "sub.example.com", "", None]
)
def test_only_people_of_the_configured_organisations_are_taken(hosted: Any) -> None:
    assert "`hd`" in refused(_settings(), changed(GOOGLE_ID_TOKEN, hd=hosted))


def test_an_address_of_the_organisation_does_not_stand_for_its_hosted_domain() -> None:
    """A private account can verify any mailbox that its owner reads; only `hd` says whose account it is."""
    token = changed(GOOGLE_ID_TOKEN, hd=ABSENT, email="ceo@example.com", email_verified=True)

    assert "`hd`" in refused(_settings(), token)


@pytest.mark.parametrize("member", ["jsmith@example.com", SUBJECT, "example.com"])
def test_a_member_is_named_by_address_by_subject_or_by_domain(member: str) -> None:
    assert _groups(member) == ("g",)


@pytest.mark.parametrize(
    "claims",
    [{"email_verified": False}, {"email_verified": ABSENT}, {"email": ABSENT}, {"email": "jsmith@example.com.evil"}],
)
def test_an_address_that_google_does_not_vouch_for_puts_nobody_into_a_group(claims: dict[str, Any]) -> None:
    assert _groups("jsmith@example.com", **claims) == ()


@pytest.mark.parametrize("domain", ["acme.example", "sub.acme.co.uk", "xn--bcher-kva.example", "acme.xn--p1ai"])
def test_a_tenant_is_a_domain_of_any_script_in_its_plain_form(domain: str) -> None:
    configuration = _settings(tenants=frozenset({domain}), group_members=(("staff", (domain,)),))

    assert read_holder(configuration, changed(GOOGLE_ID_TOKEN, hd=domain)).groups == ("staff",)


def test_addresses_are_compared_without_case_and_in_ascii_only() -> None:
    assert _groups("jsmith@example.com", email="JSmith@Example.com") == ("g",)
    assert _groups("kim@example.com", email="\u212aim@example.com") == ()


def test_a_star_in_an_address_is_a_star() -> None:
    assert _groups("*@example.com") == ()
    assert _groups("*@example.com", email="*@example.com") == ("g",)


def test_nobody_is_in_a_group_by_being_named_like_one() -> None:
    assert _groups("107", "other@example.com") == ()
    assert _groups("other@example.com", sub="other@example.com") == ()
    assert read_holder(_settings(group_members=()), changed(GOOGLE_ID_TOKEN, groups=["analysts"])).groups == ()


def test_groups_come_in_the_configurations_order_each_once() -> None:
    members = (("analysts", (SUBJECT, "jsmith@example.com")), ("nobody", ("1",)), ("staff", ("example.com",)))

    assert read_holder(_settings(group_members=members), GOOGLE_ID_TOKEN).groups == ("analysts", "staff")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hd", ["example.com"]),
        ("hd", 1),
        ("azp", ABSENT),
        ("azp", ["a"]),
        ("azp", ""),
        ("azp", None),
        ("email_verified", "true"),
        ("email_verified", 1),
        ("email_verified", None),
        ("email", ["jsmith@example.com"]),
        ("email", "a\nb@example.com"),
    ],
)
def test_a_missing_or_malformed_claim_is_named(name: str, value: Any) -> None:
    assert f"`{name}`" in refused(_settings(), changed(GOOGLE_ID_TOKEN, **{name: value}))


def test_a_google_service_accounts_token_has_nobody_behind_it() -> None:
    """cloud.google.com, "Get an ID token": its `azp` is its `sub`, and it has no `hd`."""
    token = changed(GOOGLE_ID_TOKEN, azp=SUBJECT, email="robot@project.iam.gserviceaccount.com")

    assert read_holder(_settings(), token).is_client
    assert "`hd`" in refused(_settings(), changed(token, hd=ABSENT))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tenants": frozenset()}, "tenants"),
        ({"tenants": frozenset({"Example.com"})}, "tenants"),
        ({"tenants": frozenset({"com"})}, "tenants"),
        ({"tenants": frozenset({"*.example.com"})}, "tenants"),
        ({"tenants": frozenset({"10.0.0.1"})}, "tenants"),
        ({"issuer": "https://accounts.google.com/"}, "issuer"),
        ({"actors": True}, "actors"),
        ({"carries_actor": "sub"}, "actors"),
        ({"group_map": (("a", "b"),)}, "group_map"),
        ({"group_claim": "roles"}, "group_map"),
        ({"events": ("push",)}, "events"),
        ({"group_members": (("g", ("JSmith@example.com",)),)}, "group_members"),
        ({"group_members": (("g", ("a@b@example.com",)),)}, "group_members"),
        ({"group_members": (("g", ("other.example",)),)}, "group_members"),
        ({"group_members": (("g", ("jsmith",)),)}, "group_members"),
        ({"group_members": (("g", ("١٢٣",)),)}, "group_members"),
        ({"group_members": (("g", ()),)}, "group_members"),
        ({"group_members": (("", ("1",)),)}, "group_members"),
    ],
)
def test_google_cannot_be_configured_wrong(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as wrong:
        _settings(**changes)

    assert field in dict(wrong.value.mistakes)
