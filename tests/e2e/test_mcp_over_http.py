"""The MCP server over streamable HTTP: whose tokens it takes, what it says of itself, whose tasks are reached."""

import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.e2e.canaries.loudly.recording import loud_environment, recorded
from tests.e2e.canaries.traces import Canaries
from tests.e2e.machines import BIN, PROFILES, Machine, machine
from tests.e2e.test_mcp import REPORTS, asked, tool_of_aws

from remit_sandbox.sandbox import Sandbox

START_SECONDS = 60


@dataclass(frozen=True)
class Served:
    """A server that runs, and the resource that it is."""

    sandbox: Sandbox
    machine: Machine
    resource: str
    canaries: Canaries

    def token(self, user: str = "alice", **claims: Any) -> str:
        """Returns an access token for this server (RFC 9068)."""
        usual = {"audience": self.resource, "client_id": "claude", "headers": {"typ": "at+jwt"}}
        return self.sandbox.issuer.token(user, **{**usual, **claims})

    @asynccontextmanager
    async def client(self, token: str) -> AsyncIterator[Client]:
        """Connects as an MCP client that has a token."""
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
            Client(streamable_http_client(self.resource, http_client=http), read_timeout_seconds=60) as client,
        ):
            yield client

    def called(self, headers: dict[str, str]) -> httpx.Response:
        """Sends a plain request."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        accept = {"Accept": "application/json, text/event-stream"}
        return httpx.post(self.resource, json=body, headers={**accept, **headers}, timeout=60)


@pytest.fixture(scope="module")
def served(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that exchanges its callers' tokens at the issuer, as the client `copilot` of the agent."""
    folder = tmp_path_factory.mktemp("mcp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "secret").write_text(sandbox.issuer.password)
    tables = (
        f'[mcp]\nlisten = "{listen}"\nresource = "http://{listen}/mcp"\nissuer = "{sandbox.issuer.url}"\n'
        f'ca_file = "{sandbox.authority.bundle_path}"\n'
        f'[mcp.exchange]\ntoken_endpoint = "{sandbox.issuer.url}/token"\nclient_id = "copilot"\n'
        'client_secret_file = "secret"\naudience = "remit"\n'
    )
    mine = machine(sandbox, folder, "nobody's", profiles=PROFILES + tables)
    mine.environ.update(loud_environment(mine.environ, folder / "debug.log"))
    command = [str(BIN / "remit-mcp"), "--http", "--name", "http"]
    canaries = Canaries()
    canaries.note(sandbox.issuer.password, "a client's secret")
    with (
        recorded(sandbox.issuer, canaries),
        (folder / "said").open("wb") as said,
        subprocess.Popen(command, env=mine.environ, cwd=folder, stdout=said, stderr=said) as process,  # noqa: S603 - ours
    ):
        try:
            wait_until_it_listens(listen)
            yield Served(sandbox, mine, f"http://{listen}/mcp", canaries)
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_until_it_listens(listen: str) -> None:
    host, port = listen.split(":")
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            assert time.monotonic() < until, "the server does not listen"
            time.sleep(0.1)
        else:
            return


async def test_a_caller_with_a_token_for_this_server_gets_access_as_the_user_it_names(served: Served) -> None:
    async with served.client(served.token()) as client:
        good, access, text = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        _, caller, _ = await asked(client, "whoami")
        done = tool_of_aws(served.machine, access["environment"])
        await asked(client, "end_task", handle=access["handle"])

    assert good, text
    assert caller["user"] == "alice"
    assert done.stdout.startswith("#"), done.stderr


async def test_nobody_reaches_another_users_task(served: Served) -> None:
    async with served.client(served.token()) as alice, served.client(served.token("bob")) as bob:
        _, access, _ = await asked(alice, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        ended, problem, _ = await asked(bob, "end_task", handle=access["handle"])
        _, seen, _ = await asked(bob, "whoami")
        mine, _, _ = await asked(alice, "end_task", handle=access["handle"])

    assert not ended
    assert problem["reason"] == "NOT_FOUND"
    assert seen["tasks"] == []
    assert mine


async def test_no_standing_profile_gives_one_users_task_to_the_next(served: Served) -> None:
    async with served.client(served.token()) as alice:
        _, access, _ = await asked(alice, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        newest = tool_of_aws(served.machine, {**access["environment"], "AWS_PROFILE": "remit"})
        handle = (
            "--handle",
            "newest",
            "--socket",
            str(Path(access["environment"]["AWS_CONFIG_FILE"]).with_suffix(".sock")),
        )
        told = served.machine.remit("credential-process", *handle)
        await asked(alice, "end_task", handle=access["handle"])

    assert newest.returncode != 0
    assert "ProfileNotFound" in newest.stderr
    assert told.returncode != 0
    assert "NOT_FOUND" in told.stderr


async def test_nobody_is_told_what_another_users_request_came_to(served: Served) -> None:
    everything = "s3:GetObject=arn:aws:s3:::reports/*"
    async with served.client(served.token()) as alice, served.client(served.token("bob")) as bob:
        _, problem, _ = await asked(alice, "request_aws_access", purpose="read all", allow=[everything])
        mine, told, _ = await asked(alice, "explain_denial", denial=problem["request_id"])
        others, nothing, _ = await asked(bob, "explain_denial", denial=problem["request_id"])

    assert mine
    assert told["reason"] == "CEILING_EXCEEDED"
    assert not others
    assert nothing["reason"] == "NOT_FOUND"


async def test_one_users_tasks_leave_room_for_the_others(served: Served) -> None:
    async with served.client(served.token()) as alice, served.client(served.token("bob")) as bob:
        held = [await asked(alice, "request_aws_access", purpose="summarise Q3", allow=[REPORTS]) for _ in range(33)]
        _, others, _ = await asked(bob, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        for _, access, _ in held[:-1]:
            await asked(alice, "end_task", handle=access["handle"])
        again, _, _ = await asked(alice, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])

    assert [good for good, _, _ in held] == [True] * 32 + [False]
    assert held[-1][1]["reason"] == "TOO_MANY_TASKS"
    assert others["reason"] == "CEILING_EXCEEDED"  # the gateway was asked: bob may not read it
    assert again


@pytest.mark.parametrize(
    "claims",
    [
        {"audience": "remit"},
        {"audience": ["remit", "x"]},
        {"iss": "https://elsewhere.example"},
        {"exp": 1},
        {"sub": ""},
        {"exp": 9999999999},
        {"headers": {"typ": "logout+jwt"}},
        {"headers": {"typ": "at+jwt", "jku": "https://elsewhere.example/jwks"}},
        {"headers": {"typ": "at+jwt", "kid": "another"}},
    ],
    ids=["gateway's audience", "two audiences", "issuer", "over", "nobody", "for ever", "type", "own key", "key"],
)
def test_any_other_token_is_nobodys(served: Served, claims: dict[str, Any]) -> None:
    answer = served.called({"Authorization": f"Bearer {served.token(**claims)}"})

    assert answer.status_code == 401
    assert "resource_metadata=" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}])
def test_without_a_token_a_client_is_told_where_to_get_one(served: Served, headers: dict[str, str]) -> None:
    answer = served.called(headers)
    where = answer.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]
    told = httpx.get(where, timeout=60).json()

    assert answer.status_code == 401
    assert told["resource"].rstrip("/") == served.resource
    assert [server.rstrip("/") for server in told["authorization_servers"]] == [served.sandbox.issuer.url]


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_a_page_of_another_site_does_not_reach_it(served: Served, header: dict[str, str]) -> None:
    answer = served.called({"Authorization": f"Bearer {served.token()}", **header})

    assert answer.status_code in {403, 421}


def test_what_it_says_and_logs_at_debug_holds_none_of_these_tokens(served: Served) -> None:
    answer = served.called({"Authorization": f"Bearer {served.token()}"})
    texts = {name: (served.machine.folder / name).read_bytes() for name in ("debug.log", "said")}
    leaked = {"debug.log": texts["debug.log"] + f"Authorization: Bearer {served.token()}".encode()}

    assert answer.status_code == 200
    assert texts["debug.log"]
    assert served.canaries.found_in(texts) == []
    assert served.canaries.found_in(leaked) != []


def test_half_a_set_up_is_told_before_anything_listens(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> None:
    mine = machine(sandbox, tmp_path, alice_token)

    done = mine.run(str(BIN / "remit-mcp"), "--http")

    assert done.returncode == 85
    assert "resource and issuer under [mcp]" in done.stderr
