"""The README's quickstart, as it stands there, on the running sandbox."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.watched import plain_environment

from remit_sandbox.sandbox import Sandbox

README = Path(__file__).resolve().parents[2] / "README.md"


def snippets() -> list[str]:
    """Returns the Python blocks of the README's section for agents."""
    section = README.read_text().split("## Use it from an agent")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def run(code: str, sandbox: Sandbox, token: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs code as an agent that has its certificate where the README says; only the address is another."""
    pair = sandbox.agents["copilot"]
    shutil.copy(pair.certificate_path, folder / "agent.pem")
    shutil.copy(pair.key_path, folder / "agent.key")
    assert "gateway.example.com:8443" in code
    program = f"import os\ntoken = os.environ['TOKEN']\n{code.replace('gateway.example.com:8443', sandbox.mtls)}"
    return subprocess.run(  # noqa: S603 - the README's own code
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env=plain_environment(
            {
                "TOKEN": token,
                # In place of a public authority and of AWS itself, which the README takes for granted.
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(sandbox.authority.bundle_path),
                "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url,
            }
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_quickstart_prints_the_object(sandbox: Sandbox, alice_token: str, tmp_path: Path) -> None:
    quickstart, _ = snippets()

    done = run(quickstart, sandbox, alice_token, tmp_path)

    assert not done.stderr, done.stderr
    assert done.returncode == 0
    assert "Revenue 857" in done.stdout


def test_the_refusal_snippet_tells_why_and_gets_what_could_be_had(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    quickstart, on_refusal = snippets()
    beginning = quickstart.partition("with gateway.task")[0]

    done = run(f"{beginning}{on_refusal}", sandbox, alice_token, tmp_path)

    assert not done.stderr, done.stderr
    told, session_policy = done.stdout.splitlines()
    assert told == "CEILING_EXCEEDED NARROW"
    assert "arn:aws:s3:::reports/2026/*" in session_policy
