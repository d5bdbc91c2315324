"""Gone with the task, at AWS: what is revoked through the real gateway, the account refuses, and nothing else."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.e2e.gateways import Q3, client
from typer.testing import CliRunner, Result

import remit
from remit_sandbox.sample_account import ACCOUNT_ID, REGION, TABLE
from remit_sandbox.sandbox import Sandbox
from remit_server.cli.main import app

ONCE = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={})
ORDERS = remit.Capability("dynamodb.read_items", table=TABLE, region=REGION, account=ACCOUNT_ID)
PATIENCE = 60.0  # for a loaded machine; nothing is measured here


class Holder:
    """Somebody who copied a task's credentials, and goes on using them whatever the client does."""

    def __init__(self, sandbox: Sandbox, task: remit.Task) -> None:
        held = task.credentials()
        self.grant = task.grant.name
        self._session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        self._session.set_credentials(held.access_key_id, held.secret_access_key, held.session_token)
        self._aws = sandbox.aws

    def works(self) -> bool:
        return self.reads("2026/q3/revenue.csv")

    def reads(self, key: str) -> bool:
        return self._goes_through("s3", lambda s3: s3.get_object(Bucket="reports", Key=key))

    def reads_orders(self) -> bool:
        key = {"pk": {"S": "customer#1"}}
        return self._goes_through("dynamodb", lambda dynamodb: dynamodb.get_item(TableName=TABLE, Key=key))

    def _goes_through(self, service: str, call: Callable[[Any], object]) -> bool:
        made: Any = self._session.create_client(
            service, endpoint_url=self._aws.endpoint_url, region_name=REGION, config=ONCE
        )
        try:
            call(made)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"AccessDenied", "AccessDeniedException"}:
                raise
            return False
        return True


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def working(sandbox: Sandbox, user: str = "alice", allow: remit.Capability = Q3) -> Iterator[remit.Task]:
    """Yields a task of the copilot for a user."""
    token = sandbox.issuer.token(user, client_id="copilot")
    with (
        client(sandbox, sandbox.mtls) as gateway,
        gateway.task("summarise Q3", subject_token=token, allow=allow) as task,
    ):
        yield task


@pytest.fixture
def operate(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Result]:
    """Runs `remit-server grants` as bob of the security team."""
    token = tmp_path / "token"
    token.write_text(sandbox.issuer.operator_token("bob") + "\n")
    token.chmod(0o600)
    connection = ["--gateway", sandbox.bearer, "--ca-file", str(sandbox.authority.bundle_path)]

    def run(*command: str) -> Result:
        return CliRunner().invoke(app, ["grants", *command, *connection, "--token-file", str(token)])

    return run


def shown(operate: Callable[..., Result], grant: str) -> dict[str, Any]:
    task = grant.split("/")[1]
    result = operate("list", "--filter", f"task_id = {task}", "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return dict(json.loads(line))


def test_the_credentials_of_an_ended_task_die_while_anothers_live(sandbox: Sandbox) -> None:
    with working(sandbox) as other:
        alive = Holder(sandbox, other)
        with working(sandbox) as task:
            dead = Holder(sandbox, task)
            assert dead.works()

        until(lambda: not dead.works())

        assert alive.works()


def test_a_revoked_user_dies_everywhere_and_may_log_in_again(sandbox: Sandbox, operate: Callable[..., Result]) -> None:
    with working(sandbox, "alice") as task, working(sandbox, "bob", ORDERS) as others:
        dead, alive = Holder(sandbox, task), Holder(sandbox, others)

        result = operate("revoke", "--user", "alice", "--issuer", sandbox.issuer.url, "--yes", "--why", "laptop lost")

        assert result.exit_code == 0, result.output
        until(lambda: not dead.works())
        assert alive.reads_orders()
    time.sleep(1.1)  # a login is told from those before the revoke by whole seconds
    with working(sandbox, "alice") as later:
        assert Holder(sandbox, later).works()


def test_it_is_observed_when_aws_refuses(sandbox: Sandbox, operate: Callable[..., Result]) -> None:
    with working(sandbox) as task:
        dead = Holder(sandbox, task)
        assert operate("revoke", dead.grant, "--yes", "--why", "test").exit_code == 0

        until(lambda: shown(operate, dead.grant)["state"] == "GRANT_STATE_REVOKED")

    told = json.dumps(shown(operate, dead.grant))
    assert "OBSERVED" in told
    assert not dead.works()
