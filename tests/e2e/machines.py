"""One user's machine beside the sandbox: settings, a runtime folder, and the `remit` command as that user runs it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.watched import plain_environment

from remit_sandbox.sandbox import Sandbox

BIN = Path(sys.executable).parent
PATIENCE = 90
PROFILES = """
[profiles.reports]
purpose = "summarise Q3"
allow = ["s3.read_prefix bucket=reports prefix=2026/q3/"]

[profiles.brief]
purpose = "summarise Q3 at once"
allow = ["s3:GetObject=arn:aws:s3:::reports/2026/q3/*"]
duration = "15m"

[profiles.payroll]
purpose = "read what nobody delegates"
allow = ["s3:GetObject=arn:aws:s3:::payroll/*"]
"""


@dataclass(frozen=True)
class Machine:
    """A machine; `environ` is what its user's shell has."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        return subprocess.run(  # noqa: S603 - the test's own command
            command,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=self.folder,
        )

    def remit(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Runs `remit` to its end."""
        return self.run(str(BIN / "remit"), *arguments, environ=environ)


def machine(
    sandbox: Sandbox, folder: Path, token: str, *, target: str | None = None, profiles: str = PROFILES
) -> Machine:
    """Returns the machine of somebody whose token is in a file, with the copilot's certificate."""
    pair = sandbox.agents["copilot"]
    runtime, home = folder / "runtime", folder / "home"
    for each in (runtime, home):
        each.mkdir(mode=0o700)
    (folder / "token").write_text(token)
    settings = folder / "client.toml"
    settings.write_text(
        "[gateway]\n"
        f"target = {json.dumps(target or sandbox.mtls)}\n"
        f"ca_file = {json.dumps(str(sandbox.authority.bundle_path))}\n"
        f"certificate_file = {json.dumps(str(pair.certificate_path))}\n"
        f"key_file = {json.dumps(str(pair.key_path))}\n"
        f"[subject]\ntoken = {json.dumps('file:' + str(folder / 'token'))}\n{profiles}"
    )
    settings.chmod(0o600)
    own = {
        "REMIT_CONFIG": str(settings),
        "XDG_RUNTIME_DIR": str(runtime),
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),  # where sign-ins are kept: never those of whoever runs the tests
        "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url,
        "AWS_REGION": sandbox.aws.region,
    }
    return Machine(folder, plain_environment(own))
