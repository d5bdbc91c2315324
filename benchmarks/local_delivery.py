"""What unmodified tools wait for: credential processes cold and cached, the container endpoint, calls to STS, size.

Run with `python -m benchmarks.local_delivery`; it takes about two minutes and needs ministack (`make setup`).
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

from benchmarks.rig.accounting import percentile
from tests.e2e.machines import BIN, Machine, machine
from tests.e2e.sts_relay import StsRelay, sts_relay

from remit_sandbox.background import sandbox_in_background

REMIT = str(BIN / "remit")
BY_PROFILE = (REMIT, "credential-process", "--profile", "reports")
COLD, CACHED, S3_CALLS, BY_PROCESS = 20, 60, 1_000, 50
CLIENT = ("grpcio", "protobuf", "googleapis-common-protos", "typing_extensions")
FETCHES = """
import http.client, json, os, sys, time
from urllib.parse import urlsplit
url = urlsplit(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
headers = {"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
taken = []
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    connection = http.client.HTTPConnection(url.netloc)
    connection.request("GET", url.path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    taken.append(time.perf_counter() - start)
    assert answer.status == 200
print(json.dumps(taken))
"""
READS = """
import boto3, sys
s3 = boto3.client("s3")
for _ in range(int(sys.argv[1])):
    s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()
"""


def main() -> None:
    """Prints the figures."""
    print(
        f"{time.strftime('%d %B %Y %H:%M UTC', time.gmtime())}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"
    )
    print(f"load at the start {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        relays: list[StsRelay] = []
        with _sandbox(folder, relays) as mine:
            _processes(mine)
            _container(mine)
            _calls(mine, relays[0])
    _size()
    print(f"load at the end {os.getloadavg()[0]:.1f}")


@contextmanager
def _sandbox(folder: Path, relays: list[StsRelay]) -> Iterator[Machine]:
    """Runs the sandbox, with a relay that counts what reaches STS, and gives alice's machine beside it."""
    place, home = folder / "sandbox", folder / "machine"
    for each in (place, home):
        each.mkdir(mode=0o700)
    entered = []

    def counted(url: str) -> str:
        context = sts_relay(url)
        relays.append(context.__enter__())
        entered.append(context)
        return relays[-1].url

    with sandbox_in_background(place, before_sts=counted) as background:
        token = background.sandbox.issuer.token("alice", client_id="copilot")
        yield machine(background.sandbox, home, token)
    for context in entered:
        context.__exit__(None, None, None)


def _processes(mine: Machine) -> None:
    """Times processes from their start to their end, as an SDK waits for them."""
    print("\n| a process, wall ms | least | median | p95 | CPU ms, median |\n|---|---|---|---|---|")
    _row("bare interpreter", CACHED, lambda: mine.run(sys.executable, "-c", "pass"))
    _row("credential-process, cold, straight to the gateway", COLD, lambda: _worked(mine, *BY_PROFILE))
    with _endpoint(mine):
        _row("credential-process, cached by the endpoint", CACHED, lambda: _worked(mine, *BY_PROFILE))
    _row(
        "remit run -- true", COLD, lambda: _worked(mine, REMIT, "run", "--quiet", "--profile", "reports", "--", "true")
    )


def _container(mine: Machine) -> None:
    """Times fetches from the container endpoint by a client of its own, a connection for each as SDKs do."""
    done = _worked(mine, REMIT, "run", "--quiet", "-p", "reports", "--", sys.executable, "-c", FETCHES, "3000")
    taken = tuple(second * 1000 for second in json.loads(done.stdout))
    middle, most = percentile(taken, 50), percentile(taken, 99)
    print(f"\ncontainer endpoint, {len(taken)} fetches: p50 {middle:.2f} ms, p99 {most:.2f} ms")


def _calls(mine: Machine, relay: StsRelay) -> None:
    """Counts calls to STS for boto3's calls to S3 with credentials of 900 s."""
    before = len(_sessions(relay))
    _worked(mine, REMIT, "run", "--quiet", "-p", "brief", "--", sys.executable, "-c", READS, str(S3_CALLS))
    under_run = len(_sessions(relay)) - before
    print(f"\nAssumeRole calls for {S3_CALLS} S3 calls at 900 s under remit run: {under_run}")
    config = mine.folder / "aws-config"
    config.write_text(f"[profile brief]\ncredential_process = {REMIT} credential-process --profile brief\n")
    named = {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "brief"}
    with _endpoint(mine):
        before = len(_sessions(relay))
        for _ in range(BY_PROCESS):
            _worked(mine, sys.executable, "-c", READS, "10", environ=named)
        by_profile = len(_sessions(relay)) - before
    print(f"by a profile and the endpoint, {BY_PROCESS} processes with 10 S3 calls each: {by_profile}")


def _sessions(relay: StsRelay) -> list[str]:
    """Returns the sessions that were asked for tasks, and not for the gateway itself."""
    return [name for name in relay.session_names if not name.startswith("remit-")]


def _size() -> None:
    """Adds up what `pip install remit` puts on the disk, without bytecode and without the gateway."""
    own = Path(__file__).resolve().parents[1] / "clients" / "python" / "remit"
    sizes = {"remit": sum(file.stat().st_size for file in own.rglob("*.py*") if "__pycache__" not in file.parts)}
    for name in CLIENT:
        found = distribution(name)
        files = [Path(str(found.locate_file(file))) for file in found.files or () if file.suffix != ".pyc"]
        sizes[name] = sum(file.stat().st_size for file in files if file.exists())
    told = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items())
    print(f"\nbase client: {sum(sizes.values()) / 1e6:.1f} MB ({told}; the wheel also holds the gateway's code)")


@contextmanager
def _endpoint(mine: Machine) -> Iterator[None]:
    """Runs the endpoint for the block."""
    _worked(mine, REMIT, "endpoint", "start")
    try:
        yield
    finally:
        _worked(mine, REMIT, "endpoint", "stop")


def _worked(
    mine: Machine, *command: str, environ: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a command that must not fail."""
    bytecode = {"PYTHONPYCACHEPREFIX": os.environ["PYTHONPYCACHEPREFIX"]}
    done = mine.run(*command, environ={**bytecode, **(environ or {})})
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stderr}")
    return done


def _row(what: str, count: int, work: Callable[[], object]) -> None:
    """Prints how long a process takes; its first run, which writes bytecode, does not count."""
    work()
    wall, cpu = [], []
    for _ in range(count):
        used, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        work()
        wall.append((time.perf_counter() - start) * 1000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append((after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) * 1000)
    p95, least, middle = percentile(tuple(wall), 95), min(wall), statistics.median(wall)
    print(f"| {what} | {least:.0f} | {middle:.0f} | {p95:.0f} | {statistics.median(cpu):.0f} |")


if __name__ == "__main__":
    main()
