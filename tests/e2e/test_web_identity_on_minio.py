"""From an agent's request to an object and back: the whole gateway as an issuer, and MinIO that trusts it."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.e2e.gateways import Q3, client, own_gateway
from tests.e2e.sts_relay import ceiling_of
from tests.minio_relay import minio_relay
from tests.opa_server import free_port
from tests.real_minio import REGION, find_minio, running_minio
from tests.signing_key_files import fresh_key
from tests.sts_log import LOG
from tests.web_identity_world import IssuerFolder

from remit_sandbox.sample_account import OBJECTS
from remit_sandbox.sandbox import Sandbox
from remit_server.config.loading import load


def test_an_agent_reads_what_its_task_needs_by_a_derived_policy_that_minio_enforces(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    find_minio()
    for role in load(sandbox.config, {}).roles:
        ceiling = ceiling_of(role.arn)
        assert ceiling is not None
        LOG.configure(role.arn, ceiling)
    issuer = IssuerFolder.create(tmp_path, fresh_key(), url=f"https://localhost:{free_port()}")
    pair = sandbox.authority.issue_server(["localhost", "127.0.0.1", "minio"])
    files = {"certificate_file": str(pair.certificate_path), "key_file": str(pair.key_path)}
    address = issuer.url.replace("https://localhost", "127.0.0.1")
    more = {
        "listen.http": {"address": address, **files},
        "issuer": {"url": issuer.url, "signing_key_file": str(issuer.active)},
    }
    port = free_port()
    with (
        minio_relay(f"http://127.0.0.1:{port}") as relay,
        own_gateway(sandbox, tmp_path, {"endpoint_url": relay.url, "assumed_by": "web_identity"}, more) as own,
        # MinIO asks for the issuer's documents when it starts: the gateway serves them already.
        running_minio(tmp_path, port, issuer=issuer.url, authority=sandbox.authority.bundle_path) as minio,
        client(sandbox, own.mtls) as gateway,
    ):
        everything = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
        minio.put_policy("sts.amazonaws.com", {"Version": "2012-10-17", "Statement": [everything]})
        minio.s3().create_bucket(Bucket="reports")
        for key, text in OBJECTS["reports"].items():
            minio.s3().put_object(Bucket="reports", Key=key, Body=text.encode())

        with gateway.task("summarise Q3", subject_token=alice_token, allow=Q3) as task:
            s3 = task.boto3_session(REGION).client("s3", endpoint_url=minio.url)
            read = s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read().decode()
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.get_object(Bucket="reports", Key="hr/salaries.csv")
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.put_object(Bucket="reports", Key="2026/q3/summary.md", Body=b"overwritten")

    assert read == OBJECTS["reports"]["2026/q3/summary.md"]
    assert relay.refusals == []
