"""Gateways that a test may stop, kill and reconfigure: real processes beside the sandbox's own one."""

import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
from tests.e2e.sts_relay import sts_relay
from tests.e2e.watched import plain_environment

import remit
from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_sandbox import tethered
from remit_sandbox.certificates import KeyPair
from remit_sandbox.revocation_policies import REVOKER
from remit_sandbox.sample_account import ACCOUNT_ID
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.aws.revoking.revoker import RevocationNames
from remit_server.adapters.aws.setup.policies import revoker_rights
from remit_server.application.revocation.texts import policy_text

_SERVING = re.compile(
    r'"serving on (?P<mtls>[0-9.:]+)(?:, (?P<bearer>[0-9.:]++)(?! \())?(?:, (?P<http>[0-9.:]+) \(HTTP\))?'
    r"(?:, (?P<metrics>[0-9.:]+) \(metrics\))? under"
)
START_SECONDS = 100.0
LEDGER_DOES_NOT_GET_ON = "The gateway cannot record this now, so it issues nothing: try again.\n"
PLENTY = dict.fromkeys(("requests_per_minute", "previews_per_minute", "requests_per_minute_per_subject"), 100_000)
Q3 = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")


def changed(sandbox: Sandbox, values: Mapping[str, str], more: Mapping[str, Mapping[str, object]] | None = None) -> str:
    """Returns the sandbox's configuration with other values, and with more keys in its tables.

    Another ledger has revocation policies of its own; a bundle server stands in the folder's place.
    """
    text = sandbox.config.read_text()
    for key, value in values.items():
        line = f"{key} = {json.dumps(value)}"
        text, count = re.subn(rf"(?m)^{key} = .*$", line.replace("\\", r"\\"), text)
        assert count, key
    if "policy.bundle_server" in (more or {}):
        text = re.sub(r"(?m)^bundle = .*\n", "", text)
    own = {"revocation": {"policy_prefix": own_policies(sandbox, values["url"])}} if "url" in values else {}
    for table, keys in {**own, **(more or {})}.items():
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        header = f"[{table}]\n"
        text = text.replace(header, header + lines) if header in text else f"{text}\n{header}{lines}"
    return text


def own_policies(sandbox: Sandbox, ledger: str) -> str:
    """Gives a ledger revocation policies of its own, as two on one account need; returns their prefix."""
    letters = "".join(chr(ord("a") + byte % 26) for byte in sha256(ledger.encode()).digest()[:12])
    prefix = f"remit-{letters}-revocations"
    arns = RevocationNames(policy_prefix=prefix).policy_arns("aws", ACCOUNT_ID)
    iam = sandbox.aws.client("iam")
    for arn in arns:
        with suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_policy(PolicyName=arn.rpartition("/")[2], PolicyDocument=policy_text([]))
            for role in sandbox.account.role_arns:
                iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    rights = json.dumps(revoker_rights(arns))
    iam.put_role_policy(RoleName=REVOKER, PolicyName=prefix, PolicyDocument=rights)
    return prefix


@dataclass
class OwnGateway:
    """A gateway process; `mtls`, `bearer`, `http` and `metrics` are its addresses once it serves, where it has them."""

    process: subprocess.Popen[str]
    log_path: Path
    mtls: str = ""
    bearer: str = ""
    http: str = ""
    metrics: str = ""
    _said: threading.Event = field(default_factory=threading.Event)
    _heard: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._heard.set()

    def wait_until_serving(self) -> None:
        """Returns once it listens, or fails with what it said."""
        assert self._said.wait(START_SECONDS), "the gateway said nothing"
        assert self.mtls, self.log_path.read_text()

    def is_to_be_started_again(self) -> bool:
        """Says whether it has ended as its ledger did not get on, which an operator's supervisor would start it for."""
        assert self._said.wait(START_SECONDS), "the gateway said nothing"
        return not self.mtls and self.log_path.read_text().endswith(LEDGER_DOES_NOT_GET_ON)

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait(START_SECONDS)

    def stop(self) -> int:
        """Asks it to stop and returns its exit code."""
        self.process.terminate()
        return self.process.wait(START_SECONDS)

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Has nobody take what it says until the end of the block."""
        self._heard.clear()
        try:
            yield
        finally:
            self._heard.set()

    def keep_log(self) -> None:
        """Writes what it says to its log file until it ends."""
        assert self.process.stderr is not None
        with self.log_path.open("a") as log:
            for line in self.process.stderr:
                self._heard.wait()
                log.write(line)
                log.flush()
                if (found := _SERVING.search(line)) is not None:
                    self.mtls, self.bearer, self.http = found["mtls"], found["bearer"] or "", found["http"] or ""
                    self.metrics = found["metrics"] or ""
                    self._said.set()
        self._said.set()


@dataclass(frozen=True, slots=True)
class Started:
    """How a gateway's process is started: by which module, with which variables besides, and where it prints."""

    module: str = "remit_server"
    environ: Mapping[str, str] = field(default_factory=dict)
    printed: Path = Path(os.devnull)


@contextmanager
def own_gateway(
    sandbox: Sandbox,
    folder: Path,
    values: Mapping[str, str] | None = None,
    more: Mapping[str, Mapping[str, object]] | None = None,
    options: Sequence[str] = (),
    *,
    started: Started = Started(),
) -> Iterator[OwnGateway]:
    """Runs a gateway on free ports whose ledger, configuration and log are in the folder; `values` as in `changed`.

    It reaches STS through a relay that logs its calls (invariant I3), its own one unless `values` name another.
    """
    if "endpoint_url" not in (values or {}):
        with (
            sts_relay(sandbox.aws.endpoint_url) as relay,
            own_gateway(
                sandbox, folder, {**(values or {}), "endpoint_url": relay.url}, more, options, started=started
            ) as gateway,
        ):
            yield gateway
        return
    usual = {"address": "127.0.0.1:0", "url": f"sqlite:///{folder / 'ledger.sqlite3'}"}
    config = folder / "remit.toml"
    config.write_text(changed(sandbox, {**usual, **(values or {})}, {"limits": PLENTY, **(more or {})}))
    config.chmod(0o600)
    with gateway_process(config, folder / "gateway.log", options, started=started) as gateway:
        yield gateway


@contextmanager
def gateway_process(
    config: Path,
    log: Path,
    options: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    started: Started = Started(),
) -> Iterator[OwnGateway]:
    """Runs the gateway that a configuration describes, with some variables more, until the end of the block.

    On a disk that many use a record may take longer than a gateway waits: such a start is tried again, once.
    """
    variables = {**plain_environment(started.environ), **(environment or {})}
    command = [sys.executable, tethered.__file__, started.module, "serve", "--config", str(config), *options]
    with _process(command, log, variables, started.printed) as gateway:
        if not gateway.is_to_be_started_again():
            gateway.wait_until_serving()
            yield gateway
            return
    with _process(command, log, variables, started.printed) as gateway:
        gateway.wait_until_serving()
        yield gateway


@contextmanager
def _process(command: Sequence[str], log: Path, environment: Mapping[str, str], output: Path) -> Iterator[OwnGateway]:
    """Starts a gateway, and stops it at the end of the block where it has not ended."""
    with (
        output.open("ab") as printed,
        subprocess.Popen(  # noqa: S603 - the gateway itself
            command,
            stdin=subprocess.PIPE,  # its tether: it ends when this test run does
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process,
    ):
        gateway = OwnGateway(process, log)
        reader = threading.Thread(target=gateway.keep_log)
        reader.start()
        try:
            yield gateway
        finally:
            if process.poll() is None:
                gateway.stop()
            reader.join()


def client(sandbox: Sandbox, target: str, pair: KeyPair | None = None, **options: Any) -> remit.Gateway:
    """Returns the real client of an agent with this key pair, or a bearer token, or else of the copilot."""
    pair = pair or sandbox.agents["copilot"]
    files = {"certificate_file": pair.certificate_path, "key_file": pair.key_path}
    proof = {} if "bearer_token" in options else files
    return remit.Gateway(target, **{"ca_file": sandbox.authority.bundle_path} | proof | options)


@contextmanager
def raw_stub(sandbox: Sandbox, target: str, pair: KeyPair | None = None) -> Iterator[CredentialServiceStub]:
    """Gives the generated stub, for what the client would not do; without a key pair no certificate is shown."""
    credentials = grpc.ssl_channel_credentials(
        sandbox.authority.bundle_path.read_bytes(),
        pair.key_path.read_bytes() if pair else None,
        pair.certificate_path.read_bytes() if pair else None,
    )
    # A pool of its own: channels with equal arguments would share one connection.
    with grpc.secure_channel(target, credentials, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        yield CredentialServiceStub(channel)


def issue_request(token: str, **fields: Any) -> messages.IssueCredentialsRequest:
    """Returns a raw request to read the third quarter; `fields` replace its own."""
    capability = types_pb2.Capability(name=Q3.name, parameters=dict(Q3.parameters))
    usual: dict[str, Any] = {
        "request_id": str(uuid.uuid4()),
        "subject_token": token,
        "intent": types_pb2.TaskIntent(purpose="summarise Q3", capabilities=[capability]),
    }
    return messages.IssueCredentialsRequest(**{**usual, **fields})
