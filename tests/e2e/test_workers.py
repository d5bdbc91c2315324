"""`remit-server serve --workers N`: several processes that are one gateway."""

import itertools
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.e2e.gateways import PLENTY, OwnGateway, issue_request, own_gateway, raw_stub
from tests.e2e.sts_relay import sts_relay
from tests.e2e.test_crash import PATIENT, ROOMY, bodies
from tests.e2e.test_serve import is_open, remit_server, written
from tests.e2e.watched import BIN, watched

from remit.v1 import credential_service_pb2 as messages
from remit_sandbox.configuration import sample_policies
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.domain.audit import ChainIntact

MANY: dict[str, dict[str, object]] = {
    "aws": {**ROOMY},
    "policy": {**PATIENT},
    "limits": {**PLENTY, "concurrent_calls_per_actor": 256},
}
TWO = ("--workers", "2")
CONNECTIONS = 24  # the chance that one worker gets all of them is one in eight million
AT_ONCE = 50
SECONDS = 60.0
PATIENCE = 3.0  # seconds for an answer that may never come, before the other way is tried
LISTENING = "0A"
# Workers keep their memory private, so what they have loaded is seen from inside: an audit hook outlives a fork.
NOTES_WHO_LOADS_GRPC = """
import os, sys

def note(event, arguments):
    if event == "import" and arguments[0] == "grpc":
        with open({path!r}, "a") as notes:
            notes.write(f"{{os.getpid()}}\\n")

sys.addaudithook(note)
"""


def workers_of(own: OwnGateway) -> list[tuple[int, int]]:
    """Returns number and process id of each worker that was started so far."""
    lines = [json.loads(line) for line in own.log_path.read_text().splitlines() if line.startswith("{")]
    return [(line["started_worker"], line["worker_pid"]) for line in lines if line["event"] == "started a worker"]


def until(what: Callable[[], bool]) -> None:
    """Returns once it is so, and fails when it is not within a minute."""
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def started(folder: Path) -> list[dict[str, Any]]:
    """Returns the records of the starts."""
    return bodies(folder / "ledger.sqlite3", "gateway_started")


def children(pid: int) -> list[int]:
    """Returns the process ids of a process's own children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def is_alive(pid: int) -> bool:
    """Says whether there is such a process, a zombie not counted."""
    try:
        return state_of(Path(f"/proc/{pid}")) != "Z"
    except OSError:
        return False


def state_of(entry: Path) -> str:
    """Returns the kernel's letter for the state of a process or thread, by its entry under /proc."""
    return (entry / "stat").read_text().rpartition(")")[2].split()[0]


def listening_at(address: str) -> int:
    """Returns how many sockets listen at the port of an address, whichever worker's, as the kernel tells everybody."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    port = int(address.rpartition(":")[2])
    return sum(row[3] == LISTENING and row[1].endswith(f":{port:04X}") for row in rows)


@contextmanager
def held_still(pid: int) -> Iterator[None]:
    """Stops every thread of a worker for a while: what is answered to calls made meanwhile, another worker answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: {state_of(task) for task in Path(f"/proc/{pid}/task").iterdir()} == {"T"})
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def preview_request(token: str) -> messages.PreviewCredentialsRequest:
    """Returns a request that any worker answers without AWS."""
    asked = issue_request(token)
    return messages.PreviewCredentialsRequest(subject_token=asked.subject_token, intent=asked.intent)


def worker_of(own: OwnGateway, stub: Any, token: str) -> int:
    """Returns the process id of the worker that a connection belongs to: the one that answers without the other."""
    one, other = (pid for _, pid in workers_of(own)[-2:])
    end = time.monotonic() + SECONDS
    for still, awake in itertools.cycle([(one, other), (other, one)]):
        assert time.monotonic() < end, "neither answers"
        with held_still(still), suppress(grpc.RpcError):
            stub.PreviewCredentials(preview_request(token), timeout=PATIENCE)
            return awake
    raise AssertionError


def issue(sandbox: Sandbox, own: OwnGateway, token: str, **fields: Any) -> messages.IssueCredentialsResponse:
    """Asks over a connection of its own, waiting for one where a worker has just gone."""
    with raw_stub(sandbox, own.mtls, sandbox.agents["copilot"]) as stub:
        request = issue_request(token, **fields)
        answer: messages.IssueCredentialsResponse = stub.IssueCredentials(request, timeout=SECONDS, wait_for_ready=True)
        return answer


@pytest.fixture(scope="module")
def two(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    """A gateway of two workers whose policy folder may be changed; `grpc.txt` has the processes that loaded grpc."""
    folder = tmp_path_factory.mktemp("two")
    bundle = shutil.copytree(sample_policies(), folder / "policies")
    (folder / "sitecustomize.py").write_text(NOTES_WHO_LOADS_GRPC.format(path=str(folder / "grpc.txt")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        with own_gateway(sandbox, folder, {"bundle": str(bundle)}, MANY, TWO) as own:
            yield own


def test_both_workers_serve(sandbox: Sandbox, two: OwnGateway, alice_token: str) -> None:
    answered = []
    with ExitStack() as stack:
        copilot = sandbox.agents["copilot"]
        stubs: list[Any] = [stack.enter_context(raw_stub(sandbox, two.mtls, copilot)) for _ in range(CONNECTIONS)]
        for stub in stubs:
            stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS)
        for _, pid in workers_of(two)[-2:]:
            with held_still(pid):
                calls = [
                    stub.PreviewCredentials.future(preview_request(alice_token), timeout=SECONDS) for stub in stubs
                ]
                until(lambda: any(call.done() for call in calls))  # noqa: B023 - called here
                answered.append({at for at, call in enumerate(calls) if call.done()})
            for call in calls:
                call.result()

    assert all(answered)
    assert answered[0].isdisjoint(answered[1])
    assert [(item["worker"], item["workers"]) for item in started(two.log_path.parent)] == [(1, 2), (2, 2)]


def test_the_supervisor_forks_without_grpc_and_without_threads(two: OwnGateway) -> None:
    threads = list(Path(f"/proc/{two.process.pid}/task").iterdir())
    loaded = {int(pid) for pid in (two.log_path.parent / "grpc.txt").read_text().split()}

    assert len(threads) == 2  # its own and that of the tether that this test put around it
    assert two.process.pid not in loaded
    assert {pid for _, pid in workers_of(two)} <= loaded


def test_nobody_else_can_take_a_share_of_the_port(sandbox: Sandbox, two: OwnGateway, tmp_path: Path) -> None:
    done = remit_server("serve", "--config", written(sandbox, tmp_path, two.mtls), *TWO)

    assert done.returncode == 2
    assert two.mtls in done.stderr


def test_a_killed_worker_is_replaced_under_the_policy_of_the_start_and_calls_go_on(
    sandbox: Sandbox, two: OwnGateway, alice_token: str
) -> None:
    folder = two.log_path.parent
    (folder / "policies/remit/issue/issue.rego").write_text("package remit.issue\n")
    before = started(folder)
    number, pid = workers_of(two)[-1]

    os.kill(pid, signal.SIGKILL)
    answers = [issue(sandbox, two, alice_token) for _ in range(4)]
    until(lambda: len(started(folder)) > len(before))

    assert all(answer.credentials.access_key_id for answer in answers)
    replaced = started(folder)[-1]
    assert replaced == {**before[-1], "worker": number}
    assert workers_of(two)[-1][1] != pid


def test_a_worker_that_is_told_to_stop_ends_its_call_and_is_replaced(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    with (
        sts_relay(sandbox.aws.endpoint_url) as relay,
        own_gateway(sandbox, tmp_path, {"endpoint_url": relay.url}, MANY, TWO) as own,
        raw_stub(sandbox, own.mtls, sandbox.agents["copilot"]) as stub,
    ):
        listeners = listening_at(own.mtls)
        relay.hold_after(0)
        call = stub.IssueCredentials.future(issue_request(alice_token), timeout=SECONDS)
        relay.wait_until_held(1)
        busy = worker_of(own, stub, alice_token)

        os.kill(busy, signal.SIGTERM)
        until(lambda: listening_at(own.mtls) == listeners // 2)
        relay.release()

        assert call.result().credentials.access_key_id
        until(lambda: len(started(tmp_path)) == 3)
        assert not is_alive(busy)


def test_a_stop_lets_the_call_that_runs_end_in_whichever_worker_it_is(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    with (
        sts_relay(sandbox.aws.endpoint_url) as relay,
        own_gateway(sandbox, tmp_path, {"endpoint_url": relay.url}, MANY, TWO) as own,
    ):
        with raw_stub(sandbox, own.mtls, sandbox.agents["copilot"]) as stub:
            relay.hold_after(0)
            call = stub.IssueCredentials.future(issue_request(alice_token), timeout=SECONDS)
            relay.wait_until_held(1)
            own.process.terminate()
            until(lambda: not is_open(own.mtls))
            relay.release()
            answer = call.result()
        code = own.process.wait(SECONDS)

    assert code == 0
    assert answer.credentials.access_key_id.startswith("ASIA")


def test_nothing_is_left_of_a_gateway_that_was_stopped(sandbox: Sandbox, tmp_path: Path) -> None:
    config = written(sandbox, tmp_path, "127.0.0.1:0")

    with watched(str(BIN / "remit-server"), "serve", "--config", config, *TWO, folder=tmp_path) as program:
        assert program.process.stdout is not None
        for line in program.process.stdout:
            if '"serving on' in line:
                break
        program.interrupt(signal.SIGTERM)
        ended = program.ended()

    assert (ended.code, ended.left) == (0, ())


def test_nothing_is_left_of_a_gateway_whose_supervisor_was_killed(sandbox: Sandbox, tmp_path: Path) -> None:
    with own_gateway(sandbox, tmp_path, more=MANY, options=TWO) as own:
        workers = [pid for _, pid in workers_of(own)]
        engines = [engine for pid in workers for engine in children(pid)]

        own.kill()
        until(lambda: not any(map(is_alive, [*workers, *engines])))

    assert len(workers) == 2
    assert engines


def test_workers_that_end_again_and_again_end_the_gateway(sandbox: Sandbox, tmp_path: Path) -> None:
    with own_gateway(sandbox, tmp_path, more=MANY, options=TWO) as own:
        killed: set[int] = set()
        while own.process.poll() is None:
            for number, pid in workers_of(own):
                if number == 2 and pid not in killed:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        code = own.process.wait()

    assert code == 2
    assert len(killed) == 5
    assert "the gateway stopped: worker 2 was lost 5 times" in own.log_path.read_text()


def told(stderr: str) -> list[str]:
    """Returns what a person is told: the lines that are no log records."""
    return [line for line in stderr.splitlines() if not line.startswith("{")]


@pytest.fixture
def occupied() -> Iterator[str]:
    """An address that somebody else listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        yield f"127.0.0.1:{held.getsockname()[1]}"


def test_a_taken_address_is_told_once(sandbox: Sandbox, tmp_path: Path, occupied: str) -> None:
    done = remit_server("serve", "--config", written(sandbox, tmp_path, occupied), *TWO)

    assert done.returncode == 2
    assert told(done.stderr) == [f"the gateway did not start: {occupied} cannot be listened on: Address already in use"]
    assert not (tmp_path / "ledger.sqlite3").exists()


def test_a_database_that_is_none_is_told_once(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_text("nothing of a database " * 1000)

    done = remit_server("serve", "--config", written(sandbox, tmp_path, "127.0.0.1:0"), *TWO)

    assert done.returncode == 2
    assert len(told(done.stderr)) == 1
    assert "file is not a database" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tampered_bundle_is_told_once(sandbox: Sandbox, tmp_path: Path) -> None:
    bundle = shutil.copytree(sample_policies(), tmp_path / "policies")
    (bundle / "remit/issue/issue.rego").write_text("package remit.issue\n")

    done = remit_server("serve", "--config", written(sandbox, tmp_path, "127.0.0.1:0", bundle=str(bundle)), *TWO)

    assert done.returncode == 2
    assert done.stderr.count("the gateway did not start") == 1
    assert ".manifest" in done.stderr
    assert "started a worker" not in done.stderr


def at_once(sandbox: Sandbox, own: OwnGateway, requests: list[messages.IssueCredentialsRequest]) -> list[Any]:
    """Sends each request over a connection of its own, all at once; returns answers and errors in their order."""
    with ExitStack() as stack, ThreadPoolExecutor(len(requests)) as pool:
        stubs = [stack.enter_context(raw_stub(sandbox, own.mtls, sandbox.agents["copilot"])) for _ in requests]

        def ask(stub: Any, request: messages.IssueCredentialsRequest) -> Any:
            try:
                return stub.IssueCredentials(request, timeout=SECONDS)
            except grpc.RpcError as error:
                return error

        return list(pool.map(ask, stubs, requests))


def test_one_request_id_at_once_in_both_workers_has_one_grant_and_one_policy(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    with (
        sts_relay(sandbox.aws.endpoint_url) as relay,
        own_gateway(sandbox, tmp_path, {"endpoint_url": relay.url}, MANY, TWO) as own,
    ):
        outcomes = at_once(sandbox, own, [issue_request(alice_token)] * AT_ONCE)

    answers = [outcome for outcome in outcomes if isinstance(outcome, messages.IssueCredentialsResponse)]
    errors = [outcome.code() for outcome in outcomes if isinstance(outcome, grpc.RpcError)]
    assert len({answer.grant.name for answer in answers}) == 1
    assert set(errors) <= {grpc.StatusCode.UNAVAILABLE}
    assert len(bodies(tmp_path / "ledger.sqlite3", "grant_authorized")) == 1
    assert len(bodies(tmp_path / "ledger.sqlite3", "task_started")) == 1
    assert (len(set(relay.session_names)), len(set(relay.policies))) == (1, 1)
    assert isinstance(verify(tmp_path / "ledger.sqlite3"), ChainIntact)


def test_a_single_use_token_at_once_in_both_workers_opens_one_task(sandbox: Sandbox, tmp_path: Path) -> None:
    token = sandbox.issuer.token("alice", client_id="copilot")
    with own_gateway(sandbox, tmp_path, more={**MANY, "[issuers]": {"single_use": True}}, options=TWO) as own:
        outcomes = at_once(sandbox, own, [issue_request(token) for _ in range(AT_ONCE)])

    answers = [outcome for outcome in outcomes if isinstance(outcome, messages.IssueCredentialsResponse)]
    refused = [str(outcome.details()) for outcome in outcomes if isinstance(outcome, grpc.RpcError)]
    assert len(answers) == 1
    assert len(refused) == AT_ONCE - 1
    assert len(bodies(tmp_path / "ledger.sqlite3", "task_started")) == 1
    assert len(bodies(tmp_path / "ledger.sqlite3", "grant_authorized")) == 1
