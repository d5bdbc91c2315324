"""The page "Connect your identity provider": its configurations load, and policies see what it says they see."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.test_claim_profiles import ENTRA_ACCESS_TOKEN, GENERIC_TOKEN, GITLAB_ID_TOKEN, OKTA_ACCESS_TOKEN
from tests.configuration_folder import DEPLOY, TEXT, ConfigurationFolder
from tests.identity_world import IdentityWorld
from tests.profile_tokens import GITHUB_TOKEN, GITPOD_V3_TOKEN, GOOGLE_ID_TOKEN, KUBERNETES_TOKEN, changed
from tests.token_forge import NOON, NOW, HandClock, forge, trusted

from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.oidc import OidcVerifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.config.loading import load
from remit_server.config.settings import ClaimProfile, Settings
from remit_server.domain.decision import decision_input
from remit_server.domain.identity import Delegation
from remit_server.domain.session_names import source_identity
from remit_server.domain.task import TaskIntent

PAGE = (DEPLOY.parent / "docs/connect-your-idp.md").read_text(encoding="utf-8")
# What each section's issuer signs: the vendor's documented token, for the section's audience.
TOKENS: dict[str, dict[str, Any]] = {
    "Okta": changed(OKTA_ACCESS_TOKEN, aud="api://remit"),
    "Microsoft Entra ID": changed(ENTRA_ACCESS_TOKEN, azp="d5c8a9de-2e8d-4e3c-9f0a-6a2c4d0b7a11"),
    "Google Workspace": GOOGLE_ID_TOKEN,
    "GitLab CI": changed(GITLAB_ID_TOKEN, aud="https://remit.acme.example"),
    "GitHub Actions": GITHUB_TOKEN,
    "Gitpod (Ona)": GITPOD_V3_TOKEN,
    "Kubernetes": changed(KUBERNETES_TOKEN, aud=["remit"]),
    "Any OpenID Connect issuer": changed(GENERIC_TOKEN, auth_time=NOW - 600, department="finance"),
}


def blocks(section: str, language: str) -> list[str]:
    """Returns the section's code blocks of one language."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (found,) = (part for part in text if part.startswith(f"{section}\n"))
    return re.findall(rf"^```{language}\n(.*?)^```$", found, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("connect"))


def loaded(folder: ConfigurationFolder, block: str) -> Settings:
    """Returns the usual configuration with the block's issuers and agents in the place of its own."""
    before, _, rest = TEXT.partition("[[issuers]]")
    _, role, after = rest.partition("[[roles]]")
    return load(folder.write(f"{before}{block}\n{role}{after}"), {})


async def seen(configuration: Settings, token: dict[str, Any]) -> Delegation:
    """Returns what the gateway makes of the vendor's token, through the front door."""
    clock = HandClock(NOON)
    checked = OidcVerifier([trusted(issuer, clock) for issuer in configuration.issuers], clock)
    spiffe = SpiffeVerifier(configuration.spiffe_trust_domains, clock)
    agents = configuration.agents
    world = IdentityWorld(clock, ActorAuthentication(agents, spiffe, checked), DelegationVerification(agents, checked))
    lifetime = token["exp"] - token["iat"]
    by_issuer = {issuer.issuer: issuer for issuer in configuration.issuers}
    issuer = by_issuer[token["iss"]]
    bearer = _signed(token, lifetime, issuer.token_type)
    if issuer.carries_actor is not None:
        return await world.delegate(bearer, await world.by_token(bearer))
    if issuer.profile is ClaimProfile.KUBERNETES:
        person = _signed(TOKENS["Okta"], 3600, "JWT")
        return await world.delegate(person, await world.by_token(bearer))
    return await world.delegate(bearer, await world.by_certificate("spiffe://acme.example/copilot"))


def _signed(token: dict[str, Any], lifetime: int, kind: str) -> str:
    times = {"iat": NOW - 60, "exp": NOW - 60 + lifetime} | ({"nbf": NOW - 60} if "nbf" in token else {})
    return forge({**token, **times}, header={"typ": kind})


def told(delegation: Delegation) -> dict[str, Any]:
    """Returns the two identities as a policy's input has them."""
    question = decision_input(
        delegation,
        TaskIntent("docs"),
        (),
        task_id=None,
        grants_so_far=0,
        requested_duration=NOON - NOON,
        now=NOON,
        source_ip="",
    )
    return {name: value for name, value in json.loads(question.text).items() if name in ("subject", "actor")}


def test_every_vendor_has_its_section() -> None:
    profiles = {profile.value for profile in ClaimProfile} - {"generic"}

    assert set(re.findall(r'^profile = "(\w+)"$', PAGE, flags=re.MULTILINE)) == profiles
    assert re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE) == list(TOKENS)


@pytest.mark.parametrize("section", TOKENS)
def test_the_configuration_loads_as_it_stands(folder: ConfigurationFolder, section: str) -> None:
    (block,) = blocks(section, "toml")

    assert loaded(folder, block).issuers


def test_no_configuration_stands_outside_of_the_sections_that_are_loaded() -> None:
    assert PAGE.count("```toml") == sum(len(blocks(section, "toml")) for section in TOKENS)


@pytest.mark.parametrize("section", TOKENS)
async def test_a_policy_sees_what_the_page_says(folder: ConfigurationFolder, section: str) -> None:
    (block,) = blocks(section, "toml")
    (shown,) = blocks(section, "json")

    delegation = await seen(loaded(folder, block), TOKENS[section])

    assert json.loads(shown) == told(delegation)


@pytest.mark.parametrize("section", TOKENS)
async def test_cloudtrail_shows_what_the_page_says(folder: ConfigurationFolder, section: str) -> None:
    (block,) = blocks(section, "toml")

    delegation = await seen(loaded(folder, block), TOKENS[section])

    assert f"CloudTrail shows `{source_identity(delegation.subject)}`." in PAGE


def test_every_link_inside_the_page_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) == anchors


def test_the_page_is_there_for_whoever_reads_about_the_configuration() -> None:
    assert "connect-your-idp.md" in (Path(DEPLOY).parent / "docs/configuration.md").read_text(encoding="utf-8")
