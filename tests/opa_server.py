"""The real OPA as a server: the example of `deploy/opa/` on free ports of loopback, with tokens of its own."""

import contextlib
import hashlib
import json
import secrets
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.real_opa import find_opa

from remit_server.config.settings import OpaSettings
from remit_server.domain.secret import Secret

EXAMPLE = Path(__file__).parents[1] / "deploy/opa"
# The gateway's wait: generous, because the machine may be busy.
START = timedelta(seconds=60)


def free_port() -> int:
    """Returns a port of loopback that was free a moment ago: OPA must be told one before the gateway listens."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as held:
        port: int = held.getsockname()[1]
    return port


@dataclass
class OpaProcess:
    """An OPA that pulls from `bundle_address`; it can be killed and started again."""

    folder: Path
    address: str
    url: str
    bundle_address: str
    more: Sequence[str] = ()
    token: str = field(default_factory=secrets.token_hex)
    bundle_token: str = field(default_factory=secrets.token_hex)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What OPA says."""
        return self.folder / "opa.log"

    def settings(self, **more: Any) -> OpaSettings:
        """Returns how a gateway reaches it."""
        tokens = {"token": Secret(self.token), "bundle_token": Secret(self.bundle_token)}
        usual = {"url": self.url, "bundle_address": self.bundle_address, "start_timeout": START}
        return OpaSettings(**{**usual, **tokens, **more})

    def start(self) -> None:
        """Starts the process; it answers a moment later."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - the binary that the tests are pointed at
                [
                    *(str(find_opa()), "run", "--server", "--addr", self.address, "--disable-telemetry"),
                    *("--unix-socket-perm", "660"),
                    *(
                        "--authentication=token",
                        "--authorization=basic",
                        "--config-file",
                        str(self.folder / "opa.yaml"),
                    ),
                    *(str(EXAMPLE / "authz.rego"), str(self.folder / "gateway.json"), *self.more),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
            )

    def kill(self) -> None:
        """Ends the process at once, by its id."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def opa_server(
    folder: Path, *more: str, on_socket: bool = False, changes: Mapping[str, object] | None = None
) -> Iterator[OpaProcess]:
    """Runs an OPA until the end of the block; `changes` are laid over the values of the example's `opa.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    address = f"unix://{folder}/opa.sock" if on_socket else f"127.0.0.1:{port}"
    opa = OpaProcess(folder, address, address if on_socket else f"http://{address}", f"127.0.0.1:{free_port()}", more)
    token_file = folder / "bundle-token"
    token_file.write_text(opa.bundle_token)
    token_file.chmod(0o600)
    text = (EXAMPLE / "opa.yaml").read_text()
    for key, value in {"url": f"http://{opa.bundle_address}", "token_path": token_file, **(changes or {})}.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{key}: "))
        text = text.replace(line, f"{line.partition(':')[0]}: {value}")
    (folder / "opa.yaml").write_text(text)
    digest = hashlib.sha256(opa.token.encode()).hexdigest()
    (folder / "gateway.json").write_text(json.dumps({"gateway": {"token_sha256": digest}}))
    opa.start()
    try:
        yield opa
    finally:
        opa.kill()
