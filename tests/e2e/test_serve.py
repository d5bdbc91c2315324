"""`remit-server` as an operator runs it."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.e2e.gateways import Q3, changed, client, issue_request, own_gateway, raw_stub
from tests.e2e.sts_relay import sts_relay
from tests.e2e.watched import BIN, plain_environment

from remit_sandbox.certificates import KeyPair
from remit_sandbox.configuration import sample_policies
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import events

# Not among them: pydantic, which typer itself loads where it is there.
HEAVY = ("grpc", "botocore", "sqlalchemy", "alembic", "regorus", "cryptography", "aiohttp", "jwt", "protovalidate")


def remit_server(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `remit-server` to its end."""
    return subprocess.run(  # noqa: S603 - the program under test
        [str(BIN / "remit-server"), *arguments],
        env=plain_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_configuration_is_refused_with_every_mistake(tmp_path: Path) -> None:
    wrong = TEXT.replace('algorithms = ["ES256"]', 'algorithms = ["none"]').replace(
        'address = "127.0.0.1:8443"', 'address = "everywhere"'
    )
    config = ConfigurationFolder.create(tmp_path).write(f"{wrong}\n[extra]\nkey = 1\n")

    done = remit_server("serve", "--config", str(config))

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"the gateway did not start: {config} has ")
    for place in ("issuers[1].algorithms", "listen.mtls.address", "extra"):
        assert place in done.stderr
    assert done.stderr.count("Mend: ") >= 3
    assert "Traceback" not in done.stderr


@pytest.fixture
def taken_port() -> Iterator[str]:
    """An address that somebody else listens on: a gateway that tries to open it says so."""
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        yield f"127.0.0.1:{held.getsockname()[1]}"


def written(sandbox: Sandbox, folder: Path, mtls: str, **values: str) -> str:
    """Writes the sandbox's configuration with another address and other values and returns its path."""
    config = folder / "remit.toml"
    text = changed(sandbox, {"url": f"sqlite:///{folder / 'ledger.sqlite3'}", **values})
    config.write_text(text.replace(f'"{sandbox.mtls}"', f'"{mtls}"').replace(f'"{sandbox.bearer}"', '"127.0.0.1:0"'))
    config.chmod(0o600)
    return str(config)


def test_a_taken_address_is_told(sandbox: Sandbox, tmp_path: Path, taken_port: str) -> None:
    """The counterpart of the next test: there it is the bundle that is told, so the port was not even tried."""
    done = remit_server("serve", "--config", written(sandbox, tmp_path, taken_port))

    assert done.returncode == 2
    assert taken_port in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tampered_bundle_is_refused_before_a_port_is_opened(
    sandbox: Sandbox, tmp_path: Path, taken_port: str
) -> None:
    bundle = shutil.copytree(sample_policies(), tmp_path / "policies")
    rules = bundle / "remit/issue/issue.rego"
    rules.write_text(rules.read_text().replace("if count(reasons) == 0", "if count(reasons) >= 0", 1))
    config = written(sandbox, tmp_path, taken_port, bundle=str(bundle))

    done = remit_server("serve", "--config", config)

    assert done.returncode == 2
    assert ".manifest" in done.stderr
    assert taken_port not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ledger.sqlite3").exists()


def test_grpcs_tracer_keeps_the_gateway_from_starting(sandbox: Sandbox, tmp_path: Path, taken_port: str) -> None:
    config = written(sandbox, tmp_path, taken_port)

    done = remit_server("serve", "--config", config, GRPC_TRACE="http")

    assert done.returncode == 2
    assert "environment GRPC_TRACE: is set" in done.stderr
    assert taken_port not in done.stderr


def test_the_sandboxs_own_configuration_is_right(sandbox: Sandbox) -> None:
    done = remit_server("config", "check", "--config", str(sandbox.config))

    assert done.returncode == 0, done.stderr
    assert sandbox.mtls in done.stdout
    assert sandbox.account.gateway_keys.secret_access_key not in done.stdout


@pytest.mark.parametrize("command", [["--help"], ["serve", "--help"], ["audit", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys, json\n"
        f"sys.argv = ['remit-server', *{command!r}]\n"
        "from remit_server.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    print(json.dumps([end.code, sorted(sys.modules)]))\n"
    )

    done = subprocess.run(  # noqa: S603 - the program under test, in an interpreter that can be asked
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain_environment()
    )

    code_, modules = json.loads(done.stdout.splitlines()[-1])
    assert code_ == 0
    assert [name for name in HEAVY if name in modules] == []


def is_open(address: str) -> bool:
    """Says whether the address takes new connections."""
    host, _, port = address.partition(":")
    with closing(socket.socket()) as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_a_stop_lets_the_call_that_runs_end(sandbox: Sandbox, alice_token: str, tmp_path: Path) -> None:
    with (
        sts_relay(sandbox.aws.endpoint_url) as relay,
        own_gateway(sandbox, tmp_path, {"endpoint_url": relay.url}) as own,
    ):
        with raw_stub(sandbox, own.mtls, sandbox.agents["copilot"]) as stub:
            relay.hold_after(0)
            call = stub.IssueCredentials.future(issue_request(alice_token), timeout=60)
            relay.wait_until_held(1)
            own.process.terminate()
            while is_open(own.mtls):
                pass
            relay.release()
            answer = call.result()
        code = own.process.wait(60)

    assert code == 0
    assert answer.credentials.access_key_id.startswith("ASIA")
    kinds = [event.kind for event in events(tmp_path / "ledger.sqlite3")]
    started = ["revision_published", "revision_activated", "gateway_started"]
    assert kinds == [*started, "task_started", "grant_authorized", "credentials_issued"]


def served_certificate(sandbox: Sandbox, address: str) -> bytes:
    """Returns the certificate that the bearer listener shows to a new connection, in DER."""
    context = sandbox.authority.trust()
    context.set_alpn_protocols(["h2"])
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        found = secured.getpeercert(binary_form=True)
    assert found is not None
    return found


def in_der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate_path.read_text())


def test_certificates_are_rotated_without_a_restart(sandbox: Sandbox, alice_token: str, tmp_path: Path) -> None:
    def placed(pair: KeyPair, what: str) -> None:
        """Puts a file in its place at once, as whoever rotates certificates does."""
        source = pair.certificate_path if what == "pem" else pair.key_path
        fresh = tmp_path / f"fresh.{what}"
        shutil.copy(source, fresh)
        fresh.replace(tmp_path / f"gateway.{what}")

    first = sandbox.authority.issue_server(["localhost", "127.0.0.1", "first"])
    for what in ("pem", "key"):
        placed(first, what)
    first_der = in_der(first)
    files = {"certificate_file": str(tmp_path / "gateway.pem"), "key_file": str(tmp_path / "gateway.key")}
    with own_gateway(sandbox, tmp_path, files) as own, client(sandbox, own.mtls) as gateway:
        gateway.preview("summarise Q3", subject_token=alice_token, allow=Q3)
        assert served_certificate(sandbox, own.bearer) == first_der
        second = sandbox.authority.issue_server(["localhost", "127.0.0.1", "second"])

        placed(second, "pem")
        assert served_certificate(sandbox, own.bearer) == first_der  # half-way: the key does not belong to it yet
        placed(second, "key")
        while served_certificate(sandbox, own.bearer) == first_der:
            gateway.preview("summarise Q3", subject_token=alice_token, allow=Q3)
        assert served_certificate(sandbox, own.bearer) == in_der(second)

        gateway.preview("summarise Q3", subject_token=alice_token, allow=Q3)
        with client(sandbox, own.mtls) as another:
            another.preview("summarise Q3", subject_token=alice_token, allow=Q3)
