"""What a client in another language is tested in: the sandbox's addresses and files, and a desk to ask for the rest.

The desk is a loopback HTTP server: a test of that client posts JSON arguments to `/name` and is answered with JSON. It
signs users in, revokes and approves by the real commands, kills the gateway of short credentials, and reads the ledger:
what only this side may do.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.gateways import OwnGateway, own_gateway
from tests.e2e.test_crash import bodies
from tests.e2e.watched import plain_environment
from tests.policy_bundles import DEFAULT_POLICIES
from tests.policy_revisions import sample_with

from remit_sandbox.certificates import KeyPair
from remit_sandbox.issuer import TOKEN_LIFETIME
from remit_sandbox.sandbox import Sandbox

TABLE = Path(__file__).parents[1] / "clients" / "behaviours.json"
BRIEF_SECONDS = 18
_CATALOGUE = "remit/catalog/entitlements/data.yaml"
_NOBODY = "127.0.0.1:1"


def rows() -> dict[str, str]:
    """Returns the behaviour table: ids and claims."""
    return {row["id"]: row["claim"] for row in json.loads(TABLE.read_text())}


@dataclass(frozen=True)
class Desk:
    """Does what is asked; each method's arguments are the JSON members that it takes."""

    sandbox: Sandbox
    folder: Path
    brief: OwnGateway

    def token(self, user: str, client_id: str = "copilot", *, age: int = 0) -> str:
        """Signs a user in to an agent, so many seconds ago: the token is good for half an hour."""
        issued = int(time.time()) - age
        lifetime = int(TOKEN_LIFETIME.total_seconds())
        return self.sandbox.issuer.token(user, client_id=client_id, iat=issued, exp=issued + lifetime)

    def agent_token(self, agent: str) -> str:
        """Returns an agent's own token."""
        return self.sandbox.issuer.agent_token(agent)

    def revoke(self, task_id: str) -> str:
        """Has bob of the security team revoke a task."""
        return self._commanded("grants", "revoke", "--task", task_id, "--why", "a drill", "--yes")

    def approve(self, approval: str, digest: str) -> str:
        """Has bob approve what an agent asked for."""
        return self._commanded("approvals", "approve", approval, "--digest", digest)

    def kill_brief(self) -> bool:
        """Ends the gateway of short credentials as a power cut would."""
        self.brief.kill()
        return True

    def has_lease(self, task_id: str) -> bool:
        """Says whether a task was given a lease."""
        return any(body["task_id"] == task_id for body in bodies(self.sandbox.database, "lease_taken"))

    def end_of(self, task_id: str) -> str | None:
        """Returns why a task ended; nothing while it goes on."""
        ended = {body["task_id"]: body["cause"] for body in bodies(self.sandbox.database, "task_ended")}
        return ended.get(task_id)

    def _commanded(self, *command: str) -> str:
        token = self.folder / "bob.token"
        token.write_text(self.sandbox.issuer.operator_token("bob"))
        token.chmod(0o600)
        where = ("--gateway", self.sandbox.bearer, "--ca-file", str(self.sandbox.authority.bundle_path))
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "remit_server", *command, *where, "--token-file", str(token)],
            env=plain_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout


@contextmanager
def client_world(sandbox: Sandbox, folder: Path, more: Mapping[str, object] | None = None) -> Iterator[Path]:
    """Gives the path of a file that tells another language's tests where everything is, and more (JSON, mode 0600)."""
    brief = {"bundle": str(brief_policies(folder / "brief-policies"))}
    ledger = folder / "brief"
    ledger.mkdir()
    with own_gateway(sandbox, ledger, brief) as gateway, _serving(Desk(sandbox, folder, gateway)) as desk:
        world = folder / "world.json"
        world.write_text(json.dumps({**_told(sandbox, gateway, desk), **(more or {})}))
        world.chmod(0o600)
        yield world


def _told(sandbox: Sandbox, brief: OwnGateway, desk: str) -> Mapping[str, object]:
    """Returns what the file tells."""
    return {
        "desk": desk,
        "mtls": sandbox.mtls,
        "bearer": sandbox.bearer,
        "brief": brief.mtls,
        "brief_seconds": BRIEF_SECONDS,
        "nobody": _NOBODY,
        "ca_file": str(sandbox.authority.bundle_path),
        "agents": {name: _files(pair) for name, pair in sandbox.agents.items()},
        "aws": {"endpoint": sandbox.aws.endpoint_url, "region": sandbox.aws.region},
        "rows": rows(),
    }


def _files(pair: KeyPair) -> dict[str, str]:
    return {"certificate_file": str(pair.certificate_path), "key_file": str(pair.key_path)}


def brief_policies(folder: Path) -> Path:
    """Writes the sample policy with credentials so short that a test sees them renewed."""
    text = (DEFAULT_POLICIES / _CATALOGUE).read_text()
    short = text.replace("max_credential_seconds: 3600", f"max_credential_seconds: {BRIEF_SECONDS}")
    assert short != text
    return sample_with(folder, "brief", {_CATALOGUE: short})


@contextmanager
def _serving(desk: Desk) -> Iterator[str]:
    """Serves a desk on loopback, and gives its URL."""
    methods: dict[str, Callable[..., Any]] = {
        f"/{name}": getattr(desk, name)
        for name in ("token", "agent_token", "revoke", "approve", "kill_brief", "has_lease", "end_of")
    }

    class Handler(BaseHTTPRequestHandler):
        """Answers with what the method returns; with 500 and the failure where it raises."""

        def do_POST(self) -> None:
            arguments = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, answer = 200, methods[self.path](**arguments)
            except Exception as error:  # noqa: BLE001 - told to the test that asked
                status, answer = 500, f"{error!r} {getattr(error, 'stderr', '')}"
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
