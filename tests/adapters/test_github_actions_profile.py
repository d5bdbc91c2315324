"""GitHub Actions' tokens: which repositories are taken, and that no name stands for another's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.profile_tokens import GITHUB_TOKEN, changed, profile_settings, refused
from tests.token_forge import ABSENT

from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.config.identity_profiles import STRANGERS_EVENTS
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.settings import Binding, ClaimProfile, IssuerSettings


def _settings(**changes: Any) -> IssuerSettings:
    return profile_settings(ClaimProfile.GITHUB_ACTIONS, **changes)


def test_a_github_token_tells_policies_what_runs_where() -> None:
    holder = read_holder(_settings(source_claim="repository_id"), GITHUB_TOKEN)

    assert holder.groups == (
        "owner:65",
        "repository:74",
        "repository:74:protected",
        "repository:74:environment:prod",
    )
    assert holder.source_id == "74"
    assert (holder.kept["event_name"], holder.kept["ref"], holder.kept["ref_protected"]) == (
        "workflow_dispatch",
        "refs/heads/main",
        "true",
    )
    assert holder.kept["job_workflow_ref"].startswith("octo-org/octo-automation/")
    assert "repo_property_business_unit" not in holder.kept
    assert (holder.email, holder.presenters, holder.is_client, holder.token_id) == (None, {}, False, "example-id")


SUBJECTS = {
    "environment": {},
    "environment with a colon": {
        "environment": "prod:v1",
        "sub": "repo:octo-org/octo-repo:environment:prod%3Av1",
    },
    "branch": {"environment": ABSENT, "sub": "repo:octo-org/octo-repo:ref:refs/heads/main"},
    "tag": {
        "environment": ABSENT,
        "ref": "refs/tags/v1",
        "ref_type": "tag",
        "sub": "repo:octo-org/octo-repo:ref:refs/tags/v1",
    },
    "immutable branch": {"environment": ABSENT, "sub": "repo:octo-org@65/octo-repo@74:ref:refs/heads/main"},
    "immutable environment": {"sub": "repo:octo-org@65/octo-repo@74:environment:prod"},
    "template repo": {"sub": "repo:octo-org/octo-repo"},
    "template repo, context, job_workflow_ref": {
        "sub": "repo:octo-org/octo-repo:environment:prod:job_workflow_ref:octo-org/x/.github/workflows/a.yml@main"
    },
    "template repo, context, environment": {"sub": "repo:octo-org/octo-repo:environment:prod:environment:prod"},
    "template repository_id": {"sub": "repository_id:74"},
    "template repository_id, context": {"sub": "repository_id:74:environment:prod"},
    "template repository_id, visibility, ref": {
        "sub": "repository_id:74:repository_visibility:private:ref:refs/heads/main"
    },
    "environment called ref": {"environment": "ref", "sub": "repo:octo-org/octo-repo:environment:ref"},
}


@pytest.mark.parametrize("claims", SUBJECTS.values(), ids=SUBJECTS.keys())
def test_every_documented_subject_that_names_its_repository_is_read(claims: dict[str, Any]) -> None:
    assert read_holder(_settings(), changed(GITHUB_TOKEN, **claims)).groups[:2] == ("owner:65", "repository:74")


@pytest.mark.parametrize(
    "subject",
    [
        "repo:octo-org/other-repo:environment:prod",
        "repo:octo-org/octo-repo-evil:environment:prod",
        "repo:octo-org/octo-repo:environment:staging",
        "repo:octo-org/octo-repo:environment:prod-evil",
        "repo:octo-org/octo-repo:environment",
        "repo:octo-org/octo-repo:ref:refs/heads/other",
        "repo:octo-org/octo-repo:ref:refs/heads/main-evil",
        "repo:octo-org@66/octo-repo@74:environment:prod",
        "repo:octo-org@65/octo-repo@75:environment:prod",
        "repo:octo-org@65/octo-repo:environment:prod",
        "repo:octo-org-65/octo-repo-74:environment:prod",
        "repo:Octo-Org/octo-repo:environment:prod",
        "repo:",
        "repository_id:75",
        "repository_id:740",
        "repository_id:74:environment:admin",
        "repository_id:74:environment:prod-evil",
        "repository_id:74:environment",
        "repository_id:74:ref:refs/heads/other",
        "repository_id:74:repository_visibility:private:environment:admin",
        "repo:octo-org/octo-repo:environment:prod:ref:refs/heads/other",
        "repo:octo-org/octo-repo:pull_request:environment:admin",
        "repository_owner:octo-org",
        "repository_owner:octo-org:repository_visibility:private",
        "repository_owner_id:65",
        "job_workflow_ref:octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "environment:prod",
        "mallory",
    ],
)
def test_a_subject_that_does_not_name_this_very_repository_is_refused(subject: str) -> None:
    assert "`sub`" in refused(_settings(), changed(GITHUB_TOKEN, sub=subject))


def test_3_sleeper_squats_an_organisation_named_like_anothers_composite_is_not_that_organisation() -> None:
    """Sleeper Squats, 2026: `octo-org-65` may be an organisation of its own, and its subjects looked like others'."""
    squatter = changed(
        GITHUB_TOKEN,
        sub="repo:octo-org-65/octo-repo-74:environment:prod",
        repository="octo-org-65/octo-repo-74",
        repository_owner="octo-org-65",
        repository_owner_id="99",
        repository_id="100",
    )

    assert "`repository_owner_id`" in refused(_settings(), squatter)
    taken = read_holder(_settings(tenants=frozenset({"65", "99"})), squatter)
    assert set(taken.groups).isdisjoint(read_holder(_settings(), GITHUB_TOKEN).groups)


def test_a_repository_that_takes_over_a_name_is_another_one() -> None:
    successor = changed(GITHUB_TOKEN, repository_id="75")

    groups = set(read_holder(_settings(), successor).groups)

    assert groups & set(read_holder(_settings(), GITHUB_TOKEN).groups) == {"owner:65"}


def _environment_groups(repository_id: str, environment: str) -> set[str]:
    """What a job of this environment in this repository is in, beside its owner's group."""
    names = {"repository_id": repository_id, "environment": environment, "sub": "repo:octo-org/octo-repo"}
    token = changed(GITHUB_TOKEN, ref_protected="false", **names)
    return set(read_holder(_settings(), token).groups) - {"owner:65"}


_IDS = st.sampled_from(["7", "74", "741"])
_ENVIRONMENTS = st.one_of(
    st.sampled_from(["protected", "prod", "prod:x", ":protected", "environment:prod", "1:environment:prod"]),
    st.text("aT:@-_1 ", min_size=1, max_size=8),
)


@given(_IDS, _ENVIRONMENTS, _IDS, _ENVIRONMENTS)
def test_3_sleeper_squats_no_two_environments_share_a_group_and_none_passes_for_protected(
    first_id: str, first: str, second_id: str, second: str
) -> None:
    one, other = _environment_groups(first_id, first), _environment_groups(second_id, second)

    shared = {f"repository:{first_id}"} if first_id == second_id else set()
    assert (one & other == shared) is ((first_id, first) != (second_id, second))
    assert not any(group == f"repository:{repository}:protected" for group in one for repository in ("7", "74", "741"))


def test_only_what_the_repository_protects_is_called_protected() -> None:
    for value in ("false", ABSENT):
        holder = read_holder(_settings(), changed(GITHUB_TOKEN, ref_protected=value))
        assert "repository:74:protected" not in holder.groups
    named = changed(
        GITHUB_TOKEN,
        ref_protected="false",
        environment="protected",
        sub="repo:octo-org/octo-repo:environment:protected",
    )
    assert "repository:74:protected" not in read_holder(_settings(), named).groups


def test_a_pull_requests_run_is_never_called_protected() -> None:
    token = changed(
        GITHUB_TOKEN,
        event_name="pull_request",
        environment=ABSENT,
        sub="repo:octo-org/octo-repo:pull_request",
        ref="refs/pull/7/merge",
        ref_protected="true",
    )

    assert read_holder(_settings(events=("pull_request",)), token).groups == ("owner:65", "repository:74")


@pytest.mark.parametrize("event", ["push", "schedule", "workflow_dispatch", "release"])
def test_what_the_repositorys_own_people_start_is_taken(event: str) -> None:
    assert read_holder(_settings(), changed(GITHUB_TOKEN, event_name=event)).kept["event_name"] == event


@pytest.mark.parametrize("event", [*sorted(STRANGERS_EVENTS), "pull_request", "repository_dispatch", "PUSH", ""])
def test_what_strangers_may_start_and_what_nobody_allowed_is_refused(event: str) -> None:
    assert "`event_name`" in refused(_settings(), changed(GITHUB_TOKEN, event_name=event))


def test_further_events_are_taken_only_by_name_and_replace_the_usual_ones() -> None:
    configuration = _settings(events=("pull_request",))
    sub = "repo:octo-org/octo-repo:pull_request"
    token = changed(GITHUB_TOKEN, event_name="pull_request", environment=ABSENT, sub=sub, ref_protected="false")

    assert read_holder(configuration, token).groups == ("owner:65", "repository:74")
    assert "`event_name`" in refused(configuration, GITHUB_TOKEN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repository_owner_id", ABSENT),
        ("repository_owner_id", 65),
        ("repository_owner_id", "065"),
        ("repository_owner_id", "66"),
        ("repository_owner_id", "٦٥"),
        ("repository_id", ABSENT),
        ("repository_id", 74),
        ("repository_id", "74\n"),
        ("repository_id", "0"),
        ("repository", ABSENT),
        ("repository", "octo-repo"),
        ("repository", "octo-org/"),
        ("repository", "mallory/octo-repo"),
        ("repository", "octo-org/octo-repo/x"),
        ("repository", ["octo-org/octo-repo"]),
        ("repository_owner", ABSENT),
        ("repository_owner", "mallory"),
        ("event_name", ABSENT),
        ("event_name", ["push"]),
        ("ref", 7),
        ("ref", None),
        ("ref_protected", True),
        ("ref_protected", "yes"),
        ("environment", ""),
        ("environment", {"name": "prod"}),
        ("environment", "prod\u202e"),
        ("runner_environment", "mallory-hosted"),
        ("repository_visibility", "secret"),
        ("job_workflow_ref", ["x"]),
        ("actor", "a\nb"),
        ("run_id", 5),
    ],
)
def test_a_missing_or_contradicting_claim_is_named(name: str, value: Any) -> None:
    assert f"`{name}`" in refused(_settings(), changed(GITHUB_TOKEN, **{name: value}))


@pytest.mark.parametrize(
    "issuer",
    [
        "https://token.actions.githubusercontent.com/octocat-inc",
        "https://token.actions.octocorp.ghe.com",
        "https://github.acme.example/_services/token",
    ],
)
def test_enterprise_issuers_are_read_alike(issuer: str) -> None:
    assert read_holder(_settings(issuer=issuer), changed(GITHUB_TOKEN, iss=issuer)).groups[0] == "owner:65"


@pytest.mark.parametrize("claim", ["repository_id", "repository", "workflow_ref", "job_workflow_ref", "sub"])
def test_the_actor_can_be_a_claim_that_nobody_else_can_have(claim: str) -> None:
    assert _settings(carries_actor=claim).carries_actor == claim


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tenants": frozenset()}, "tenants"),
        ({"tenants": frozenset({"octo-org"})}, "tenants"),
        ({"tenants": frozenset({"065"})}, "tenants"),
        ({"carries_actor": None}, "carries_actor"),
        ({"carries_actor": "actor"}, "carries_actor"),
        ({"carries_actor": "workflow"}, "carries_actor"),
        ({"carries_actor": "environment"}, "carries_actor"),
        ({"source_claim": "email"}, "source_claim"),
        ({"events": ("push", "pull_request_target")}, "events"),
        ({"events": ("workflow_run",)}, "events"),
        ({"events": ("Push",)}, "events"),
        ({"events": ("*",)}, "events"),
        ({"group_members": (("g", ("65",)),)}, "group_members"),
    ],
)
def test_github_cannot_be_configured_wrong(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as wrong:
        _settings(**changes)

    assert field in dict(wrong.value.mistakes)


def test_a_repository_as_an_agent_for_other_peoples_tokens_needs_no_carried_actor() -> None:
    own = _settings(carries_actor=None, subjects=False, actors=True)
    unbound = _settings(carries_actor=None, binding=Binding.NONE)

    assert (own.actors, unbound.binding) == (True, Binding.NONE)
