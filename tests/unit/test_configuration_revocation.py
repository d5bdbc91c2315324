"""`[revocation]`: absent, empty, whole, and wrong."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from typer.testing import CliRunner

from remit_server.bootstrap.revocation import names_of, session_roles
from remit_server.cli.config import app
from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import RevocationSettings

WHOLE = """
[revocation]
role_name = "acme-revoker"
policy_prefix = "acme-revocations"
propagation_bound_seconds = 60
canary = false
iam_endpoint_url = "https://iam.acme.example"
ec2_endpoint_url = "http://127.0.0.1:4566"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("revocation"))


def test_without_the_table_aws_is_told_nothing(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(TEXT), {})

    assert settings.revocation is None
    assert session_roles(settings) == settings.roles


def test_an_empty_table_is_enough(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(f"{TEXT}\n[revocation]\n"), {})

    assert settings.revocation == RevocationSettings()
    assert [role.arn for role in session_roles(settings)] == [
        "arn:aws:iam::111122223333:role/remit-reports",
        "arn:aws:iam::111122223333:role/remit-data",
        "arn:aws:iam::111122223333:role/remit-revoker",
    ]


def test_every_key_is_taken_over(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(TEXT + WHOLE), {})

    assert settings.revocation == RevocationSettings(
        role_name="acme-revoker",
        policy_prefix="acme-revocations",
        propagation_bound=timedelta(seconds=60),
        canary=False,
        iam_endpoint_url="https://iam.acme.example",
        ec2_endpoint_url="http://127.0.0.1:4566",
    )
    assert names_of(settings).policy_arns("aws", "1")[3] == "arn:aws:iam::1:policy/acme-revocations-4"


def test_the_environment_can_turn_it_on(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(TEXT), {"REMIT__REVOCATION__CANARY": "false"})

    assert settings.revocation == RevocationSettings(canary=False)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('role_name = "arn:aws:iam::1:role/x"', "revocation.role_name"),
        ('role_name = ""', "revocation.role_name"),
        ('policy_prefix = "a/b"', "revocation.policy_prefix"),
        (f'policy_prefix = "{"a" * 127}"', "revocation.policy_prefix"),
        ('iam_endpoint_url = "http://iam.acme.example"', "revocation.iam_endpoint_url"),
        ('ec2_endpoint_url = "https://ec2.acme.example/path"', "revocation.ec2_endpoint_url"),
        ("propagation_bound_seconds = 9", "revocation.propagation_bound_seconds"),
        ("cannary = true", "revocation.cannary"),
    ],
)
def test_what_is_wrong_is_named(folder: ConfigurationFolder, line: str, place: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(folder.write(f"{TEXT}\n[revocation]\n{line}\n"), {})

    assert [mistake.place for mistake in raised.value.mistakes] == [place]


@pytest.mark.parametrize(("table", "says"), [("", "AWS is told nothing"), (WHOLE, "acme-revocations-1 to -4 in 1 AWS")])
def test_the_command_says_how_sessions_end(tmp_path: Path, table: str, says: str) -> None:
    path = ConfigurationFolder.create(tmp_path).write(TEXT + table)

    result = CliRunner().invoke(app, ["check", "--config", str(path)])

    assert says in result.stdout
