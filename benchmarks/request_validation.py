"""Prints what checking one request costs, valid and hostile: microseconds, the least and the median of nine rounds."""

import statistics
import time
from collections.abc import Callable
from functools import partial

from remit.v1.credential_service_pb2 import IssueCredentialsRequest
from remit.v1.types_pb2 import Capability, Permission, TaskIntent
from remit_server.transport.grpc.validation import violations

ROUNDS = 9


def main() -> None:
    """Measures and prints."""
    requests = {"valid, 1.7 KB": valid_request(), "60 KB of broken rules": hostile_request()}
    report("calibration: sum(range(1000))", lambda: sum(range(1000)))
    for name, request in requests.items():
        report(f"violations({name})", partial(violations, request))


def valid_request() -> IssueCredentialsRequest:
    """Returns a request as agents send them, with a token of 1.5 KB."""
    return IssueCredentialsRequest(
        request_id="4c1b7d52-3f0e-4a4e-9a3a-5a1f6f1f2a10",
        subject_token="t" * 1500,
        intent=TaskIntent(
            purpose="summarise Q3",
            permissions=[Permission(actions=["s3:GetObject"], resources=["arn:aws:s3:::reports/2026/q3/*"])],
            capabilities=[Capability(name="s3.read_prefix", parameters={"bucket": "reports"})],
        ),
    )


def hostile_request() -> IssueCredentialsRequest:
    """Returns a request that breaks as many rules as a message has room for."""
    request = valid_request()
    request.intent.permissions[0].actions.extend([""] * 29_000)
    return request


def report(name: str, work: Callable[[], object], calls: int = 2000) -> None:
    """Prints the time of one call."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        rounds.append((time.perf_counter() - start) / calls * 1e6)
    print(f"{name:40} least {min(rounds):8.1f} us   median {statistics.median(rounds):8.1f} us")


if __name__ == "__main__":
    main()
