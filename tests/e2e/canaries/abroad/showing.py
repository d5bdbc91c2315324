"""What the clients in TypeScript and Go show: a program in each language shows all it has, and then crashes."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e.canaries.traces import Canaries, private_part
from tests.e2e.go_tools import CLIENT, go
from tests.e2e.watched import plain_environment

from remit_sandbox.sandbox import Sandbox

HERE: Final = Path(__file__).parent
CLIENTS: Final = Path(__file__).parents[4] / "clients"
CANARY: Final = "canary-9876543210-zyxwvutsrqponmlkjihgfedcba-0123456789"
LEAKS: Final = "From here on it leaks on purpose."
FAILURES: Final = 15
# Everything that these languages and their libraries can be asked to log of themselves without printing what is sent.
LOUD: Final = {
    "NODE_DEBUG": "http,http2,https,net,tls,stream,timer,fetch",
    "GRPC_GO_LOG_SEVERITY_LEVEL": "info",
    "GRPC_GO_LOG_VERBOSITY_LEVEL": "99",
    "GOTRACEBACK": "all",
}


@dataclass(frozen=True)
class Shown:
    """What a program printed, and apart from it what it leaked on purpose at its end."""

    canaries: Canaries
    texts: dict[str, bytes]
    leaked: dict[str, bytes]

    def not_found(self) -> set[str]:
        """Returns which kinds of secrets are not found in what was leaked."""
        found = self.canaries.found_in(self.leaked)
        return {kind for kind in self.canaries.kinds if not any(f": {kind}, after" in one for one in found)}


def typescript(_: Path) -> list[str]:
    """Returns the program in TypeScript's words, for a client that was built."""
    return ["node", str(HERE / "show.mjs")]


def golang(folder: Path) -> list[str]:
    """Builds the program in Go, and returns it."""
    program = folder / "show"
    built = go("build", "-buildvcs=false", "-o", str(program), str(HERE / "show.go"), folder=CLIENT / "behaviours")
    assert built.returncode == 0, built.stderr
    return [str(program)]


def shown_by(command: Sequence[str], sandbox: Sandbox, folder: Path) -> Shown:
    """Runs a program that shows what it has at the sandbox's gateway; returns what it printed, and what it held."""
    canaries = Canaries()
    secrets, world = folder / "secrets", folder / "secrets" / "shown.json"
    secrets.mkdir(mode=0o700, exist_ok=True)
    held = _world(sandbox, folder, canaries)
    world.write_text(json.dumps(held))
    done = subprocess.run(  # noqa: S603 - the test's own programs
        command,
        cwd=folder,
        env=plain_environment({"REMIT_SHOWN": str(world), **LOUD}),
        capture_output=True,
        timeout=120,
        check=False,
    )
    given = Path(str(held["given"]))
    assert given.exists(), done.stderr.decode()[-3000:]
    for number, value in enumerate(json.loads(given.read_text())):
        canaries.note(value, "a session token" if number % 2 else "a secret access key")
    assert done.returncode != 0, "it was to end with a crash"
    shown, _, leaked = done.stdout.partition(LEAKS.encode())
    assert shown.count(b"\nfailed") >= FAILURES, done.stderr.decode()[-3000:]
    return Shown(canaries, {"stdout": shown, "stderr": done.stderr}, {"stdout": leaked})


def _world(sandbox: Sandbox, folder: Path, canaries: Canaries) -> Mapping[str, object]:
    """Returns what the program is told; every token in it is noted."""
    issuer, pair = sandbox.issuer, sandbox.agents["copilot"]
    canaries.note(private_part(pair.key_path.read_text()), "an agent's key")
    user = canaries.note(issuer.token("alice", client_id="copilot"), "a user's token")
    crawler = canaries.note(issuer.token("alice", client_id="crawler"), "a user's token")
    return {
        "package": str(CLIENTS / "typescript" / "dist" / "index.js"),
        "mtls": sandbox.mtls,
        "bearer": sandbox.bearer,
        "ca_file": str(sandbox.authority.bundle_path),
        "certificate": str(pair.certificate_path),
        "key": str(pair.key_path),
        "leaks": LEAKS,
        "given": str(folder / "secrets" / "given.json"),
        "tokens": {
            "user": user,
            "crawler": crawler,
            "agent": canaries.note(issuer.agent_token("reporter"), "an agent's token"),
            "tampered": canaries.note(f"{user[:-12]}{'A' * 12}", "a user's token"),
            "canary": canaries.note(CANARY, "a canary"),
            "broken": f"{user}\nx",
        },
    }
