"""A worker's share of the STS budget."""

from pathlib import Path

import pytest
from tests.configuration_folder import ConfigurationFolder

from remit_server.config.loading import load
from remit_server.config.settings import Settings
from remit_server.config.sharing import share_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(ConfigurationFolder.create(tmp_path).write())


@pytest.mark.parametrize("workers", [1, 2, 3, 64])
def test_the_shares_add_up_to_the_budget_or_to_one_call_each(settings: Settings, workers: int) -> None:
    whole, share = settings.aws, share_of(settings, workers).aws

    assert share.requests_per_second * workers == pytest.approx(whole.requests_per_second)
    assert share.burst >= 1
    assert share.burst * workers <= max(whole.burst, workers)
    assert share.max_in_flight >= 1
    assert share.max_in_flight * workers <= max(whole.max_in_flight, workers)


def test_nothing_else_is_divided(settings: Settings) -> None:
    share = share_of(settings, 4)

    assert share.limits == settings.limits
    assert share.policy == settings.policy
    assert (share.digest, share.ceilings_digest) == (settings.digest, settings.ceilings_digest)
