"""A local AWS: ministack in a process of its own, from a virtual environment of its own, on loopback.

NOTE: ministack takes the access key `test` and any account number for the account's root, whatever the secret.
That is why it listens on 127.0.0.1 only, serves just the services the sandbox needs, and holds nothing real.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import string
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from remit_sandbox import sample_account, tethered
from remit_sandbox.aws_client import AwsKeys, aws_client
from remit_sandbox.errors import SandboxError
from remit_sandbox.private_files import private_folder, write_private
from remit_sandbox.sample_account import ACCOUNT_ID, PARTNER_BUCKET, REGION, SampleAccount
from remit_server.adapters.child_processes import killed, started

HOST = "127.0.0.1"
SERVICES = ("dynamodb", "ec2", "iam", "kms", "s3", "secretsmanager", "sts")
START_SECONDS = 90.0
STOP_SECONDS = 10.0
_START_ATTEMPTS = 3
_POLL_SECONDS = 0.05
_PROJECT = Path(__file__).resolve().parents[2]


class LocalAws:
    """A running local AWS account; `await LocalAws.start(folder)` makes one, `async with` also ends it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, root: AwsKeys, log_path: Path) -> None:
        self.account_id = ACCOUNT_ID
        self.region = REGION
        self.port = port
        self.endpoint_url = f"http://{HOST}:{port}"
        self.root = root
        self.log_path = log_path
        self._process = process
        self._gateway_keys: AwsKeys | None = None

    @classmethod
    async def start(
        cls,
        state_folder: Path,
        *,
        executable: Path | None = None,
        port: int | None = None,
        services: Collection[str] = SERVICES,
    ) -> Self:
        """Starts ministack and returns once it answers; its output goes to `ministack.log` in the state folder.

        A free port is chosen unless one is given. `services` are those it serves: the ones the sandbox needs, unless
        a test needs others. Raises SandboxError if ministack is missing, ends at once, or does not answer within 30 s.
        """
        interpreter = find_interpreter(executable)
        folder = private_folder(state_folder)
        for _ in range(1 if port else _START_ATTEMPTS):
            candidate = await cls._launch(interpreter, folder, port or _free_port(), services)
            if candidate is not None:
                return candidate
        where = f"port {port}" if port else f"any of {_START_ATTEMPTS} free ports"
        message = f"ministack ended before it answered on {where}: read {folder / 'ministack.log'}"
        raise SandboxError(message)

    @classmethod
    async def _launch(cls, interpreter: Path, folder: Path, port: int, services: Collection[str]) -> Self | None:
        """Starts one process and returns the account once it answers, or None if the process ended by itself."""
        root, nonce = _root_keys(), secrets.token_hex(8)
        log_path = write_private(folder / "ministack.log", b"")
        with log_path.open("ab") as log:
            start = asyncio.create_subprocess_exec(
                *(interpreter, "-I", tethered.__file__, "ministack"),
                stdin=asyncio.subprocess.PIPE,  # its tether: it closes when this process ends
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=_environment(folder, port, root, nonce, services),
                cwd=folder,
                start_new_session=True,  # a Ctrl-C is for the sandbox, which then stops it in its turn
            )
            process = await started(start, killed)
        account = cls(process, port, root, log_path)
        try:
            if await _answers(process, account.endpoint_url, nonce):
                return account
            await account.stop()
        except BaseException:
            await account.stop()
            raise
        return None

    async def stop(self) -> None:
        """Ends the process that was started, and only that one; may be repeated."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def process_id(self) -> int:
        """The id of the process that this account lives in."""
        return self._process.pid

    def client(self, service: str, keys: AwsKeys | None = None) -> Any:
        """Returns a boto3 client for the service, signed with the keys or, without any, as the account's root."""
        return aws_client(service, self.endpoint_url, self.region, keys or self.root)

    async def seed(self, policies: Mapping[str, str] | None = None) -> SampleAccount:
        """Fills the account and returns what is in it; repeated, it mends and keeps the gateway's keys.

        `policies` replaces the roles' own policies (role name to JSON). Raises SandboxError if a call is refused.
        """
        try:
            account = await asyncio.to_thread(
                sample_account.seed, self.client, known_keys=self._gateway_keys, policies=policies
            )
        except (BotoCoreError, ClientError) as error:
            message = f"the local AWS account could not be filled: {error}; read {self.log_path}"
            raise SandboxError(message) from error
        self._gateway_keys = account.gateway_keys
        return account

    async def let_partner_name(self, principal_arn: str) -> None:
        """Sets the policy of the bucket `partner-drop` so that it hands its objects to a session or a role."""
        policy = sample_account.partner_policy(principal_arn)
        s3 = self.client("s3")
        await asyncio.to_thread(s3.put_bucket_policy, Bucket=PARTNER_BUCKET, Policy=policy)


def find_interpreter(executable: Path | None = None) -> Path:
    """Returns the Python interpreter of ministack's virtual environment.

    It stands beside the `ministack` command: the one given, else REMIT_MINISTACK, else the project's own in
    `.venv-ministack`. Raises SandboxError if there is none.
    """
    configured = os.environ.get("REMIT_MINISTACK")
    command = executable or (Path(configured) if configured else _PROJECT / ".venv-ministack" / "bin" / "ministack")
    interpreter = command.resolve().with_name("python")
    if not command.is_file() or not interpreter.is_file():
        message = (
            f"there is no ministack at {command}: run `make setup` in the project, or set REMIT_MINISTACK to the"
            " `ministack` command of a virtual environment that has it"
        )
        raise SandboxError(message)
    return interpreter


def _root_keys() -> AwsKeys:
    alphabet = string.ascii_uppercase + string.digits
    suffix = "".join(secrets.choice(alphabet) for _ in range(16))
    return AwsKeys(f"AKIA{suffix}", secrets.token_urlsafe(30))


def _environment(folder: Path, port: int, root: AwsKeys, nonce: str, services: Collection[str]) -> dict[str, str]:
    """Returns the whole environment of the process: nothing of the laptop's own reaches it."""
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "AUTH": "true",
        "SERVICES": ",".join(services),
        # Functions run in containers or not at all, and there is no Docker: nobody's code runs as this laptop's user.
        "LAMBDA_EXECUTOR": "docker",
        "LAMBDA_STRICT": "1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "STATE_DIR": str(folder / "ministack-state"),
        "S3_DATA_DIR": str(folder / "ministack-s3"),
        "DOCKER_HOST": f"unix://{folder / 'no-docker'}",
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_REGION": REGION,
        "MINISTACK_EDITION": nonce,
        "AWS_ACCESS_KEY_ID": root.access_key_id,
        "AWS_SECRET_ACCESS_KEY": root.secret_access_key,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _answers(process: asyncio.subprocess.Process, endpoint_url: str, nonce: str) -> bool:
    """Waits until our own process answers and enforces; False if it ended first; SandboxError after 30 s."""
    deadline = time.monotonic() + START_SECONDS
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        while time.monotonic() < deadline:
            health = await _health(session, endpoint_url)
            if process.returncode is not None:
                return False
            # The nonce tells our process from a stranger that took the port between the choice and the start.
            if health.get("edition") == nonce and health.get("auth") == "enabled":
                return True
            await asyncio.sleep(_POLL_SECONDS)
    raise SandboxError(f"ministack did not answer at {endpoint_url} within {START_SECONDS:.0f} s")


async def _health(session: aiohttp.ClientSession, endpoint_url: str) -> Mapping[str, Any]:
    try:
        async with session.get(f"{endpoint_url}/_ministack/health") as response:
            found = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
