"""What planning a session costs: choosing, deriving, guarding, compacting and proving, in CPU time of this process."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import FAST
from remit_server.application.planning.plan_session import Planner, Wish, plan_session
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Entitlement, Role
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, Condition, Document, ResourcePattern

ROLE = "arn:aws:iam::111122223333:role/remit-reports"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
ROUNDS = 300


def permission(action: str, resource: str, *conditions: Condition) -> Permission:
    """Returns one action on one resource."""
    return Permission((ActionPattern.parse(action),), (ResourcePattern.parse(resource),), conditions)


def measured(label: str, work: Callable[[], object]) -> None:
    """Prints the least and the median CPU time of one call."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - start) / 1e6)
    print(f"{label:<58} least {min(times):7.3f} ms   median {statistics.median(times):7.3f} ms")


def main() -> None:
    """Plans an intent of two permissions, and one of ten, against 1 and 100 entitlements; then the same again."""
    ceiling = Document.parse(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::reports",'
        '"arn:aws:s3:::reports/*"]}]}'
    )
    ceilings = Ceilings.of((Role(ROLE, "eu-central-1", ceiling, timedelta(hours=1)),), (), "0" * 64)
    prefix = Condition("StringLike", "s3:prefix", ("2026/q3/*",))
    two = (
        permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),
        permission("s3:ListBucket", "arn:aws:s3:::reports", prefix),
    )
    ten = tuple(permission("s3:GetObject", f"arn:aws:s3:::reports/2026/q{number}/*") for number in range(10))
    for count in (1, 100):
        others = [permission("s3:GetObject", f"arn:aws:s3:::reports/{number}/*") for number in range(count - 1)]
        readable = permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")
        listed = permission("s3:ListBucket", "arn:aws:s3:::reports")
        reader = Entitlement("reader", ROLE, (readable, listed), timedelta(hours=1), timedelta(hours=8))
        rest = [
            Entitlement(f"other-{number}", ROLE, (item,), timedelta(hours=1), timedelta(hours=8))
            for number, item in enumerate(others)
        ]
        allow = Allow((reader, *rest))
        for name, permissions in (("2 permissions", two), ("10 permissions", ten)):
            wish = Wish(permissions, None, narrowed=False, task=None, token_end=None, now=NOW)
            measured(f"planned anew, {name}, {count} entitlements", partial(plan_session, wish, allow, ceilings, FAST))
            again = partial(Planner(ceilings), wish, allow, FAST)
            measured(f"planned again, {name}, {count} entitlements", again)


if __name__ == "__main__":
    main()
