"""What a configuration says about the gateway's own figures and traces."""

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import HttpListenerSettings
from remit_server.config.telemetry.settings import Callers

TLS = 'certificate_file = "tls/server.pem"\nkey_file = "tls/server.key"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("telemetry"))


def with_metrics(lines: str) -> str:
    return TEXT.replace("[[issuers]]", f"[listen.metrics]\n{lines}\n[[issuers]]", 1)


def test_without_the_table_nobody_is_told_figures(folder: ConfigurationFolder) -> None:
    assert load(folder.write(), {}).metrics is None


def test_on_loopback_figures_need_nothing_else(folder: ConfigurationFolder) -> None:
    metrics = load(folder.write(with_metrics('address = "127.0.0.1:9464"')), {}).metrics

    assert metrics is not None
    assert metrics.listener == HttpListenerSettings("127.0.0.1:9464", None, "listen.metrics")
    assert metrics.token is None


def test_elsewhere_a_scraper_shows_a_token(folder: ConfigurationFolder) -> None:
    lines = f'address = "0.0.0.0:9464"\n{TLS}\ntoken_file = "secrets/metrics-token"'

    metrics = load(folder.write(with_metrics(lines)), {}).metrics

    assert metrics is not None
    assert metrics.token is not None
    assert metrics.token.reveal() == "value-of-metrics-token"
    assert "value-of-metrics-token" not in repr(metrics)


@pytest.mark.parametrize(
    ("lines", "place", "problem"),
    [
        ("", "listen.metrics.address", "is missing"),
        ('address = "everywhere"', "listen.metrics.address", "host and port"),
        ('address = "127.0.0.1:8444"', "listen.metrics.address", "is that of listen.bearer"),
        ('address = "0.0.0.0:9464"', "listen.metrics.address", "not on loopback"),
        ('address = "0.0.0.0:9464"\ntoken_file = "secrets/metrics-token"', "listen.metrics.address", "not on loopback"),
        (f'address = "0.0.0.0:9464"\n{TLS}', "listen.metrics.token_file", "missing off loopback"),
        ('address = "127.0.0.1:1"\ntoken = "in-the-file"', "listen.metrics.token", "secret in the file"),
        ('address = "127.0.0.1:1"\ntoken_file = "none"', "listen.metrics.token_file", "cannot be read"),
    ],
)
def test_a_wrong_listener_of_figures_is_refused(
    folder: ConfigurationFolder, lines: str, place: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(folder.write(with_metrics(lines)), {})

    assert any(mistake.place == place and problem in mistake.problem for mistake in raised.value.mistakes)


def with_tracing(lines: str) -> str:
    return f"{TEXT}\n[tracing]\n{lines}\n"


def test_without_the_table_nothing_is_traced(folder: ConfigurationFolder) -> None:
    assert load(folder.write(), {}).tracing is None


def test_traces_go_where_they_are_told_to(folder: ConfigurationFolder) -> None:
    lines = 'endpoint = "https://collector.acme.example:4318/"\nca_file = "tls/issuer-ca.pem"\nshare = 1.0'

    tracing = load(folder.write(with_tracing(f'{lines}\ntoken_file = "secrets/collector-token"\n')), {}).tracing

    assert tracing is not None
    assert tracing.endpoint == "https://collector.acme.example:4318"
    assert (tracing.share, tracing.callers) == (1.0, Callers.LINK)
    assert tracing.token is not None
    assert "value-of-collector-token" not in repr(tracing)


@pytest.mark.parametrize(
    ("lines", "place", "problem"),
    [
        ("", "tracing.endpoint", "is missing"),
        ('endpoint = "http://collector.acme.example:4318"', "tracing.endpoint", "must be https"),
        ('endpoint = "https://collector.acme.example/v1/traces"', "tracing.endpoint", "no path"),
        ('endpoint = "https://user:word@collector.acme.example"', "tracing.endpoint", "plain host"),
        ('endpoint = "http://127.0.0.1:4318"\nshare = 0', "tracing.share", "must be"),
        ('endpoint = "http://127.0.0.1:4318"\nshare = 1.5', "tracing.share", "at most 1"),
        ('endpoint = "http://127.0.0.1:4318"\ncallers = "root"', "tracing.callers", "must be one of"),
        ('endpoint = "http://127.0.0.1:4318"\ntoken = "a"', "tracing.token", "secret in the file"),
    ],
)
def test_a_wrong_table_of_traces_is_refused(folder: ConfigurationFolder, lines: str, place: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(folder.write(with_tracing(lines)), {})

    assert any(mistake.place == place and problem in mistake.problem for mistake in raised.value.mistakes)
