"""docs/login.md and docs/intents.md say what the client reads."""

import re
from pathlib import Path

import pytest

from remit.local.explaining import REASONS, explain_reason
from remit.local.settings import parse_settings

PAGE = (Path(__file__).parents[2] / "docs" / "login.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_read_as_settings(block: str) -> None:
    assert parse_settings(block, Path("client.toml")).login is not None


def test_every_reason_is_shown_with_its_exit_code() -> None:
    shown = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", PAGE, re.MULTILINE))

    assert shown.keys() == {name for name in REASONS if name.startswith("LOGIN_")} | {"ISSUER_UNAVAILABLE"}
    for reason, code in shown.items():
        assert f"exit code of remit: {code}" in explain_reason(reason).text()


def test_every_setting_is_in_the_table() -> None:
    shown = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    values = {
        "issuer": '"https://a.example"', "client_id": '"a"', "scopes": '["a"]', "token": '"id_token"',
        "audience": '"a"',
        "ca_file": '"a"',
    }  # fmt: skip

    parse_settings("\n".join(["[login]", *(f"{key} = {value}" for key, value in values.items())]), Path("client.toml"))

    assert set(shown) == values.keys()
