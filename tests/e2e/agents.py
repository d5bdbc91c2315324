"""Agents as processes of their own, which a test may kill, stop and cut off: each works on one task."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.watched import plain_environment

from remit_sandbox.sandbox import Sandbox

PROGRAM = """
import sys
import remit

target, ca_file, certificate, key, lease = sys.argv[1:]
token = sys.stdin.readline().strip()
gateway = remit.Gateway(target, ca_file=ca_file, certificate_file=certificate, key_file=key)
reports = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")
with gateway.task("summarise Q3", subject_token=token, allow=reports, lease=int(lease)) as task:
    print(task.id, flush=True)
    for line in sys.stdin:
        try:
            print(task.credentials().access_key_id, flush=True)
        except remit.TaskOver as over:
            print(f"over: {over.cause}", flush=True)
"""


@dataclass
class AgentProcess:
    """One agent; `task_id` is what it works on."""

    process: subprocess.Popen[str]
    task_id: str

    def asked(self) -> str:
        """Asks for the access key that it would use now; or why there is none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def goes(self) -> int:
        """Lets it leave its block, and returns its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(60)


@contextmanager
def agent(sandbox: Sandbox, target: str, token: str, *, lease: int) -> Iterator[AgentProcess]:
    """Runs the copilot with a task for whoever the token is of."""
    pair = sandbox.agents["copilot"]
    files = [sandbox.authority.bundle_path, pair.certificate_path, pair.key_path]
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, target, *map(str, files), str(lease)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # gRPC's words about connections that are lost on purpose
        text=True,
        env=plain_environment(),
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{token}\n")
            process.stdin.flush()
            task_id = process.stdout.readline().strip()
            assert task_id, "the agent got no task"
            yield AgentProcess(process, task_id)
        finally:
            process.kill()
