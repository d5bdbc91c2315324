"""What is wrong with issuers and their agents' clients is told by its place, with its mending."""

from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.loading import ConfigurationError, load
from remit_server.config.mistakes import Mistake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("issuers"))


def mistakes(path: Path) -> dict[str, Mistake]:
    """Returns what is wrong, by place."""
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    assert all(mistake.why and mistake.mend for mistake in raised.value.mistakes)
    return {mistake.place: mistake for mistake in raised.value.mistakes}


# --- clients of agents ------------------------------------------------------------------------------------------------


def _with_clients(clients: str, text: str = TEXT) -> str:
    return text.replace('id = "copilot"\n', f'id = "copilot"\nclient_ids = {clients}\n')


def test_an_agent_presents_tokens_of_clients_of_named_issuers(folder: ConfigurationFolder) -> None:
    loaded = load(folder.write(_with_clients('["acme:copilot", "people:https://copilot.example"]')), {})

    assert loaded.agents[0].client_ids == {"acme:copilot", "people:https://copilot.example"}


@pytest.mark.parametrize(
    ("clients", "place", "problem"),
    [
        ('["copilot"]', "agents[0].client_ids[0]", "names no issuer"),
        ('["acme:copilot", "copilot"]', "agents[0].client_ids[1]", "names no issuer"),
        ('["partner:copilot"]', "agents[0].client_ids[0]", "names no issuer"),
        ('["https://login.acme.example:copilot"]', "agents[0].client_ids[0]", "names no issuer"),
        ('["acme:"]', "agents[0].client_ids[0]", "names no issuer"),
        ('[":copilot"]', "agents[0].client_ids[0]", "names no issuer"),
        ('["ACME:copilot"]', "agents[0].client_ids[0]", "names no issuer"),
    ],
)
def test_a_client_without_its_issuer_is_a_mistake_with_the_aliases_to_choose_from(
    folder: ConfigurationFolder, clients: str, place: str, problem: str
) -> None:
    found = mistakes(folder.write(_with_clients(clients)))

    assert found.keys() == {place}
    assert problem in found[place].problem
    assert "acme, people" in found[place].mend


def test_a_client_of_an_issuer_that_has_no_users_is_a_mistake(folder: ConfigurationFolder) -> None:
    text = TEXT.replace("actors = true", "actors = true\nsubjects = false")

    found = mistakes(folder.write(_with_clients('["acme:copilot"]', text)))

    assert "not taken as users'" in found["agents[0].client_ids[0]"].problem


# --- what each vendor needs -------------------------------------------------------------------------------------------

GITHUB = """issuer = "https://token.actions.githubusercontent.com"
alias = "github"
audience = "remit"
algorithms = ["RS256"]
profile = "github_actions"
tenants = ["65"]
carries_actor = "repository_id"
"""
GOOGLE = """issuer = "https://accounts.google.com"
alias = "google"
audience = "copilot.apps.googleusercontent.com"
algorithms = ["RS256"]
profile = "google"
tenants = ["acme.example"]
group_members = { "analysts" = ["alice@acme.example"] }
"""
KUBERNETES = """issuer = "https://cluster.acme.example"
alias = "k8s"
audience = "remit"
algorithms = ["RS256"]
profile = "kubernetes"
subjects = false
actors = true
"""


def _with_issuer(issuer: str) -> str:
    return TEXT.replace("[[agents]]", f"[[issuers]]\n{issuer}\n[[agents]]", 1)


@pytest.mark.parametrize("issuer", [GITHUB, GOOGLE, KUBERNETES], ids=["github", "google", "kubernetes"])
def test_each_vendors_settings_load(folder: ConfigurationFolder, issuer: str) -> None:
    assert len(load(folder.write(_with_issuer(issuer)), {}).issuers) == 3


def test_what_a_vendor_needs_reaches_the_settings(folder: ConfigurationFolder) -> None:
    google = load(folder.write(_with_issuer(GOOGLE)), {}).issuers[2]
    github = load(folder.write(_with_issuer(f'{GITHUB}events = ["push"]\n')), {}).issuers[2]

    assert google.tenants == {"acme.example"}
    assert google.group_members == (("analysts", ("alice@acme.example",)),)
    assert github.tenants == {"65"}
    assert github.events == ("push",)


@pytest.mark.parametrize(
    ("issuer", "old", "new", "place", "problem"),
    [
        (GITHUB, 'tenants = ["65"]\n', "", "tenants", "signs for everybody"),
        (GITHUB, '["65"]', '["octo-org"]', "tenants", "numeric id"),
        (GITHUB, '["65"]', "[65]", "tenants[0]", "must be a string"),
        (GITHUB, "repository_id", "actor", "carries_actor", "only repository_id"),
        (GITHUB, 'carries_actor = "repository_id"\n', "", "carries_actor", "names no presenter"),
        (GITHUB, "carries_actor", 'events = ["pull_request_target"]\ncarries_actor', "events", "strangers"),
        (GOOGLE, 'tenants = ["acme.example"]\n', "", "tenants", "hd"),
        (GOOGLE, "accounts.google.com", "accounts.google.example", "issuer", "to the letter"),
        (GOOGLE, "alice@", "Alice@", "group_members", "lower case"),
        (GOOGLE, '["alice@acme.example"]', '"alice@acme.example"', "group_members.analysts", "must be a list"),
        (GOOGLE, "profile", "actors = true\nprofile", "actors", "names a person"),
        (KUBERNETES, "actors = true", "", "subjects", "accepted for nothing"),
        (KUBERNETES, "subjects = false", "", "carries_actor", "names no presenter"),
        (KUBERNETES, "actors", 'tenants = ["reports"]\nactors', "tenants", "not for this profile"),
        (KUBERNETES, "actors", 'group_members = { "a" = ["1"] }\nactors', "group_members", "google only"),
    ],
)
def test_a_mistake_about_a_vendor_is_told_with_its_place(
    folder: ConfigurationFolder, issuer: str, old: str, new: str, *, place: str, problem: str
) -> None:
    assert old in issuer

    found = mistakes(folder.write(_with_issuer(issuer.replace(old, new, 1))))

    assert problem in found[f"issuers[2].{place}"].problem
