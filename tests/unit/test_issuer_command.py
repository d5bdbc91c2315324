"""`remit-server issuer`: makes keys, says where a rotation stands, and exports what is published."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.signing_key_files import fresh_key, pem, put_key
from tests.token_forge import ec_key
from tests.web_identity_world import DISCOVERY, KEY_SET, URL, IssuerFolder
from typer.testing import CliRunner, Result

from remit_server.adapters.issuer.keys import Keys
from remit_server.cli.issuer import app
from remit_server.cli.issuer_words import advice

NOW = datetime.now(UTC)
ISSUER = f"""
[issuer]
url = "{URL}"
signing_key_file = "active.pem"
next_signing_key_file = "next.pem"
previous_signing_key_file = "previous.pem"
"""


@pytest.fixture
def folder(tmp_path: Path) -> IssuerFolder:
    """An issuer with an active key, and the configuration beside it."""
    ConfigurationFolder.create(tmp_path).write(TEXT + ISSUER)
    return IssuerFolder.create(tmp_path)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def aged(path: Path, hours: float) -> None:
    """Has the file be as old as that."""
    then = NOW.timestamp() - hours * 3600
    os.utime(path, (then, then))


def steps(folder: IssuerFolder) -> str:
    return "\n".join(advice(folder.settings, NOW))


# --- keys ---


@pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "RS256"), ("p256", "ES256")])
def test_a_key_is_made_that_the_gateway_takes_and_nobody_else_can_read(
    folder: IssuerFolder, kind: str, algorithm: str
) -> None:
    result = run("keys", "--make", folder.coming, "--kind", kind)

    made = Keys.read(folder.settings).coming
    assert result.exit_code == 0
    assert made is not None
    assert f"key {made.key_id} ({algorithm})" in result.stdout
    assert stat.S_IMODE(folder.coming.stat().st_mode) == 0o600
    assert "PRIVATE" not in result.output


@pytest.mark.parametrize("is_link", [False, True])
def test_a_key_is_never_written_over_another_file(folder: IssuerFolder, *, is_link: bool) -> None:
    target = folder.folder / "link.pem" if is_link else folder.active
    if is_link:
        target.symlink_to(folder.folder / "elsewhere.pem")

    result = run("keys", "--make", target)

    assert result.exit_code == 2
    assert "never written over" in result.stderr
    assert folder.active.read_bytes() == pem(ec_key())
    assert not (folder.folder / "elsewhere.pem").exists()


def test_each_place_is_told_with_its_key(folder: IssuerFolder) -> None:
    put_key(folder.coming, fresh_key())
    keys = Keys.read(folder.settings)

    result = run("keys", "--config", folder.folder / "remit.toml")

    assert result.exit_code == 0
    assert keys.coming is not None
    assert f"active    {keys.active.key_id} (ES256, signs)" in result.stdout
    assert f"next      {keys.coming.key_id} (ES256, published" in result.stdout
    assert "previous  none" in result.stdout
    assert "wait until" in result.stdout
    assert "PRIVATE" not in result.output


def test_without_an_issuer_the_command_says_where_to_read(folder: IssuerFolder) -> None:
    path = folder.folder / "remit.toml"
    path.write_text(TEXT)

    result = run("keys", "--config", path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "docs/web-identity.md" in result.stderr


def test_a_wrong_configuration_is_told_whole(folder: IssuerFolder) -> None:
    folder.active.chmod(0o644)

    result = run("keys", "--config", folder.folder / "remit.toml")

    assert result.exit_code == 1
    assert "issuer.signing_key_file" in result.stderr


# --- where a rotation stands ---


def test_first_a_next_key_is_made(folder: IssuerFolder) -> None:
    assert f"issuer keys --make {folder.coming}" in steps(folder)
    assert "there is none" in steps(folder)


def test_then_it_is_published_for_a_day(folder: IssuerFolder) -> None:
    put_key(folder.coming, fresh_key())
    aged(folder.coming, 23)

    assert "wait until" in steps(folder)
    assert "to rotate" not in steps(folder)


def test_then_the_keys_change_places_in_an_order_that_leaves_none_unpublished(folder: IssuerFolder) -> None:
    put_key(folder.coming, fresh_key())
    aged(folder.coming, 24.1)

    told = steps(folder)

    moves = [f"install -m 600 {folder.active} {folder.previous}", f"mv {folder.coming} {folder.active}", "--make"]
    assert [told.index(move) for move in moves] == sorted(told.index(move) for move in moves)


@pytest.mark.parametrize(("hours", "said"), [(1, "may be removed from"), (25, "may be removed")])
def test_the_previous_key_is_kept_for_a_day(folder: IssuerFolder, hours: float, said: str) -> None:
    put_key(folder.previous, fresh_key())
    aged(folder.previous, hours)

    assert said in steps(folder)
    assert ("removed from" in steps(folder)) == (hours < 24)


def test_a_next_key_that_is_the_active_one_is_none(folder: IssuerFolder) -> None:
    put_key(folder.coming, ec_key())

    assert f"remove {folder.coming}" in steps(folder)


def test_the_moves_that_are_told_leave_every_key_published(folder: IssuerFolder) -> None:
    put_key(folder.coming, fresh_key())
    before = Keys.read(folder.settings)

    folder.previous.write_bytes(folder.active.read_bytes())
    folder.previous.chmod(0o600)
    between = Keys.read(folder.settings)
    folder.coming.replace(folder.active)
    after = Keys.read(folder.settings)

    assert before.published == between.published == after.published
    assert after.active.published == before.coming
    assert NOW - timedelta(days=1) < datetime.fromtimestamp(folder.previous.stat().st_mtime, UTC)


# --- export ---


def test_the_files_are_what_the_gateway_serves(folder: IssuerFolder, tmp_path: Path) -> None:
    result = run("export", tmp_path / "public", "--config", tmp_path / "remit.toml")

    documents = folder.keys().documents
    assert result.exit_code == 0
    for path in (DISCOVERY, KEY_SET):
        file = tmp_path / f"public{path}"
        assert file.read_bytes() == documents[path]()
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in (tmp_path / "public/.well-known").iterdir() if path.name.endswith(".new")] == []


def test_an_export_of_the_same_keys_is_the_same_to_the_byte(folder: IssuerFolder, tmp_path: Path) -> None:
    put_key(folder.coming, fresh_key())
    for name in ("one", "two"):
        run("export", tmp_path / name, "--config", tmp_path / "remit.toml")

    assert (tmp_path / f"one{KEY_SET}").read_bytes() == (tmp_path / f"two{KEY_SET}").read_bytes()
    assert len(json.loads((tmp_path / f"one{KEY_SET}").read_text())["keys"]) == 2


def test_the_check_finds_files_that_are_not_published_anew_after_a_step(folder: IssuerFolder, tmp_path: Path) -> None:
    arguments = ("export", tmp_path / "public", "--config", tmp_path / "remit.toml")
    run(*arguments)
    unchanged = run(*arguments, "--check")
    put_key(folder.coming, fresh_key())

    changed = run(*arguments, "--check")

    assert (unchanged.exit_code, changed.exit_code) == (0, 1)
    assert "jwks.json is not what" in changed.stderr
    assert "openid-configuration" not in changed.stderr


def test_a_folder_that_cannot_be_written_is_told(folder: IssuerFolder, tmp_path: Path) -> None:
    result = run("export", folder.active, "--config", tmp_path / "remit.toml")

    assert result.exit_code == 2
    assert result.stderr
