"""The real MinIO, where there is one: it verifies our issuer's tokens through HTTPS and enforces session policies."""

import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from remit_sandbox.aws_client import AwsKeys, aws_client

ROOT_USER, ROOT_PASSWORD = "made-up-root", "made-up-root-password"
REGION = "us-east-1"
_START_SECONDS = 60.0
_DONE, _NOT_YET = 200, 503


def find_minio() -> Path:
    """Returns the `minio` binary; without one the test is skipped, or fails in an extended run with REQUIRE_REAL=1."""
    found = os.environ.get("REMIT_MINIO") or shutil.which("minio")
    if found is not None and os.access(found, os.X_OK):
        return Path(found)
    why = "no minio binary: `make test-extended` builds it with Go (or set REMIT_MINIO)"
    if os.environ.get("REMIT_REQUIRE_REAL") == "1" and os.environ.get("REMIT_EXTENDED") == "1":
        pytest.fail(why)
    pytest.skip(why)


@dataclass(frozen=True)
class Minio:
    """A running MinIO."""

    url: str

    def s3(self, keys: AwsKeys | None = None) -> Any:
        """Returns an S3 client with these keys, or with those that may do everything."""
        return aws_client("s3", self.url, REGION, keys or AwsKeys(ROOT_USER, ROOT_PASSWORD))

    def put_policy(self, name: str, policy: dict[str, Any]) -> None:
        """Makes a policy that a token's claim can name, as soon as MinIO has begun to keep policies."""
        body = json.dumps(policy).encode()
        request = AWSRequest("PUT", f"{self.url}/minio/admin/v3/add-canned-policy", data=body, params={"name": name})
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        SigV4Auth(Credentials(ROOT_USER, ROOT_PASSWORD), "s3", REGION).add_auth(request)
        prepared = request.prepare()
        end = time.monotonic() + _START_SECONDS
        while (status := self._put(prepared.url, body, dict(prepared.headers))) == _NOT_YET and time.monotonic() < end:
            time.sleep(0.05)
        assert status == _DONE, f"HTTP {status}"

    def _put(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.request("PUT", url.removeprefix(self.url), body, headers)
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def running_minio(folder: Path, port: int, *, issuer: str, authority: Path) -> Iterator[Minio]:
    """Runs MinIO with that issuer as its only OpenID provider, trusting the authority's certificates.

    The policy of a session is named by the token's audience, which is the one claim that MinIO and AWS both read.
    """
    (folder / "certs/CAs").mkdir(parents=True)
    (folder / "data").mkdir()
    shutil.copy(authority, folder / "certs/CAs/issuer.crt")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MINIO_ROOT_USER": ROOT_USER,
        "MINIO_ROOT_PASSWORD": ROOT_PASSWORD,
        "MINIO_UPDATE": "off",
        "MINIO_BROWSER": "off",
        "MINIO_IDENTITY_OPENID_CONFIG_URL": f"{issuer}/.well-known/openid-configuration",
        "MINIO_IDENTITY_OPENID_CLIENT_ID": "sts.amazonaws.com",
        "MINIO_IDENTITY_OPENID_CLIENT_SECRET": "made-up-and-unused",
        "MINIO_IDENTITY_OPENID_CLAIM_NAME": "aud",
        "MINIO_IDENTITY_OPENID_SCOPES": "openid",
    }
    arguments = ["server", "--quiet", "--address", f"127.0.0.1:{port}", "--certs-dir", "certs", "data"]
    with (folder / "minio.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the binary that the tests are pointed at
            [str(find_minio()), *arguments], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}", folder / "minio.log")
            yield Minio(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Returns when MinIO serves; fails the test with its log when it does not."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/minio/health/ready", timeout=2):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"MinIO did not start: {log.read_text(errors='replace')}")
