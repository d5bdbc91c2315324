"""Bad input has one reason, one sentence and one advice: in the exception, on stderr, in the 403 body and over MCP."""

import json
import re
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from tests.e2e.gateways import own_gateway
from tests.e2e.machines import Machine, machine
from tests.e2e.test_credential_process import BY_PROFILE, endpoint, keys_of
from tests.e2e.test_gone_with_the_task import revoke, until
from tests.e2e.test_mcp import asked, config_file, copilot

import remit
from remit.grant import Credentials
from remit.local.connecting import gateway_of
from remit.local.container import ContainerEndpoint
from remit.local.login.keeping.sign_in import SignIn
from remit.local.login.keeping.store import LoginStore, login_folder
from remit.local.tokens import token_source
from remit.local.wishes import Caller
from remit.mcp.wording import advice_of
from remit.secret import Secret
from remit_sandbox.sandbox import Sandbox

LONG_AGO = 1_700_000_000
Q3 = "s3:GetObject=arn:aws:s3:::reports/2026/q3/*"


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked for, by whom, and what has to be told of it."""

    reason: str
    exit_code: int
    status: int = 403
    allow: str = Q3
    login: str = "token"
    target: str | None = None


CASES = {
    "more than may be delegated": Case("CEILING_EXCEEDED", 80, allow="s3:GetObject=arn:aws:s3:::reports/*"),
    "an unknown short form": Case("INVALID_REQUEST", 85, allow="peek s3://reports/2026/q3/*"),
    "a wildcard where a literal belongs": Case("INVALID_REQUEST", 85, allow="s3.read_prefix bucket=* prefix=x/"),
    "a login that is over": Case("LOGIN_EXPIRED", 82, login="over"),
    "nobody signed in": Case("LOGIN_NEEDED", 82, login="none"),
    "a token that is over": Case("WORKLOAD_TOKEN_EXPIRED", 82, login="token over"),
    "a gateway that is not there": Case("UNAVAILABLE", 83, 503, target="127.0.0.1:9"),
}


def prepared(case: Case, sandbox: Sandbox, folder: Path) -> Machine:
    """Returns the machine of somebody in this case: with a token that works, one that is over, or a sign-in to make."""
    times: dict[str, Any] = {"iat": LONG_AGO, "exp": LONG_AGO + 300} if case.login == "token over" else {}
    token = sandbox.issuer.token("alice", client_id="copilot", **times)
    mine = machine(sandbox, folder, token, target=case.target)
    if case.login in {"none", "over"}:
        file = folder / "client.toml"
        login = f"[login]\nissuer = {json.dumps(sandbox.issuer.url)}\nclient_id = 'copilot'\n"
        file.write_text(re.sub(r"\[subject\]\ntoken = .*\n", login, file.read_text()))
    if case.login == "over":
        settings = Caller.of(mine.environ).settings.login
        assert settings is not None
        kept = SignIn(settings.issuer, settings.client_id, "alice", Secret("made-up"), LONG_AGO, refresh_token=None)
        store = LoginStore.of(settings, login_folder(mine.environ))
        with store.locked(1):
            store.write(kept, keyring=False)
    return mine


def began(mine: Machine, allow: str) -> Credentials:
    """Begins a task by the Python client, as this machine's user, and returns its credentials."""
    caller = Caller.of(mine.environ)
    token = token_source(caller.settings.subject_token, caller.settings, environ=caller.environ.reveal())
    with gateway_of(caller) as gateway, gateway.task("p", subject_token=token, allow=allow) as task:
        return task.credentials()


def body_of(credentials: Callable[[], Credentials]) -> tuple[int, dict[str, str]]:
    """Returns the status and the body that a tool gets from the container endpoint of these credentials."""
    with ContainerEndpoint(credentials) as endpoint:
        environ = endpoint.environment()
        headers = {"Authorization": environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
        request = urllib.request.Request(environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers=headers)  # noqa: S310 - loopback
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(request)  # noqa: S310 - the same
        with refused.value as answer:
            body: dict[str, str] = json.load(answer)
            return answer.code, body


@pytest.mark.parametrize("name", CASES)
async def test_a_failure_has_one_reason_one_sentence_and_one_advice_wherever_it_is_told(
    name: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    mine = prepared(case, sandbox, tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", mine.environ["XDG_STATE_HOME"])  # this process has that user's sign-in, too

    with pytest.raises(remit.RemitError) as raised:
        began(mine, case.allow)
    error = raised.value
    done = mine.remit("run", "--purpose", "p", "--allow", case.allow, "--", "true")
    status, body = body_of(lambda: began(mine, case.allow))
    async with copilot(mine) as client:
        good, problem, text = await asked(client, "request_aws_access", purpose="p", allow=[case.allow])

    assert error.advice
    assert not good
    told = [error.reason, done.stderr.partition(":")[0], body["Code"], problem["reason"], text.partition(":")[0]]
    assert told == [case.reason] * 5
    assert (done.returncode, status) == (case.exit_code, case.status)
    assert problem["message"] == error.message
    assert advice_of(error) in problem["ways"].values()
    for words, advice in (
        (str(error), error.advice),
        (done.stderr, error.advice),
        (body["Message"], error.advice),
        (text, advice_of(error)),
    ):
        assert error.message in words
        assert f"what to do: {advice}" in words


async def test_a_revoked_task_has_one_reason_and_one_advice_wherever_it_is_told(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    ledger = folder / "ledger.sqlite3"
    token = sandbox.issuer.token("alice", client_id="copilot")
    with own_gateway(sandbox, folder) as gateway:
        mine = machine(sandbox, tmp_path, token, target=gateway.mtls)
        async with copilot(mine) as client:
            with (
                endpoint(mine),
                gateway_of(Caller.of(mine.environ)) as ours,
                ours.task("p", subject_token=token, allow=Q3) as task,
            ):
                keys_of(mine.remit(*BY_PROFILE))
                _, access, _ = await asked(client, "request_aws_access", purpose="p", allow=[Q3])
                command = config_file(access).read_text().split("credential_process = ")[-1].splitlines()[0].split()
                keys_of(mine.run(*command))

                for task_id in tasks_in(ledger):
                    await revoke(ledger, task_id)
                until(lambda: mine.remit(*BY_PROFILE).returncode != 0)
                until(lambda: mine.run(*command).returncode != 0)
                until(lambda: over(task))
                with pytest.raises(remit.TaskOver) as raised:
                    task.credentials()
                status, body = body_of(task.credentials)
                done = mine.remit(*BY_PROFILE)
                good, problem, text = await asked(
                    client, "request_aws_access", purpose="p", allow=[Q3], handle=access["handle"]
                )

    advice = raised.value.advice
    assert "why it was revoked" in advice
    assert not good
    told = [raised.value.reason, done.stderr.partition(":")[0], body["Code"], problem["reason"], text.partition(":")[0]]
    assert told == ["GRANT_NOT_LIVE"] * 5
    assert (done.returncode, status) == (84, 403)
    for words in (str(raised.value), done.stderr, body["Message"], text, " ".join(problem["ways"].values())):
        assert advice in words


def tasks_in(ledger: Path) -> list[str]:
    """Returns every task of a ledger."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return [task_id for (task_id,) in connection.execute("SELECT task_id FROM tasks").fetchall()]


def over(task: remit.Task) -> bool:
    """Says whether the client has heard that it is over."""
    try:
        task.credentials()
    except remit.TaskOver:
        return True
    return False
