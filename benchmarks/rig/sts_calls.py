"""The floors under the call to AWS: `python -m benchmarks.rig.sts_calls ours|boto3 URL AUTHORITY WINDOWS`.

Both open the same session (session policy, tags, source identity) at the same fake; the CPU counted is this process's.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop
from benchmarks.rig.accounting import Run, Window
from benchmarks.rig.fast_sts import ACCESS_KEY_ID, SECRET_ACCESS_KEY

from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.system_clock import SystemClock
from remit_server.config.settings import AwsSettings
from remit_server.domain.credentials import SessionOrder
from remit_server.domain.entitlement import Role
from remit_server.domain.secret import Secret
from remit_server.iam import Document

REGION = "eu-central-1"
CALLERS = 16
WARM_CALLS = 50
_STATEMENTS = [
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/2026/q3/*"},
    {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::reports",
        "Condition": {"StringLike": {"s3:prefix": ["2026/q3/", "2026/q3/*"]}},
    },
    {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"DateGreaterThan": {"aws:CurrentTime": "x" * 20}}},
]
POLICY = json.dumps({"Version": "2012-10-17", "Statement": _STATEMENTS}, separators=(",", ":"))
ORDER = SessionOrder(
    role=Role(
        "arn:aws:iam::111122223333:role/remit-reports",
        REGION,
        Document.parse({"Version": "2012-10-17", "Statement": _STATEMENTS[:1]}),
        timedelta(hours=1),
    ),
    session_name="mfzwizltoqytamrtgq2tmnzyhe",
    session_policy=POLICY,
    duration_seconds=900,
    source_identity="sandbox.user-1=40example.test",
    tags=(("remit:grant", "s" * 26 + "." + "t" * 26 + "." + "g" * 26), ("remit:by", "a" * 26 + "." + "r" * 26)),
)


async def ours(url: str, authority: str, windows: int) -> Run:
    """Calls through the gateway's own adapter, some calls at a time."""
    settings = AwsSettings(
        region=REGION,
        endpoint_url=url,
        ca_file=Path(authority),
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=Secret(SECRET_ACCESS_KEY),
        requests_per_second=100_000,
        burst=100_000,
    )
    sts = AwsSts(settings, [ORDER.role], clock=SystemClock())
    calls = 0

    async def caller() -> None:
        nonlocal calls
        while True:
            await sts(ORDER, deadline=time.monotonic() + 15)
            calls += 1

    tasks = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.sleep(1)
    seen = []
    for _ in range(windows):
        before, cpu, start = calls, time.process_time(), time.monotonic()
        await asyncio.sleep(1)
        seen.append(Window(calls - before, 0, time.process_time() - cpu, time.monotonic() - start))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await sts.close()
    return Run(tuple(seen), (), ())


def boto3_client(url: str, authority: str) -> Any:
    """Returns boto3's client of the fake."""
    import boto3  # noqa: PLC0415 - so that its import is no part of the other floor
    from botocore.config import Config  # noqa: PLC0415 - the same

    return boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=url,
        verify=authority,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(retries={"max_attempts": 0}),
    )


def by_boto3(url: str, authority: str, windows: int) -> Run:
    """Calls as a program of today would: one client, one call after the other."""
    client = boto3_client(url, authority)

    def call() -> None:
        client.assume_role(
            RoleArn=ORDER.role.arn,
            RoleSessionName=ORDER.session_name,
            Policy=POLICY,
            DurationSeconds=ORDER.duration_seconds,
            SourceIdentity=ORDER.source_identity,
            Tags=[{"Key": key, "Value": value} for key, value in ORDER.tags],
        )

    for _ in range(WARM_CALLS):
        call()
    return Run(tuple(_window(call) for _ in range(windows)), (), ())


def _window(call: Callable[[], None]) -> Window:
    """Calls for one second."""
    calls, cpu, start = 0, time.process_time(), time.monotonic()
    while (wall := time.monotonic() - start) < 1:
        call()
        calls += 1
    return Window(calls, 0, time.process_time() - cpu, wall)


def main() -> None:
    """Prints the run as JSON."""
    which, url, authority, windows = sys.argv[1:]
    if which == "boto3":
        run = by_boto3(url, authority, int(windows))
    else:
        work: Coroutine[Any, Any, Run] = ours(url, authority, int(windows))
        run = uvloop.run(work)
    print(run.to_json())


if __name__ == "__main__":
    main()
