"""Random calls of random sessions on an account that enforces policies: what was issued allows, its ceiling allows.

Each intent is narrowed to a random ceiling, derived and proven as the gateway does it. One session has what was issued,
another one the ceiling itself; both make the same calls, and our own evaluation is asked about each of them too.
"""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
import pytest_asyncio
from botocore.config import Config
from tests.figures import Counted
from tests.integration import capability_calls as calls
from tests.integration.capability_world import ROLE, TAGS, Session

from remit_sandbox.local_aws import SERVICES, LocalAws
from remit_sandbox.sample_account import SampleAccount
from remit_server.iam import (
    Allowed,
    Derived,
    Document,
    Policies,
    Request,
    Witness,
    contains,
    derive,
    evaluate,
    narrow_all,
)

EXTENDED = os.environ.get("REMIT_EXTENDED") == "1"
SEED = int(os.environ.get("REMIT_DIFFERENTIAL_SEED", "0"))
ROUNDS = 250 if EXTENDED else 12
# An account without it takes ForAllValues for true; AWS has it.
UNKNOWN_TO_MINISTACK = "dynamodb:LeadingKeys"
PLACE = "eu-central-1:111122223333"
OBJECTS = ("2026/q2/revenue.csv", "2026/q2/summary.md", "2026/q3/revenue.csv", "2026/q3/summary.md", "hr/salaries.csv")
ROLE_POLICY = Document.parse(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": ["dynamodb:*", "s3:*", "sqs:*"], "Resource": "*"},
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, and the request that AWS makes of it."""

    request: Request
    make: Callable[[Session], object]


def _calls() -> Iterator[Call]:
    for key in OBJECTS:
        yield Call(Request("s3:GetObject", f"arn:aws:s3:::reports/{key}"), calls.get_object(key))
        yield Call(Request("s3:PutObject", f"arn:aws:s3:::reports/{key}"), calls.put_object(key))
    for prefix in ("2026/", "2026/q3/", "hr/"):
        request = Request("s3:ListBucket", "arn:aws:s3:::reports", {"s3:prefix": prefix})
        yield Call(request, calls.list_below(prefix))
    yield Call(Request("s3:ListBucket", "arn:aws:s3:::reports"), lambda it: it.s3.list_objects_v2(Bucket="reports"))
    table = f"arn:aws:dynamodb:{PLACE}:table/orders"
    yield Call(Request("dynamodb:GetItem", table, {"dynamodb:LeadingKeys": ("customer#1",)}), calls.item("orders"))
    yield Call(Request("dynamodb:PutItem", table, {"dynamodb:LeadingKeys": ("customer#9",)}), calls.put_item("orders"))
    for queue in ("jobs", "jobs-dead"):
        for action, make in (
            ("SendMessage", calls.send),
            ("ReceiveMessage", calls.receive),
            ("GetQueueAttributes", calls.attributes),
        ):
            yield Call(Request(f"sqs:{action}", f"arn:aws:sqs:{PLACE}:{queue}"), make(queue))


CALLS = tuple(_calls())
ACTIONS = {
    "s3": ("s3:GetObject", "s3:PutObject", "s3:*Object", "s3:Get*", "s3:ListBucket", "s3:List*", "s3:*"),
    "dynamodb": ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:*Item", "dynamodb:Get*", "dynamodb:*"),
    "sqs": ("sqs:SendMessage", "sqs:*Message", "sqs:Get*", "sqs:ReceiveMessage", "sqs:*"),
}
RESOURCES = {
    "s3": (
        *("arn:aws:s3:::reports", "arn:aws:s3:::reports/*", "arn:aws:s3:::reports*", "arn:aws:s3:::reports/2026/q3/*"),
        *("arn:aws:s3:::reports/*/revenue.csv", "arn:aws:s3:::reports/hr/*", "arn:aws:s3:::reports/2026/q?/*", "*"),
    ),
    "dynamodb": (f"arn:aws:dynamodb:{PLACE}:table/orders", f"arn:aws:dynamodb:{PLACE}:table/o*", "*"),
    "sqs": (*(f"arn:aws:sqs:{PLACE}:{name}" for name in ("jobs", "jobs-dead", "jobs*", "jobs-*")), "*"),
}
CONDITIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "s3": (
        {"StringLike": {"s3:prefix": ["2026/*", "hr/"]}},
        {"StringLike": {"s3:prefix": "2026/q3/*"}},
        {"StringEquals": {"s3:prefix": "2026/q3/"}},
    ),
    "dynamodb": ({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["customer#1"]}},),
    "sqs": (),
}


class Drawing:
    """Draws ceilings and intents about what is in the account."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def some(self, of: tuple[str, ...]) -> list[str]:
        return sorted(set(self.chance.choices(of, k=self.chance.choice((1, 1, 2)))))

    def statement(self, *, is_plain: bool) -> dict[str, Any]:
        service = self.chance.choice(("s3", "s3", "s3", "dynamodb", "sqs"))
        out: dict[str, Any] = {"Effect": "Allow", "Action": self.some(ACTIONS[service])}
        out["Resource"] = self.some(RESOURCES[service])
        if CONDITIONS[service] and self.chance.random() < 0.2:
            out["Condition"] = self.chance.choice(CONDITIONS[service])
        if is_plain:
            return out
        if self.chance.random() < 0.2:
            out["Effect"] = "Deny"
        for name in ("Action", "Resource"):
            if self.chance.random() < 0.1:
                out[f"Not{name}"] = out.pop(name)
        return out

    def ceiling(self) -> Document:
        wide = {"Effect": "Allow", "Action": self.some(("s3:*", "sqs:*", "dynamodb:*")), "Resource": "*"}
        some = [self.statement(is_plain=False) for _ in range(self.chance.randint(1, 4))]
        return Document.parse({"Version": "2012-10-17", "Statement": [wide, *some]})

    def issued(self) -> tuple[Document, Document]:
        """Draws until there is something to issue: a session policy, and the ceiling that it is proven within."""
        while True:
            ceiling = self.ceiling()
            intent = [self.statement(is_plain=True) for _ in range(self.chance.randint(1, 4))]
            narrowed = narrow_all(Document.parse({"Version": "2012-10-17", "Statement": intent}), [ceiling])
            if narrowed.is_empty:
                continue
            derived = derive(narrowed, [ceiling], end=datetime.now(UTC) + timedelta(hours=1))
            if isinstance(derived, Derived) and isinstance(contains(derived.document, ceiling), Witness):
                return derived.document, ceiling


class Caller(Session):
    """Clients that go from one session to the next: making them takes longer than a hundred calls."""

    def __init__(self, aws: LocalAws) -> None:
        # NOTE: a client signs with what the credentials of its own session are at the time of the call.
        own = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        own.set_credentials("no", "session", "yet")
        self._credentials: Any = own.get_credentials()
        config = Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
        for service in ("s3", "dynamodb", "sqs"):
            client = own.create_client(service, endpoint_url=aws.endpoint_url, region_name=aws.region, config=config)
            setattr(self, service, client)

    def take(self, credentials: Mapping[str, str]) -> None:
        self._credentials.access_key = credentials["AccessKeyId"]
        self._credentials.secret_key = credentials["SecretAccessKey"]
        self._credentials.token = credentials["SessionToken"]


class Account:
    """A local AWS with a table, a bucket and two queues, and sessions of a role that may do everything with them."""

    def __init__(self, aws: LocalAws, account: SampleAccount) -> None:
        self._sts = aws.client("sts", account.gateway_keys)
        self._role = account.role_arns[ROLE]
        self._callers = Caller(aws), Caller(aws)
        for queue in ("jobs", "jobs-dead"):
            aws.client("sqs").create_queue(QueueName=queue)

    def sessions(self, *policies: Document) -> Iterator[Session]:
        """Opens a session under each policy; it ends when the next ones are opened."""
        for caller, policy in zip(self._callers, policies, strict=True):
            answer = self._sts.assume_role(
                RoleArn=self._role, RoleSessionName="random", DurationSeconds=900, Tags=TAGS, Policy=policy.text
            )
            caller.take(answer["Credentials"])
            yield caller


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def account(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    """A second local AWS with queues, skipped where the first one is; these calls write into its bucket."""
    async with await LocalAws.start(tmp_path_factory.mktemp("random-aws"), services=(*SERVICES, "sqs")) as aws:
        assert aws.port != local_aws.port
        yield Account(aws, await aws.seed({ROLE: ROLE_POLICY.text}))


def is_allowed(policy: Document, call: Call) -> bool:
    now = {"aws:CurrentTime": datetime.now(UTC).isoformat()}
    request = Request(call.request.action, call.request.resource, {**now, **call.request.context})
    return isinstance(evaluate(Policies(identity=(ROLE_POLICY,), session=policy), request), Allowed)


def without(key: str, call: Call) -> Call:
    """The call as an account makes a request of it that does not know the condition key."""
    context = {name: value for name, value in call.request.context.items() if name != key}
    return Call(Request(call.request.action, call.request.resource, context), call.make)


@pytest.mark.timeout(1200 if EXTENDED else 120)
def test_what_an_issued_policy_allows_its_ceiling_allows(account: Account, counted: Counted) -> None:
    drawing = Drawing(random.Random(SEED))  # noqa: S311 - reproducible draws, not secrets
    found: Counter[str] = Counter()
    explained: Counter[str] = Counter()
    disagreements: set[str] = set()

    for _ in range(ROUNDS):
        documents = drawing.issued()
        sessions = tuple(account.sessions(*documents))
        for call in CALLS:
            there = issued, by_ceiling = tuple(session.lets_through(call.make) for session in sessions)
            here = tuple(is_allowed(document, call) for document in documents)
            found["allowed" if issued else "in the ceiling only" if by_ceiling else "denied by both"] += 1
            assert by_ceiling or not issued, (call.request, [each.text for each in documents])
            assert here[1] or not here[0], (call.request, [each.text for each in documents])
            for document, mine, account_says in zip(documents, here, there, strict=True):
                if mine is account_says:
                    continue
                if is_allowed(document, without(UNKNOWN_TO_MINISTACK, call)) is account_says:
                    explained[f"because ministack does not know {UNKNOWN_TO_MINISTACK}"] += 1
                else:
                    disagreements.add(f"{call.request}: {mine} here, {account_says} there: {document.text}")

    counted("Random calls of random sessions on ministack", found)
    counted("Random calls that ministack answers otherwise than we evaluate them", explained)
    assert disagreements == set(), "\n".join(sorted(disagreements))
    assert min(found.values()) >= found.total() * 0.1, found
    assert len(found) == 3


def test_a_session_under_more_than_the_ceiling_would_be_seen(account: Account) -> None:
    ceiling = Document.parse(
        {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    )
    sessions = tuple(account.sessions(ROLE_POLICY, ceiling))

    escapes = [
        call.request for call in CALLS if sessions[0].lets_through(call.make) > sessions[1].lets_through(call.make)
    ]

    assert escapes == [call.request for call in CALLS if not call.request.action.startswith("s3:Get")]
