"""`config check` tells actions of ceilings and floor that AWS does not have, and finds no fault in them."""

from pathlib import Path

from tests.configuration_folder import TEXT, ConfigurationFolder
from typer.testing import CliRunner

from remit_server.cli.config import app


def test_a_misspelt_action_of_a_ceiling_or_the_floor_is_advised_against(tmp_path: Path) -> None:
    folder = ConfigurationFolder.create(tmp_path)
    ceiling = folder.folder / "ceilings" / "remit-reports.json"
    ceiling.write_text(ceiling.read_text("utf-8").replace("s3:PutObject", "s3:PutObjet"), encoding="utf-8")
    path = folder.write(TEXT + '\n[forbidden]\nactions = ["dynamodb:DeletTable", "dynamodb:Delete*"]\n')

    result = CliRunner().invoke(app, ["check", "--config", str(path)])

    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("advice: ")]
    assert len(lines) == 3
    assert "the ceiling of arn:aws:iam::111122223333:role/remit-reports" in lines[0]
    assert "no action s3:PutObjet" in lines[0]
    assert "s3:PutObject" in lines[0]
    assert "forbidden.actions" in lines[2]
    assert "dynamodb:DeleteTable" in lines[2]


def test_the_configuration_of_the_tests_needs_no_advice(tmp_path: Path) -> None:
    path = ConfigurationFolder.create(tmp_path).write()

    result = CliRunner().invoke(app, ["check", "--config", str(path)])

    assert (result.exit_code, result.stderr) == (0, "")
