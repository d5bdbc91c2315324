"""Every mistake in a configuration is told with its place; a right configuration becomes right settings."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.identity_settings import Binding, ClaimProfile
from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import AwsSettings, LimitSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("configuration"))


def mistakes(path: Path, environment: dict[str, str] | None = None) -> dict[str, str]:
    """Returns what is wrong, by place."""
    with pytest.raises(ConfigurationError) as raised:
        load(path, environment or {})
    assert all(mistake.why and mistake.mend for mistake in raised.value.mistakes)
    return {mistake.place: str(mistake) for mistake in raised.value.mistakes}


ISSUER, PEOPLE = 'issuer = "https://login.acme.example"\nalias', 'issuer = "https://people.acme.example"'
DATA = "role/remit-data"
TABLE = [
    # the shape of keys
    ('audience = "remit"', 'audiences = "remit"', "issuers[0].audience", "is missing"),
    ('audience = "remit"', 'audience = "remit"\naudiance = "x"', "issuers[0].audiance", "write `audience`"),
    ('audience = "remit"', "audience = 5", "issuers[0].audience", "must be a string"),
    ('audience = "remit"', 'audience = ["remit"]', "issuers[0].audience", "must be a string"),
    ('["RS256"]', '"RS256"', "issuers[0].algorithms", "must be a list"),
    ('["RS256"]', "[256]", "issuers[0].algorithms[0]", "must be a string"),
    ("actors = true", 'actors = "yes"', "issuers[0].actors", "must be true or false"),
    ("actors = true", 'actors = true\nprofile = "ldap"', "issuers[0].profile", "must be one of"),
    ("actors = true", "actors = true\nleeway_seconds = 31", "issuers[0].leeway_seconds", "at most 30"),
    ("actors = true", "actors = true\nleeway_seconds = -1", "issuers[0].leeway_seconds", "at least 0"),
    ("actors = true", "actors = true\nmax_lifetime_seconds = 3.5", "issuers[0].max_lifetime_seconds", "whole number"),
    ("[policy]", "[polizy]", "polizy", "write `policy`"),
    ("[policy]", "[polizy]", "policy", "is missing"),
    ("[database]", "[limits]\nconcurrent_calls = 0\n[database]", "limits.concurrent_calls", "at least 1"),
    ("[database]", "[limits]\nconcurrent_calls = true\n[database]", "limits.concurrent_calls", "whole number"),
    ("[aws]", "[aws]\nrequests_per_second = inf", "aws.requests_per_second", "at most 600"),
    ("[aws]", "[aws]\nrequests_per_second = nan", "aws.requests_per_second", "at most"),
    ("[aws]", "[aws]\nrequests_per_second = 0", "aws.requests_per_second", "at least 0.1"),
    ("[policy]", "[policy]\nworkers = 65", "policy.workers", "at most 64"),
    # listeners
    ('address = "127.0.0.1:8443"', 'address = "127.0.0.1"', "listen.mtls.address", "host and port"),
    ('address = "127.0.0.1:8443"', 'address = "127.0.0.1:99999"', "listen.mtls.address", "host and port"),
    ('address = "127.0.0.1:8443"', 'address = "[1.2.3.4]:1"', "listen.mtls.address", "host and port"),
    ('address = "127.0.0.1:8443"', 'address = "unix:/x:1"', "listen.mtls.address", "host and port"),
    (":8444", ":8443", "listen.bearer.address", "port of its own"),
    ("tls/server.pem", "tls/none.pem", "listen.mtls.certificate_file", "cannot be read"),
    ("tls/server.pem", "policies", "listen.mtls.certificate_file", "cannot be read"),
    ("tls/server.pem", "remit.toml", "listen.mtls.certificate_file", "no PEM certificate"),
    ("tls/server.pem", "tls/agents-ca.pem", "listen.mtls.key_file", "private key of certificate_file"),
    ("tls/agents-ca.pem", "remit.toml", "listen.mtls.client_ca_file", "no PEM certificate"),
    ('["acme.example"]', '["spiffe://acme.example"]', "listen.mtls.trust_domains[0]", "no trust domain"),
    ('["acme.example"]', "[]", "listen.mtls.trust_domains", "must not be empty"),
    # issuers
    ('["RS256"]', '["HS256"]', "issuers[0].algorithms", "never HS* or none"),
    ('["RS256"]', '["none"]', "issuers[0].algorithms", "never HS* or none"),
    ('["RS256"]', '["RS256", "HS256"]', "issuers[0].algorithms", "CVE-2026-48526"),
    ('["RS256"]', "[]", "issuers[0].algorithms", "at least one"),
    (ISSUER, ISSUER.replace("https", "http"), "issuers[0].issuer", "https"),
    (ISSUER, ISSUER.replace("login.", "user@login."), "issuers[0].issuer", "without user"),
    (PEOPLE, 'issuer = "https://login.acme.example"', "issuers[1].issuer", "same issuer as an earlier"),
    ('"people"', '"acme"', "issuers[1].alias", "same alias as an earlier"),
    ('"acme"\n', '"ACME"\n', "issuers[0].alias", "a-z"),
    ('"acme"\n', f'"{"a" * 21}"\n', "issuers[0].alias", "1 to 20"),
    (
        "actors = true",
        'actors = true\nkey_set_url = "https://keys.evil.example/"',
        "issuers[0].key_set_url",
        "not in allowed_hosts",
    ),
    ("actors = true", 'key_set_url = "http://login.acme.example/"', "issuers[0].key_set_url", "https"),
    ("actors = true", 'allowed_hosts = ["x.example:443"]', "issuers[0].allowed_hosts", "without a port"),
    ("actors = true", 'source_claim = "two words"', "issuers[0].source_claim", "name of a claim"),
    ("actors = true", 'ca_file = "none.pem"', "issuers[0].ca_file", "cannot be read"),
    ("actors = true", "subjects = false", "issuers[0].subjects", "accepted for nothing"),
    ("actors = true", 'profile = "gitlab_ci"', "issuers[0].carries_actor", "names no presenter"),
    ("actors = true", 'profile = "entra"', "issuers[0].issuer", "Entra ID issuer"),
    ("actors = true", 'actors = true\ncarries_actor = "azp"', "issuers[0].actors", "leave actors out"),
    ("actors = true", 'client_secret = "x"', "issuers[0].client_secret", "is a secret in the file"),
    # agents
    ('id = "reporter"', 'id = "copilot"', "agents[1].id", "same id as an earlier"),
    (
        'issuer = "https://login.acme.example"\nsubject = "reporter-service"',
        'spiffe_id = "spiffe://acme.example/copilot"',
        "agents[1].spiffe_id",
        "same spiffe_id",
    ),
    (
        'spiffe_id = "spiffe://acme.example/copilot"',
        'issuer = "https://login.acme.example"\nsubject = "reporter-service"',
        "agents[1].subject",
        "same pair of issuer and subject",
    ),
    (
        'issuer = "https://login.acme.example"\nsub',
        'issuer = "https://else.example"\nsub',
        "agents[1].issuer",
        "[[issuers]]",
    ),
    ('issuer = "https://login.acme.example"\nsub', f"{PEOPLE}\nsub", "agents[1].issuer", "actors = true"),
    ("acme.example/copilot", "evil.example/copilot", "agents[0].spiffe_id", "trust domain that is not taken"),
    ("spiffe://acme.example/copilot", "acme.example/copilot", "agents[0].spiffe_id", "not the SPIFFE ID"),
    ('subject = "reporter-service"', "", "agents[1].subject", "belong together"),
    ('id = "copilot"', 'id = "copilot"\nissuer = "https://login.acme.example"', "agents[0].subject", "together"),
    # roles
    (DATA, "role/remit-reports", "roles[1].arn", "same role as an earlier"),
    (f"arn:aws:iam::111122223333:{DATA}", "remit-data", "roles[1].arn", "not the ARN of a role"),
    (f"111122223333:{DATA}", f"1111:{DATA}", "roles[1].arn", "12-digit account"),
    (DATA, "role/*", "roles[1].arn", "not the ARN of a role"),
    (DATA, "user/remit-data", "roles[1].arn", "not the ARN of a role"),
    (f"arn:aws:iam::111122223333:{DATA}", f"arn:aws-cn:iam::111122223333:{DATA}", "roles[1].region", "partition"),
    (DATA, f'{DATA}"\nregion = "Frankfurt', "roles[1].region", "not the name of an AWS region"),
    (DATA, f'{DATA}"\nregion = "cn-north-1', "roles[1].region", "partition"),
    (DATA, f'{DATA}"\nexternal_id = "x', "roles[1].external_id", "roles.external_id_file"),
    (DATA, f'{DATA}"\nexternal_id_file = "none', "roles[1].external_id_file", "cannot be read"),
    (DATA, f'{DATA}"\nmax_session_seconds = 899 #', "roles[1].max_session_seconds", "at least 900"),
    (DATA, f'{DATA}"\nmax_session_seconds = 3601 #', "roles[1].max_session_seconds", "one hour"),
    (
        DATA,
        f'{DATA}"\nassumed_by = "user"\nmax_session_seconds = 43201 #',
        "roles[1].max_session_seconds",
        "at most 43200",
    ),
    (DATA, f'{DATA}"\nreopened = ["iam:PassRole"] #', "roles[1].reopened[0]", "not a re-openable"),
    (DATA, f'{DATA}"\nreopened = ["s3:GetObject"] #', "roles[1].reopened[0]", "ecr:GetAuthorizationToken"),
    (DATA, f'{DATA}"\nreopened = ["*"] #', "roles[1].reopened[0]", "not a re-openable"),
    # policy, AWS, database, floor
    ('bundle = "policies"', 'bundle = "none"', "policy.bundle", "not a folder"),
    ('bundle = "policies"', 'bundle = "remit.toml"', "policy.bundle", "not a folder"),
    ('region = "eu-central-1"', 'region = "eu-central"', "aws.region", "not the name of an AWS region"),
    ("[aws]", '[aws]\nendpoint_url = "http://sts.example"', "aws.endpoint_url", "must be https"),
    ("[aws]", '[aws]\nendpoint_url = "http://127.0.0.1.evil.example"', "aws.endpoint_url", "must be https"),
    ("[aws]", '[aws]\nendpoint_url = "ftp://127.0.0.1"', "aws.endpoint_url", "must be https"),
    ("[aws]", '[aws]\nendpoint_url = "https://u:p@sts.example"', "aws.endpoint_url", "plain host"),
    ("[aws]", '[aws]\nendpoint_url = "https://sts.example/path"', "aws.endpoint_url", "no path"),
    ("[aws]", '[aws]\nendpoint_url = "https://sts.example:x"', "aws.endpoint_url", "not a URL"),
    ("[aws]", '[aws]\nsecret_access_key = "x"', "aws.secret_access_key", "REMIT__AWS__SECRET_ACCESS_KEY"),
    ("[aws]", '[aws]\nsession_token = "x"', "aws.session_token", "is a secret in the file"),
    ("[aws]", '[aws]\naccess_key_id = "AKIAIOSFODNN7EXAMPLE"', "aws.secret_access_key_file", "other half"),
    ("[aws]", '[aws]\naccess_key_id = "akia"', "aws.access_key_id", "no access key id"),
    ("[aws]", '[aws]\nsecret_access_key_file = "secrets/external-id"', "aws.access_key_id", "other half"),
    ("[aws]", '[aws]\nsession_token_file = "secrets/external-id"', "aws.session_token_file", "without access_key_id"),
    ("sqlite:///data/remit.db", "mysql://h/db", "database.url", "neither sqlite:/// "),
    ("sqlite:///data/remit.db", "sqlite://", "database.url", "neither sqlite:/// "),
    ("sqlite:///data/remit.db", "postgresql://u:p@h/db", "database.url", "holds a password"),
    ("sqlite:///data/remit.db", "postgresql://h/db?sslmode=require", "database.url", "does not verify the server"),
    ("sqlite:///data/remit.db", "postgresql://h/db?sslrootcert=/none.pem", "database.url sslrootcert", "cannot be"),
    ("sqlite:///data/remit.db", "postgresql+asyncpg://h/db", "database.url", "cannot be read"),
    (
        'url = "sqlite:///data/remit.db"',
        'url = "postgresql://localhost/db"\npassword_file = "secrets/none"',
        "database.password_file",
        "cannot be read",
    ),
    ("[database]", '[database]\npassword_file = "secrets/external-id"', "database.password_file", "for SQLite"),
    ("[database]", '[database]\npassword = "x"', "database.password", "is a secret in the file"),
    ("sqlite:///data/remit.db", "sqlite:///:memory:", "database.url", "no plain file"),
    ("sqlite:///data/remit.db", "sqlite:///data/remit.db?mode=memory", "database.url", "no plain file"),
    ("sqlite:///data/remit.db", "sqlite:///none/remit.db", "database.url", "does not exist"),
    ("sqlite:///data/remit.db", "sqlite:///data", "database.url", "is a folder"),
    ("[database]", '[forbidden]\nactions = ["DeleteTable"]\n[database]', "forbidden.actions[0]", "no action pattern"),
    ("[database]", '[forbidden]\nactions = ["dynamodb:Delete Table"]\n[database]', "forbidden.actions[0]", "pattern"),
]


@pytest.mark.parametrize(("old", "new", "place", "text"), TABLE)
def test_a_mistake_is_told_with_its_place(
    folder: ConfigurationFolder, old: str, new: str, place: str, text: str
) -> None:
    assert old in TEXT

    found = mistakes(folder.write(TEXT.replace(old, new, 1)))

    assert place in found, found
    assert text in found[place]


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("", "listen", "is missing"),
        ("", "issuers", "is missing"),
        ("", "roles", "is missing"),
        ("", "aws", "is missing"),
        ("", "database", "is missing"),
        (TEXT.replace("[listen.mtls]", "[elsewhere]", 1), "agents[0].spiffe_id", "there is no [listen.mtls]"),
        (TEXT.replace("[listen.bearer]", "[elsewhere]", 1), "agents[1].issuer", "there is no [listen.bearer]"),
        (TEXT[: TEXT.index("[[agents]]")] + TEXT[TEXT.index("[[roles]]") :], "agents", "is missing"),
        (TEXT.replace("actors = true", "subjects = false\nactors = true").replace(
            'algorithms = ["ES256"]', 'algorithms = ["ES256"]\nsubjects = false\nactors = true'
        ), "issuers", "no issuer has `subjects = true`"),
        ("issuers = 5", "issuers", "must be a list of tables"),
        ("issuers = [5]", "issuers[0]", "must be a table"),
        ("aws = 5", "aws", "must be a table"),
        ("[listen]\nmtls = 5", "listen.mtls", "must be a table"),
        ("a = = 1", "the file", "line 1, column 5"),
        ("[aws]\n[aws]", "the file", "is not TOML"),
        ("a = " + "[" * 5000, "the file", "is nested too deeply"),
    ],
)  # fmt: skip
def test_what_a_whole_file_lacks_is_told(folder: ConfigurationFolder, text: str, place: str, problem: str) -> None:
    found = mistakes(folder.write(text))

    assert place in found, found
    assert problem in found[place]


def test_mistakes_in_every_part_are_told_at_once(folder: ConfigurationFolder) -> None:
    text = TEXT.replace('audience = "remit"', "audience = 5", 1).replace('["ES256"]', '["HS256"]')
    text = text.replace("eu-central-1", "nowhere").replace(DATA, "role/remit-reports").replace("data/remit.db", "x/y")

    found = mistakes(folder.write(text), {"GRPC_TRACE": "all", "REMIT__NOPE": "1"})

    assert set(found) == {
        "environment REMIT__NOPE",
        "issuers[0].audience",
        "issuers[1].algorithms",
        "roles[1].arn",
        "aws.region",
        "database.url",
        "environment GRPC_TRACE",
    }


@pytest.mark.parametrize(("path", "problem"), [("none.toml", "cannot be read"), ("policies", "cannot be read")])
def test_a_file_that_cannot_be_read_is_one_mistake(folder: ConfigurationFolder, path: str, problem: str) -> None:
    found = mistakes(folder.folder / path)

    assert len(found) == 1
    assert problem in str(found)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"# " + b"x" * 1_048_576])
def test_a_file_that_is_no_configuration_is_one_mistake(folder: ConfigurationFolder, content: bytes) -> None:
    path = folder.folder / "other.toml"
    path.write_bytes(content)

    assert len(mistakes(path)) == 1


# --- files beside the configuration ---


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o620, 0o601])
def test_a_private_key_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    spoiled = ConfigurationFolder.create(tmp_path)
    (tmp_path / "tls/server.key").chmod(mode)

    found = mistakes(spoiled.write())

    assert "chmod 600" in found["listen.mtls.key_file"]


def test_a_private_key_that_its_group_may_read_is_taken(tmp_path: Path) -> None:
    folder = ConfigurationFolder.create(tmp_path)
    (tmp_path / "tls/server.key").chmod(0o440)

    assert load(folder.write(), {}).listeners[0].key_file == tmp_path / "tls/server.key"


@pytest.mark.parametrize("name", ["remit.toml", "ceilings/remit-reports.json"])
def test_what_decides_what_is_issued_must_not_be_writable_by_everyone(tmp_path: Path, name: str) -> None:
    spoiled = ConfigurationFolder.create(tmp_path)
    path = spoiled.write()
    (tmp_path / name).chmod(0o646)

    assert "everyone may change it" in str(mistakes(path))


@pytest.mark.parametrize(
    ("ceiling", "problem"),
    [
        ("", "no policy"),
        ("{}", "no policy"),
        ('{"Version": "2012-10-17", "Statement": []}', "ceiling"),
        ('{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}', "allows nothing"),
        (
            '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}}',
            "Principal",
        ),
        ('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3"}}', "Resource"),
        ('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Action":"*","Resource":"*"}}', "at"),
        (" " * 262_145, "over 256 KiB"),
    ],
)
def test_a_ceiling_that_is_none_is_refused(tmp_path: Path, ceiling: str, problem: str) -> None:
    spoiled = ConfigurationFolder.create(tmp_path)
    (tmp_path / "ceilings/remit-reports.json").write_text(ceiling)

    found = mistakes(spoiled.write())

    assert problem in found["roles[0].ceiling_file"]


@pytest.mark.parametrize("content", ["", "\n", "two words", "line\nbreak", "naïve", "x" * 16_385])
def test_a_secret_file_holds_one_plain_line(tmp_path: Path, content: str) -> None:
    spoiled = ConfigurationFolder.create(tmp_path)
    (tmp_path / "secrets/aws-secret-access-key").write_text(content)
    keys = 'access_key_id = "AKIAIOSFODNN7EXAMPLE"\nsecret_access_key_file = "secrets/aws-secret-access-key"'

    found = mistakes(spoiled.write(TEXT.replace("[aws]", f"[aws]\n{keys}")))

    assert "one line of printable ASCII" in found["aws.secret_access_key_file"]
    assert "two words" not in str(found)


# --- the environment ---


@pytest.mark.parametrize(
    ("name", "value", "place", "text"),
    [
        ("REMIT__AWS__REGOIN", "x", "environment REMIT__AWS__REGOIN", "not a key"),
        ("REMIT__AWS", "x", "environment REMIT__AWS", "not a key"),
        ("REMIT__", "x", "environment REMIT__", "not a key"),
        ("REMIT__ISSUERS__0__ALIAS", "x", "environment REMIT__ISSUERS__0__ALIAS", "lists stand in the file"),
        ("REMIT__AWS__REGION__X", "x", "environment REMIT__AWS__REGION__X", "not a key"),
        ("REMIT__AWS__BURST", "many", "aws.burst (set by REMIT__AWS__BURST)", "whole number"),
        ("REMIT__AWS__REGION", "nowhere", "aws.region (set by REMIT__AWS__REGION)", "region"),
        ("REMIT__LISTEN__MTLS__ADDRESS", "x", "listen.mtls.address (set by REMIT__LISTEN__MTLS__ADDRESS)", "port"),
        ("REMIT__AWS__SECRET_ACCESS_KEY", "", "aws.secret_access_key", "is empty"),
        ("REMIT__AWS__SECRET_ACCESS_KEY", "abc", "aws.access_key_id", "other half"),
        ("GRPC_TRACE", "http", "environment GRPC_TRACE", "bearer token"),
        ("GRPC_VERBOSITY", "debug", "environment GRPC_VERBOSITY", "bearer token"),
    ],
)
def test_a_mistake_in_the_environment_is_told_with_its_variable(
    folder: ConfigurationFolder, name: str, value: str, place: str, text: str
) -> None:
    found = mistakes(folder.write(), {name: value})

    assert place in found, found
    assert text in found[place]


def test_the_environment_stands_above_the_file(folder: ConfigurationFolder) -> None:
    environment = {
        "REMIT__AWS__REGION": "eu-west-1",
        "REMIT__AWS__BURST": "7",
        "REMIT__LISTEN__REFLECTION": "true",
        "REMIT__LIMITS__CONCURRENT_CALLS": "9",
        "REMIT__FORBIDDEN__ACTIONS": '["s3:DeleteBucket"]',
        "REMIT__AWS__ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "REMIT__AWS__SECRET_ACCESS_KEY": "from-the-environment",
    }

    settings = load(folder.write(), environment)

    assert (settings.aws.region, settings.aws.burst, settings.limits.concurrent_calls) == ("eu-west-1", 7, 9)
    assert settings.reflection is True
    assert [str(action) for action in settings.forbidden_extra] == ["s3:DeleteBucket"]
    assert settings.aws.secret_access_key is not None
    assert settings.aws.secret_access_key.reveal() == "from-the-environment"
    assert settings.roles[0].region == "eu-west-1"


def test_one_secret_has_one_source(folder: ConfigurationFolder) -> None:
    keys = 'access_key_id = "AKIAIOSFODNN7EXAMPLE"\nsecret_access_key_file = "secrets/aws-secret-access-key"'
    path = folder.write(TEXT.replace("[aws]", f"[aws]\n{keys}"))

    found = mistakes(path, {"REMIT__AWS__SECRET_ACCESS_KEY": "another"})

    assert "keep one" in found["aws.secret_access_key_file"]


# --- what a right configuration becomes ---


def test_a_right_configuration_has_the_defaults_of_its_settings(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(), {})

    issuer = settings.issuers[0]
    assert settings.aws == AwsSettings(region="eu-central-1")
    assert settings.limits == LimitSettings()
    assert settings.database_url == f"sqlite:///{folder.folder}/data/remit.db"
    assert settings.policy.bundle == folder.folder / "policies"
    assert settings.spiffe_trust_domains == {"acme.example"}
    assert [listener.client_ca_file is not None for listener in settings.listeners] == [True, False]
    assert (issuer.profile, issuer.binding, issuer.leeway) == (
        ClaimProfile.GENERIC,
        Binding.REQUIRED,
        timedelta(seconds=30),
    )
    assert issuer.allowed_hosts == {"login.acme.example"}
    assert settings.agents[1].subject == "reporter-service"
    assert settings.roles[0].max_session == timedelta(hours=1)
    assert settings.reflection is False


def test_secrets_come_from_their_files_and_are_never_shown(folder: ConfigurationFolder) -> None:
    keys = """access_key_id = "AKIAIOSFODNN7EXAMPLE"
        secret_access_key_file = "secrets/aws-secret-access-key"
        session_token_file = "secrets/aws-session-token"
        """
    text = TEXT.replace("[aws]", f"[aws]\n{keys}").replace(DATA, f'{DATA}"\nexternal_id_file = "secrets/external-id')

    settings = load(folder.write(text), {})

    assert settings.aws.secret_access_key is not None
    assert settings.aws.session_token is not None
    assert settings.aws.secret_access_key.reveal() == "value-of-aws-secret-access-key"
    assert settings.aws.session_token.reveal() == "value-of-aws-session-token"
    assert settings.roles[1].external_id is not None
    assert settings.roles[1].external_id.reveal() == "value-of-external-id"
    assert "value-of" not in repr(settings)


def test_the_hours_of_a_user_are_longer_than_those_of_a_chained_role(folder: ConfigurationFolder) -> None:
    text = TEXT.replace(DATA, f'{DATA}"\nassumed_by = "user"\nmax_session_seconds = 43200 #')

    settings = load(folder.write(text), {})

    assert settings.roles[1].max_session == timedelta(hours=12)


def test_an_endpoint_on_loopback_may_be_http(folder: ConfigurationFolder) -> None:
    text = TEXT.replace("[aws]", '[aws]\nendpoint_url = "http://127.0.0.1:4566"')

    assert load(folder.write(text), {}).aws.endpoint_url == "http://127.0.0.1:4566"


def test_an_issuer_that_carries_the_actor_needs_no_agents(folder: ConfigurationFolder) -> None:
    text = TEXT[: TEXT.index("[[agents]]")] + TEXT[TEXT.index("[[roles]]") :]
    text = text.replace("actors = true", 'profile = "gitlab_ci"\ncarries_actor = "project_path"')

    assert load(folder.write(text), {}).agents == ()


# --- the digests ---


def test_the_digest_follows_the_file_the_environment_and_the_ceilings(tmp_path: Path) -> None:
    folder = ConfigurationFolder.create(tmp_path)
    first = load(folder.write(), {})
    again = load(folder.write(), {"UNRELATED": "1"})
    other_file = load(folder.write(TEXT + "# a remark\n"), {})
    other_environment = load(folder.write(), {"REMIT__AWS__BURST": "7"})
    ceiling = tmp_path / "ceilings/remit-reports.json"
    ceiling.write_text(json.dumps(json.loads(ceiling.read_text()) | {"Id": "same"}).replace("s3:PutObject", "s3:Get*"))
    ceiling.write_text(ceiling.read_text().replace(', "Id": "same"', ""))
    other_ceiling = load(folder.write(), {})

    digests = [item.digest for item in (first, other_file, other_environment, other_ceiling)]
    assert again.digest == first.digest
    assert len(set(digests)) == 4
    assert first.ceilings_digest == other_file.ceilings_digest != other_ceiling.ceilings_digest


def test_the_ceilings_digest_follows_the_floor(folder: ConfigurationFolder) -> None:
    plain = load(folder.write(), {})
    longer = load(folder.write(TEXT + '[forbidden]\nactions = ["s3:DeleteBucket"]\n'), {})
    text = TEXT.replace(DATA, f'{DATA}"\nreopened = ["ecr:GetAuthorizationToken"] #')
    reopened = load(folder.write(text), {})

    assert len({plain.ceilings_digest, longer.ceilings_digest, reopened.ceilings_digest}) == 3


def test_a_secret_in_the_environment_is_in_no_digest(folder: ConfigurationFolder) -> None:
    keys = {"REMIT__AWS__ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}
    one = load(folder.write(), keys | {"REMIT__AWS__SECRET_ACCESS_KEY": "one"})
    other = load(folder.write(), keys | {"REMIT__AWS__SECRET_ACCESS_KEY": "other"})

    assert one.digest == other.digest


def test_a_postgresql_url_stays_as_it_is_and_its_password_in_its_file(folder: ConfigurationFolder) -> None:
    text = TEXT.replace(
        "sqlite:///data/remit.db", f"postgresql://remit@db.example/remit?sslrootcert={folder.folder}/tls/agents-ca.pem"
    ).replace("[database]", '[database]\npassword_file = "secrets/external-id"')

    settings = load(folder.write(text), {})

    assert settings.database_url.startswith("postgresql://remit@db.example/remit?")
    assert settings.database_password_file == folder.folder / "secrets/external-id"
