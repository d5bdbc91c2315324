"""examples/langgraph-report: the agent as it stands there, in its framework's environment, on the live sandbox."""

import os
import subprocess

import pytest
from tests.e2e.examples.platform_gateway import EXAMPLES, ROOT
from tests.e2e.test_frameworks import interpreter
from tests.e2e.watched import plain_environment

from remit_sandbox.sandbox import Sandbox

HERE = EXAMPLES / "langgraph-report"

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("REMIT_EXTENDED") != "1", reason="part of make test-frameworks: LangChain's own environment"
    ),
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def told(sandbox: Sandbox) -> str:
    """What a run of the agent prints."""
    pair = sandbox.agents["copilot"]
    done = subprocess.run(  # noqa: S603 - the example itself
        [interpreter("langchain"), HERE / "report.py"],
        env=plain_environment(
            {
                "PYTHONPATH": str(ROOT / "clients" / "python"),
                "REMIT_GATEWAY": sandbox.mtls,
                "REMIT_CA_FILE": str(sandbox.authority.bundle_path),
                "REMIT_CERTIFICATE_FILE": str(pair.certificate_path),
                "REMIT_KEY_FILE": str(pair.key_path),
                "REMIT_SUBJECT_TOKEN": sandbox.issuer.token("alice", client_id="copilot"),
                "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url,
            }
        ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_agent_is_refused_narrows_reads_is_denied_asks_writes_and_is_over(told: str) -> None:
    places = [
        told.index(words)
        for words in (
            "> read_report",
            '"reason":"CEILING_EXCEEDED"',
            "> request_aws_access {'allow': ['s3:GetObject=arn:aws:s3:::reports/2026/q3/*']",
            "Revenue 857",
            "> write_draft",
            '"status":"denied"',
            "> request_aws_access {'allow': ['s3:PutObject=arn:aws:s3:::reports/drafts/q3.md']",
            "written to drafts/q3.md",
            "the run is over",
        )
    ]

    assert places == sorted(places), told
    assert told.rstrip().endswith("over>")


def test_the_draft_is_what_was_read(told: str, sandbox: Sandbox) -> None:
    s3 = sandbox.aws.client("s3")

    draft = s3.get_object(Bucket="reports", Key="drafts/q3.md")["Body"].read().decode()

    assert "written to drafts/q3.md" in told
    assert draft == "Revenue 857, up 6 % on Q2.\nBest region: north.\n"
