"""The pages about workload identity: what they say to write is what the gateway, the client and the command take."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.configuration_folder import DEPLOY, TEXT, ConfigurationFolder

import remit
from remit.local import tokens
from remit.local.settings import parse_settings
from remit.workload import NoWorkloadIdentity
from remit.workload.naming import certificate_source
from remit_server.config.loading import load
from remit_server.config.settings import Settings

FOLDER = DEPLOY.parent / "docs/workload-identity"
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in sorted(FOLDER.glob("*.md"))}
PLATFORMS = ("aws", "github", "gitlab", "gitpod", "kubernetes", "spiffe")
SECTIONS = ("At the gateway", "See that it works", "What goes wrong")


def blocks(page: str, language: str) -> list[str]:
    """Returns a page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], flags=re.MULTILINE | re.DOTALL)


def every(language: str, first_line: str = "") -> list[Any]:
    """Returns every such block of every page, by the page's name."""
    found = [(page, block) for page in PAGES for block in blocks(page, language) if block.startswith(first_line)]
    return [pytest.param(page, block, id=f"{page}-{number}") for number, (page, block) in enumerate(found)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("pages"))


def loaded(folder: ConfigurationFolder, block: str) -> Settings:
    """Returns the usual configuration with the block's tables in the place of its own."""
    listeners, _, rest = TEXT.partition("[[issuers]]")
    if "[listen.mtls]" in block:
        listeners = "[listen.bearer]" + listeners.partition("[listen.bearer]")[2]
    _, role, after = rest.partition("[[roles]]")
    return load(folder.write(f"{listeners}{block}\n{role}{after}"), {})


def test_each_platform_has_its_page_with_the_same_parts() -> None:
    assert set(PAGES) == {"README", *PLATFORMS}
    for platform in PLATFORMS:
        titles = re.findall(r"^## (.+)$", PAGES[platform], flags=re.MULTILINE)
        assert set(SECTIONS) <= set(titles), platform
        assert blocks(platform, "toml"), platform
        assert f"({platform}.md)" in PAGES["README"]


@pytest.mark.parametrize(("page", "block"), every("toml", "# remit.toml\n"))
def test_the_gateways_configuration_loads_as_it_stands(folder: ConfigurationFolder, page: str, block: str) -> None:
    settings = loaded(folder, block)

    named = {agent.spiffe_id or agent.subject for agent in settings.agents}
    assert named or any(issuer.carries_actor for issuer in settings.issuers), page


@pytest.mark.parametrize(("page", "block"), every("toml", "# client.toml\n"))
def test_the_clients_settings_load_and_name_sources(page: str, block: str) -> None:
    settings = parse_settings(block, Path("client.toml"))

    assert callable(tokens.token_source(settings.subject_token, settings))
    if settings.gateway.bearer is None:
        assert settings.gateway.target == "remit.acme.example:8443", page
        assert isinstance(certificate_source(settings.gateway.svid or ""), remit.workload.SpiffeX509)
    else:
        assert settings.gateway.target == "remit.acme.example:8444", page
        assert callable(tokens.token_source(settings.gateway.bearer, settings))


def test_no_toml_stands_outside_of_what_is_loaded() -> None:
    all_of_it = [block for page in PAGES for block in blocks(page, "toml")]

    assert all(block.startswith(("# remit.toml\n", "# client.toml\n")) for block in all_of_it)
    assert len(all_of_it) == sum(page.count("```toml") for page in PAGES.values())


@pytest.mark.parametrize(("page", "block"), every("python"))
def test_each_program_calls_what_there_is_as_it_is_called(page: str, block: str) -> None:
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    ours = [(call, name) for call in calls if (name := ast.unparse(call.func)).startswith("remit.")]

    assert ours, page
    for call, name in ours:
        target: Any = remit
        for part in name.split(".")[1:]:
            target = getattr(target, part)
        given = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
        inspect.signature(target).bind(*(None for _ in call.args), **given)


def test_functions_that_pages_name_are_there() -> None:
    named = {name for page in PAGES.values() for name in re.findall(r"remit\.workload\.(\w+)", page)}

    assert named <= set(remit.workload.__all__)
    assert named >= {"github", "gitlab", "gitpod", "kubernetes", "aws", "spiffe_jwt", "spiffe_x509", "detect"}


@pytest.mark.parametrize(("page", "block"), every("yaml"))
def test_what_is_written_at_the_platform_is_yaml(page: str, block: str) -> None:
    assert isinstance(yaml.safe_load(block), dict), page


def test_sources_that_the_index_names_are_taken() -> None:
    for text in re.findall(
        r"`((?:github|gitpod|aws|spiffe|gitlab|kubernetes|file|env|detect)(?::\S+)?)`", PAGES["README"]
    ):
        if not text.startswith("detect"):
            assert remit.workload.token_source(text, audience="AUDIENCE").platform == text.partition(":")[0]


def test_reasons_that_the_index_explains_are_those_that_come() -> None:
    told = set(re.findall(r"`(WORKLOAD_\w+)`", PAGES["README"]))

    assert told == set(re.findall(r"WORKLOAD_[A-Z_]+", inspect.getdoc(NoWorkloadIdentity) or ""))


def test_every_link_leads_somewhere() -> None:
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert (FOLDER / link).exists(), (page, link)
