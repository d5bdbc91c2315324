"""`[audit]`: how long what decisions rest on is kept."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.loading import ConfigurationError, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("audit"))


def test_without_a_word_it_is_kept_for_ninety_days(folder: ConfigurationFolder) -> None:
    assert load(folder.write(TEXT), {}).audit_keep == timedelta(days=90)


def test_it_is_kept_for_as_long_as_is_said(folder: ConfigurationFolder) -> None:
    assert load(folder.write(f"{TEXT}[audit]\nkeep_days = 31\n"), {}).audit_keep == timedelta(days=31)


@pytest.mark.parametrize("days", ["30", "0", "3651", '"forever"'])
def test_it_is_not_kept_for_less_than_a_task_may_last(folder: ConfigurationFolder, days: str) -> None:
    path: Path = folder.write(f"{TEXT}[audit]\nkeep_days = {days}\n")

    with pytest.raises(ConfigurationError) as raised:
        load(path, {})

    assert [mistake.place for mistake in raised.value.mistakes] == ["audit.keep_days"]
