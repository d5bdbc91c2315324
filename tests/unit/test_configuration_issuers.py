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
