"""Who is who: names that could be taken for another's, and what the configuration must not let pass."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.adapters.test_claim_profiles import ENTRA_ACCESS_TOKEN, ENTRA_ISSUER
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.token_forge import settings

from remit_server.adapters.aws.keys import AmbientKeys
from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.adapters.policy.bundle_files import read_files
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import ClaimProfile
from remit_server.domain.errors import Outage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("configuration"))


def mistakes(path: Path, environment: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as raised:
        load(path, environment or {})
    return {mistake.place: mistake.problem for mistake in raised.value.mistakes}


def test_no_issuers_agents_can_be_named_like_a_workload_of_a_trust_domain(folder: ConfigurationFolder) -> None:
    """`<alias>:<subject>` with the alias `spiffe` and the subject `//acme.example/copilot` would be its SPIFFE ID."""
    text = TEXT.replace('alias = "acme"', 'alias = "spiffe"')

    found = mistakes(folder.write(text))

    assert "issuers[0].alias" in found


def test_one_file_of_authorities_vouches_for_one_trust_domain(folder: ConfigurationFolder) -> None:
    """Otherwise the authority of one domain could sign SVIDs of the other (SPIFFE Trust Domain and Bundle, 4)."""
    text = TEXT.replace('["acme.example"]', '["acme.example", "partner.example"]')

    found = mistakes(folder.write(text))

    assert "listen.mtls.trust_domains" in found


def test_a_policy_folder_that_everyone_may_change_is_refused(tmp_path: Path) -> None:
    made = ConfigurationFolder.create(tmp_path)
    (tmp_path / "policies").chmod(0o777)

    assert "policy.bundle" in mistakes(made.write())


def test_a_policy_file_that_everyone_may_change_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "remit.rego"
    rules.write_text("package remit")
    rules.chmod(0o666)

    with pytest.raises(BundleRefused, match=r"remit\.rego"):
        read_files(tmp_path)


def test_a_log_of_tls_keys_is_refused(folder: ConfigurationFolder) -> None:
    found = mistakes(folder.write(), {"SSLKEYLOGFILE": os.devnull})

    assert "environment SSLKEYLOGFILE" in found


@pytest.mark.parametrize("verified", [False, "true", None, 1])
def test_an_address_that_nobody_verified_is_never_the_source_identity(verified: object) -> None:
    claims: dict[str, Any] = {"sub": "00u-mallory", "email": "ceo@acme.example", "email_verified": verified}

    holder = read_holder(replace(settings(), source_claim="email"), claims)

    assert holder.source_id is None


def test_an_address_of_entra_is_the_source_identity_only_when_its_domain_is_vouched_for() -> None:
    entra = settings(issuer=ENTRA_ISSUER, profile=ClaimProfile.ENTRA, source_claim="email")
    claims = {**ENTRA_ACCESS_TOKEN, "email": "ceo@acme.example"}

    loose, vouched = read_holder(entra, claims), read_holder(entra, {**claims, "xms_edov": True})

    assert loose.source_id is None
    assert vouched.source_id == "ceo@acme.example"


async def test_what_a_credential_process_printed_is_not_in_the_failure() -> None:
    def resolve() -> SimpleNamespace:
        raise ValueError("aws_secret_access_key=canary")

    with pytest.raises(Outage) as raised:
        await AmbientKeys(monotonic=lambda: 0.0, resolve=resolve)()

    assert "canary" not in f"{raised.value.__cause__!r} {raised.value}"
    assert "ValueError" in str(raised.value.__cause__)
