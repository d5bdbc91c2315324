"""What holds tokens of its own on a machine: a sign-in, the container endpoint, MCP over HTTP, a confirmation."""

import asyncio
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from tests.e2e.canaries.journey import CANARY, Journey, loud_gateway
from tests.e2e.canaries.loudly.recording import loud_environment, recorded
from tests.e2e.canaries.programs import READ, WIDE
from tests.e2e.gateways import OwnGateway, own_gateway
from tests.e2e.machines import BIN, PROFILES, Machine, machine
from tests.e2e.test_mcp import copilot
from tests.e2e.test_mcp_confirmation import PUBLISH, Browser, answering, policies_in_person
from tests.e2e.test_mcp_over_http import wait_until_it_listens
from tests.opa_server import free_port
from tests.visitor import Visitor

import remit
from remit.local.login.device import Prompt

_PATIENCE = 60.0
# What a program in `remit run` does with the container endpoint; it keeps what it was given where it may.
ASKS = """
import json, os, sys, urllib.request
token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token})
given = json.load(urllib.request.urlopen(request))
json.dump([token, given["SecretAccessKey"], given["Token"]], open(sys.argv[1], "w"))
"""


def loud_machine(
    journey: Journey, name: str, tables: str = "", *, token: str = "", target: str | None = None
) -> Machine:
    """Returns a machine whose processes log at DEBUG into a file of its own; `tables` may say how to sign in."""
    folder = journey.machine.folder / name
    folder.mkdir(mode=0o700)
    made = machine(journey.sandbox, folder, token, target=target or journey.own.mtls, profiles=PROFILES + tables)
    if "[login]" in tables:
        file = folder / "client.toml"
        file.write_text(re.sub(r"\[subject\]\ntoken = .*\n", "", file.read_text()))
    made.environ.update(loud_environment(made.environ, folder / "debug.log"))
    return made


def run(journey: Journey, mine: Machine, *words: str, secret_output: bool = False) -> str:
    """Runs a command and keeps what it prints, unless it is a secret; returns that."""
    done = mine.remit(*words)
    journey.printed.append(done.stderr + ("" if secret_output else done.stdout))
    journey.ended.append((" ".join(words)[:100], done.returncode))
    return done.stdout


def signed_in(journey: Journey, _: remit.Gateway) -> None:
    """Somebody signs in on a device and by a browser, is refreshed, works, is refused, and signs out."""
    issuer = journey.sandbox.issuer
    login = (
        f"[login]\nissuer = {json.dumps(issuer.url)}\nclient_id = 'copilot'\ntoken = 'access_token'\n"
        f"ca_file = {json.dumps(str(journey.sandbox.authority.bundle_path))}\n"
    )
    mine = loud_machine(journey, "laptop", login)
    with recorded(issuer, journey.canaries):
        for way, answer in (("--device", "deny"), ("--browser", "deny"), ("--device", "allow"), ("--browser", "allow")):
            _signs_in(journey, mine, way, answer)
        run(journey, mine, "whoami")
        _grow_old(mine)
        run(journey, mine, "whoami", "--json")
        _grow_old(mine, refresh_token=journey.secret(CANARY, "a canary"))
        run(journey, mine, "whoami")
        _signs_in(journey, mine, "--device", "allow")
        run(journey, mine, "run", *READ, "--", "true")
        run(journey, mine, "credential-process", *READ, secret_output=True)
        run(journey, mine, "endpoint", "start")
        held = json.loads(run(journey, mine, "credential-process", "--profile", "reports", secret_output=True))
        journey.secret(held["SecretAccessKey"], "a secret access key")
        journey.secret(held["SessionToken"], "a session token")
        run(journey, mine, "endpoint", "stop")
        run(journey, mine, "logout")


@contextmanager
def ended_process(*command: str, mine: Machine) -> Iterator["subprocess.Popen[str]"]:
    """Runs a command on a machine until the end of the block, however that comes."""
    with subprocess.Popen(  # noqa: S603 - our own commands
        command,
        env=mine.environ,
        cwd=mine.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _signs_in(journey: Journey, mine: Machine, way: str, answer: str) -> None:
    """Runs `remit login` and answers at the issuer's page."""
    visitor = Visitor(journey.sandbox.issuer, journey.sandbox.authority, answer=answer)
    with ended_process(str(BIN / "remit"), "login", way, "--no-keyring", mine=mine) as process:
        assert process.stderr is not None
        shown = ""
        while not (page := re.search(r"(https://\S+/(?:device|authorize))\?(\S+)\s", shown)):
            line = process.stderr.readline()
            assert line, shown
            shown += line
        if way == "--device":
            with suppress(httpx.HTTPStatusError):
                visitor.enters(Prompt(page[1], f"{page[1]}?{page[2]}", page[2].partition("user_code=")[2]))
        else:
            journey.told.append(visitor.visits(f"{page[1]}?{page[2]}").text)
        told, more = process.communicate(timeout=_PATIENCE)
    journey.printed += [shown, told, more]
    journey.ended.append((f"login {way} {answer}", process.returncode))


def _grow_old(mine: Machine, **changes: str) -> None:
    """Has the sign-in that is kept be over, so that it is refreshed."""
    (file,) = (mine.folder / "home" / "state").rglob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "expire_time": time.time() - 60, **changes}))


def contained(journey: Journey, _: remit.Gateway) -> None:
    """The container endpoint gives credentials to whoever has its token, in a pod and in a run, and to nobody else."""
    mine = loud_machine(journey, "pod", token=journey.token())
    secrets = mine.folder / "secrets"
    secrets.mkdir(mode=0o700)
    port, token_file = free_port(), secrets / "served"
    command = [str(BIN / "remit"), "serve-container", *READ, "--port", str(port), "--token-file", str(token_file)]
    with ended_process(*command, mine=mine) as process:
        until = time.monotonic() + _PATIENCE
        while not token_file.exists():
            assert time.monotonic() < until, "the endpoint does not serve"
            time.sleep(0.05)
        token = journey.secret(token_file.read_text(), "a container endpoint's token")
        _asks(journey, port, token)
        process.terminate()
        journey.printed += [*process.communicate(timeout=_PATIENCE)]
    given = secrets / "given.json"
    for asked in (READ, WIDE):
        run(journey, mine, "run", *asked, "--", sys.executable, "-c", ASKS, str(given))
    token, key, session = json.loads(given.read_text())
    journey.secret(token, "a container endpoint's token")
    journey.secret(key, "a secret access key")
    journey.secret(session, "a session token")


def _asks(journey: Journey, port: int, token: str) -> None:
    """Asks the endpoint with its token and in wrong ways, by what logs nothing of it."""
    given = json.loads(_answer(port, "/credentials", {"Authorization": token}))
    journey.secret(given["SecretAccessKey"], "a secret access key")
    journey.secret(given["Token"], "a session token")
    wrong = journey.secret(CANARY, "a canary")
    for headers in ({}, {"Authorization": wrong}, {"Authorization": token, "Host": "evil.example"}):
        journey.told.append(_answer(port, "/credentials", headers))
    journey.told.append(_answer(port, f"/credentials/{token}", {"Authorization": token}))


def _answer(port: int, path: str, headers: Mapping[str, str]) -> str:
    """Returns what the endpoint answers."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)) as connection:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().read().decode()


def copilots_over_http(journey: Journey, _: remit.Gateway) -> None:
    """Copilots come over HTTP with access tokens, good and bad ones, which are exchanged at the identity provider."""
    issuer, listen = journey.sandbox.issuer, f"127.0.0.1:{free_port()}"
    tables = (
        f'[mcp]\nlisten = "{listen}"\nresource = "http://{listen}/mcp"\nissuer = "{issuer.url}"\n'
        f'ca_file = "{journey.sandbox.authority.bundle_path}"\n'
        f'[mcp.exchange]\ntoken_endpoint = "{issuer.url}/token"\nclient_id = "copilot"\n'
        'client_secret_file = "secrets/client"\naudience = "remit"\n'
    )
    mine = loud_machine(journey, "server", tables)
    (mine.folder / "secrets").mkdir(mode=0o700)
    password = journey.secret(issuer.password, "a client's secret at the identity provider")
    (mine.folder / "secrets" / "client").write_text(password)
    with (
        (mine.folder / "printed").open("wb") as printed,
        subprocess.Popen(  # noqa: S603 - our own command
            [str(BIN / "remit-mcp"), "--http"], env=mine.environ, cwd=mine.folder, stdout=printed, stderr=printed
        ) as process,
        recorded(issuer, journey.canaries),
    ):
        wait_until_it_listens(listen)
        try:
            asyncio.run(_talk(journey, mine, f"http://{listen}/mcp"))
        finally:
            process.terminate()
            process.wait(_PATIENCE)


async def _talk(journey: Journey, mine: Machine, url: str) -> None:
    token = partial(journey.sandbox.issuer.token, audience=url, client_id="claude", headers={"typ": "at+jwt"})
    for user in ("alice", "somebody unknown"):
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token(user)}"}) as http,
            Client(streamable_http_client(url, http_client=http), read_timeout_seconds=60) as client,
        ):
            for allow in (["read s3://reports/2026/q3/*"], ["read s3://reports/*"], [token("alice")[:200]]):
                asked = await client.call_tool("request_aws_access", {"purpose": "summarise Q3", "allow": allow})
                journey.printed.append(repr(asked))
                await asyncio.to_thread(_uses, journey, mine, asked)
            journey.printed.append(repr(await client.call_tool("whoami", {})))
    for wrong in (token("alice")[:-9] + "AAAAAAAAA", journey.sandbox.issuer.token("alice", client_id="claude"), CANARY):
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        headers = {"Authorization": f"Bearer {journey.secret(wrong, 'a canary')}", "Accept": "application/json"}
        async with httpx.AsyncClient() as plain:
            answer = await plain.post(url, json=body, headers=headers)
        journey.told.append(f"{answer.headers} {answer.text}")


def _uses(journey: Journey, mine: Machine, asked: Any) -> None:
    """Takes the credentials of an answer as an AWS tool does, where there are any."""
    access = dict(asked.structured_content or {})
    if "environment" not in access:
        return
    socket = Path(access["environment"]["AWS_CONFIG_FILE"]).with_suffix(".sock")
    told = run(
        journey, mine, "credential-process", "--handle", access["handle"], "--socket", str(socket), secret_output=True
    )
    given = json.loads(told)
    journey.secret(given["SecretAccessKey"], "a secret access key")
    journey.secret(given["SessionToken"], "a session token")


def confirmed(journey: Journey, _: remit.Gateway) -> None:
    """Somebody is asked by way of an MCP client, signs in anew, and decides on a page, as policy lets them here."""
    folder = journey.own.log_path.with_name("confirming")
    folder.mkdir()
    values = {"bundle": str(policies_in_person(folder))}
    with (
        own_gateway(journey.sandbox, folder, values, started=loud_gateway(folder)) as own,
        recorded(journey.sandbox.issuer, journey.canaries),
    ):
        mine = loud_machine(journey, "desk", _confirming(journey, own), token=journey.token(), target=own.mtls)
        for user, answer in (("alice", "yes"), ("alice", "no"), ("mallory", "yes")):
            browser = Browser(journey.sandbox, user, answer)
            asyncio.run(_asked_for(journey, mine, browser))
            for page in browser.pages:
                if found := re.search(r'name="form" value="([^"]+)"', page):
                    journey.secret(found[1], "a confirmation's form token")
            journey.told += browser.pages[1:] + [f"{one.headers} {one.text}" for one in browser.overheard]


def _confirming(journey: Journey, own: OwnGateway) -> str:
    """Returns the settings by which people confirm at a gateway."""
    return (
        f'[mcp.confirm]\ngateway = "{own.bearer}"\n'
        f'[mcp.confirm.login]\nissuer = "{journey.sandbox.issuer.url}"\nclient_id = "remit-operators"\n'
        f'ca_file = "{journey.sandbox.authority.bundle_path}"\n'
    )


async def _asked_for(journey: Journey, mine: Machine, browser: Browser) -> None:
    """Asks for what somebody has to confirm; where a stranger comes to the page, it goes on waiting."""
    waits = 8 if browser.user == "mallory" else _PATIENCE
    options = {"elicitation_callback": answering(browser, []), "read_timeout_seconds": waits}
    async with copilot(mine, **options) as client:
        with suppress(*([MCPError] if browser.user == "mallory" else [])):
            asked = await client.call_tool("request_aws_access", {"purpose": "publish Q3", "allow": [PUBLISH]})
            journey.printed.append(repr(asked))
