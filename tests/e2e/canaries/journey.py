"""One gateway's life as the canary test goes through it: what is secret, and what everybody shows on the way."""

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.e2e.canaries.traces import Canaries, private_part
from tests.e2e.gateways import OwnGateway, Started
from tests.e2e.machines import Machine
from tests.e2e.sts_relay import StsRelay
from tests.e2e.test_attacks_on_operators import reason_of
from typer.testing import CliRunner

import remit
from remit_sandbox.sandbox import Sandbox
from remit_server.cli.main import app

EXTENDED = os.environ.get("REMIT_EXTENDED") == "1"
_HELD = ("botocore", "urllib3", "boto3", "grpc", "asyncio", "mcp", "httpx", "httpcore")
CANARY = "canary-0123456789-abcdefghijklmnopqrstuvwxyz-9876543210"
_ROOT = Path(__file__).parents[3]
OURS = str(Path(remit.__file__).parent)


class Kept(logging.Handler):
    """Keeps what this process logs, at every level: it is the client, and the operator's commands."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass
class Journey:
    """What was handed over, and by sink what was shown."""

    sandbox: Sandbox
    own: OwnGateway
    relay: StsRelay
    machine: Machine
    canaries: Canaries
    shown: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    traces: list[bytes] = field(default_factory=list)
    logged: Kept = field(default_factory=Kept)
    reasons: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    ended: list[tuple[str, float]] = field(default_factory=list)
    transmitter: Any = None
    collected: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def token(self, user: str = "alice", client_id: str = "copilot", **more: Any) -> str:
        """Returns a fresh user token, noted as a secret."""
        return self.secret(self.sandbox.issuer.token(user, client_id=client_id, **more), "a user's token")

    def tampered(self) -> str:
        """Returns a token whose signature does not hold."""
        return self.secret(f"{self.token()[:-12]}{'A' * 12}", "a user's token")

    def operator(self, user: str = "bob") -> str:
        """Returns a fresh operator's token."""
        return self.secret(self.sandbox.issuer.operator_token(user), "an operator's token")

    def knows(self) -> None:
        """Notes what lies in the sandbox's files for every gateway: its keys and those of the agents."""
        self.secret(self.sandbox.account.gateway_keys.secret_access_key, "the gateway's AWS key")
        for pair in self.sandbox.agents.values():
            self.secret(private_part(pair.key_path.read_text()), "an agent's key")

    def secret(self, value: str, what: str) -> str:
        """Notes a secret and returns it."""
        return self.canaries.note(value, what)

    def holds(self, credentials: Any) -> None:
        """Notes credentials."""
        self.secret(credentials.secret_access_key, "a secret access key")
        self.secret(credentials.session_token, "a session token")

    def shows(self, *things: object) -> None:
        """Keeps how things look."""
        self.shown += [text for thing in things for text in (repr(thing), str(thing))]

    def fails(self, work: Callable[[], object], *, misused: bool = False) -> None:
        """Does what the gateway refuses, and keeps everything that the failure shows.

        Where a call is `misused`, a token is given as something else: the variables then hold it, and no text may.
        """
        with pytest.raises((remit.RemitError, grpc.RpcError)) as raised:
            work()
        self.shows_failure(raised.value, misused=misused)

    def shows_failure(self, error: Exception, *, misused: bool = False) -> None:
        """Keeps a failure: its texts, and the variables of our own frames, as tools show them."""
        self.reasons.add(error.reason if isinstance(error, remit.RemitError) else reason_of(error))
        self.shown += [str(error), repr(error)]
        if misused:
            return
        self.shown += [text for cause in _chain(error) for text in _our_frames(cause)]

    def remit_server(self, *words: str, token: str | None = None, answer: str = "") -> int:
        """Runs a command of the gateway's, as an operator where a token is given; returns its exit code."""
        connection: list[str] = []
        if token is not None:
            file = self.machine.folder / "operator"
            file.write_text(token)
            connection = ["--gateway", self.own.bearer, "--ca-file", str(self.sandbox.authority.bundle_path)]
            connection += ["--token-file", str(file)]
        done = CliRunner().invoke(app, [*words, *connection], input=answer)
        self.printed.append(done.output)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            self.shows_failure(Exception(str(done.exception)))
        self.commands.add(f"remit-server {_command(words)}")
        self.ended.append((" ".join(words)[:100], done.exit_code))
        return done.exit_code

    def remit(self, *words: str, secret_output: bool = False, **environ: str) -> int:
        """Runs a command of the client's on the machine; what hands credentials over on purpose is not kept."""
        done = self.machine.remit(*words, **environ)
        self.printed.append(done.stderr + ("" if secret_output else done.stdout))
        self.commands.add(f"remit {' '.join(words[:2]) if words[0] == 'endpoint' else words[0]}")
        self.ended.append((" ".join(words)[:100], done.returncode))
        return done.returncode


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _our_frames(error: BaseException) -> list[str]:
    """Returns the client's own frames with their variables: those of others may be large, a journey's above all."""
    ours = [one for one in traceback.walk_tb(error.__traceback__) if one[0].f_code.co_filename.startswith(OURS)]
    return traceback.StackSummary.extract(iter(ours), capture_locals=True).format()


def _command(words: tuple[str, ...]) -> str:
    """Returns the names of the command: the words before its first option or argument."""
    groups = {"policy", "audit", "grants", "aws", "approvals", "events", "database", "issuer", "config"}
    if words[:2] == ("policy", "shadow"):
        return " ".join(words[:3])
    return " ".join(words[:2] if words[0] in groups else words[:1])


def gone_through(journey: Journey, gateway: remit.Gateway, path: Callable[[Journey, remit.Gateway], None]) -> None:
    """Goes through one path; a surprise on it is told when all are done."""
    try:
        began = time.monotonic()
        path(journey, gateway)
        journey.ended.append((path.__name__, round(time.monotonic() - began, 1)))
    except Exception:  # noqa: BLE001 - the other paths are gone through all the same
        journey.failed.append(f"{path.__module__}.{path.__name__}: {traceback.format_exc()[-1500:]}")


def note_answers(journey: Journey) -> None:
    """Notes what STS has given, heard of or not."""
    for answer in journey.relay.answers:
        for name, what in ((b"SecretAccessKey", "a secret access key"), (b"SessionToken", "a session token")):
            _, begins, rest = answer.partition(b"<%s>" % name)
            if begins:
                journey.secret(rest.partition(b"</")[0].decode(), what)


def loud_gateway(folder: Path) -> Started:
    """Returns how a gateway is started that logs at DEBUG, and dumps its stacks when it crashes."""
    (folder / "tmp").mkdir()
    environ = {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(_ROOT), "PYTHONFAULTHANDLER": "1"}
    return Started("tests.e2e.canaries.loudly.loud", environ, folder / "stdout")


@contextmanager
def everything_logged(kept: Kept) -> Iterator[None]:
    """Has every logger of this process say all it has to say, but those that the gateway and the client hold down.

    httpx is held down too: it is a person's browser here. In the processes of the machines it is as loud as the rest.
    """
    root = logging.getLogger()
    before = root.level
    held = {
        name: logging.getLogger(name).level
        for name in ("botocore", "urllib3", "boto3", "grpc", "asyncio", "mcp", "httpx", "httpcore")
    }
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    for name in held:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(kept)
        root.setLevel(before)
        for name, level in held.items():
            logging.getLogger(name).setLevel(level)
