"""Two hundred intents as agents have them: the same ones everywhere and always.

What they ask for has the form of the default catalogue's capabilities, in four kinds of work and a mixture of all, in
three accounts and three regions, one to thirty permissions each. Nothing here is taken from the catalogue itself, so
that figures made from it stay comparable when the catalogue changes.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from remit_server.iam import ActionPattern, Condition, Document, Effect, ResourcePattern, Statement

COUNT = 200
MOST_PERMISSIONS = 30
_ACCOUNTS = ("111122223333", "444455556666", "777788889999")
_REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")
_TEAMS = ("finance", "sales", "logistics", "support", "research", "people")
_DATA = ("reports", "invoices", "exports", "raw-events", "forecasts", "archive")


@dataclass(frozen=True, slots=True)
class Intent:
    """One intent of the corpus: the kind of work, and one Allow for each permission, in the order of asking."""

    work: str
    document: Document


def corpus(count: int = COUNT, seed: int = 7) -> tuple[Intent, ...]:
    """Returns the corpus; each intent depends on the seed and its own number only."""
    works = tuple(_WORKS)
    return tuple(_intent(works[at % len(works)], random.Random(f"{seed}/{at}")) for at in range(count))  # noqa: S311


def _intent(work: str, chance: random.Random) -> Intent:
    """Draws capabilities of one kind of work until there are as many permissions as drawn beforehand."""
    wanted = min(MOST_PERMISSIONS, 1 + int(chance.expovariate(1 / 8)))
    statements: dict[Statement, None] = {}
    place = _Place(chance)
    while len(statements) < wanted:
        statements.update(dict.fromkeys(chance.choice(_WORKS[work])(place)))
    return Intent(work, Document(tuple(statements)[:MOST_PERMISSIONS]))


class _Place:
    """Where one task works: mostly one account and region, one team's bucket, a few prefixes and names."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.team = chance.choice(_TEAMS)
        self.home = chance.choice(_REGIONS), chance.choice(_ACCOUNTS)
        self.buckets = [f"acme-{self.team}-{chance.choice(_DATA)}" for _ in range(chance.choice((1, 1, 2, 3)))]

    def arn(self, service: str, name: str) -> str:
        """Names something in the task's own place, one time in six in another."""
        elsewhere = self.chance.choice(_REGIONS), self.chance.choice(_ACCOUNTS)
        region, account = self.home if self.chance.random() < 5 / 6 else elsewhere
        return f"arn:aws:{service}:{region}:{account}:{name}"

    def bucket(self) -> str:
        """Names one of the task's buckets."""
        return self.chance.choice(self.buckets)

    def prefix(self) -> str:
        """Names a month, a quarter or a customer of some data."""
        which = self.chance.randrange(3)
        year = self.chance.choice((2024, 2025, 2026))
        parts = (f"{year}/q{self.chance.randint(1, 4)}", f"{year}/{self.chance.randint(1, 12):02}", self.customer())
        return f"{self.chance.choice(_DATA)}/{parts[which]}/"

    def customer(self) -> str:
        """Names one of the customers."""
        return f"customer-{self.chance.randint(1000, 9999)}"

    def name(self, *kinds: str) -> str:
        """Names something of the team's."""
        return f"{self.team}-{self.chance.choice(_DATA)}-{self.chance.choice(kinds)}"


def _allow(actions: str, *resources: str, condition: Condition | None = None) -> Statement:
    return Statement(
        Effect.ALLOW,
        tuple(map(ActionPattern.parse, actions.split())),
        tuple(map(ResourcePattern.parse, resources)),
        (condition,) if condition else (),
    )


def _read_prefix(place: _Place) -> Iterator[Statement]:
    bucket, prefix = place.bucket(), place.prefix()
    yield _allow("s3:GetObject", f"arn:aws:s3:::{bucket}/{prefix}*")
    yield _allow(
        "s3:ListBucket", f"arn:aws:s3:::{bucket}", condition=Condition("StringLike", "s3:prefix", (f"{prefix}*",))
    )


def _read_object(place: _Place) -> Iterator[Statement]:
    key = f"{place.prefix()}{place.chance.choice(('revenue', 'summary', 'customers'))}.csv"
    yield _allow("s3:GetObject", f"arn:aws:s3:::{place.bucket()}/{key}")


def _write_prefix(place: _Place) -> Iterator[Statement]:
    yield _allow("s3:PutObject", f"arn:aws:s3:::{place.bucket()}/{place.prefix()}*")


def _items(actions: str, place: _Place) -> Iterator[Statement]:
    table = place.arn("dynamodb", f"table/{place.name('orders', 'carts', 'tickets')}")
    if place.chance.random() < 1 / 3:
        yield _allow(actions, table)
        return
    for _ in range(place.chance.choice((1, 1, 2, 4))):
        keys = Condition("ForAllValues:StringEquals", "dynamodb:LeadingKeys", (place.customer(),))
        yield _allow(actions, table, condition=keys)


def _read_items(place: _Place) -> Iterator[Statement]:
    yield from _items("dynamodb:BatchGetItem dynamodb:GetItem dynamodb:Query", place)


def _write_items(place: _Place) -> Iterator[Statement]:
    yield from _items("dynamodb:PutItem dynamodb:UpdateItem", place)


def _query(place: _Place) -> Iterator[Statement]:
    yield _allow(
        "athena:GetQueryExecution athena:GetQueryResults athena:StartQueryExecution athena:StopQueryExecution",
        place.arn("athena", f"workgroup/{place.team}"),
    )
    yield _allow("s3:GetBucketLocation", f"arn:aws:s3:::acme-athena-{place.team}")
    yield _allow("s3:GetObject s3:PutObject", f"arn:aws:s3:::acme-athena-{place.team}/results/*")


def _table(place: _Place) -> Iterator[Statement]:
    database, table = f"{place.team}_lake", f"{place.chance.choice(_DATA)}_{place.chance.randint(1, 9)}"
    region, account = place.home
    names = ("catalog", f"database/{database}", f"table/{database}/{table}")
    yield _allow(
        "glue:GetDatabase glue:GetPartitions glue:GetTable",
        *(f"arn:aws:glue:{region}:{account}:{name}" for name in names),
    )


def _secret(place: _Place) -> Iterator[Statement]:
    secret = place.name("db", "api-key", "webhook")
    yield _allow("secretsmanager:GetSecretValue", place.arn("secretsmanager", f"secret:{secret}-??????"))


def _parameters(place: _Place) -> Iterator[Statement]:
    path = place.arn("ssm", f"parameter/{place.team}/{place.chance.choice(_DATA)}/*")
    yield _allow("ssm:GetParameter ssm:GetParameters ssm:GetParametersByPath", path)


def _send(place: _Place) -> Iterator[Statement]:
    yield _allow("sqs:GetQueueUrl sqs:SendMessage", place.arn("sqs", place.name("jobs", "events.fifo", "dead")))


def _receive(place: _Place) -> Iterator[Statement]:
    queue = place.arn("sqs", place.name("jobs", "events.fifo", "dead"))
    yield _allow("sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueUrl sqs:ReceiveMessage", queue)


def _publish(place: _Place) -> Iterator[Statement]:
    yield _allow("sns:Publish", place.arn("sns", place.name("alerts", "changes")))


def _write_log(place: _Place) -> Iterator[Statement]:
    group = place.arn("logs", f"log-group:/agents/{place.name('runs', 'audit')}")
    yield _allow("logs:CreateLogStream logs:PutLogEvents", group, f"{group}:*")


def _invoke(place: _Place) -> Iterator[Statement]:
    yield _allow("lambda:InvokeFunction", place.arn("lambda", f"function:{place.name('convert', 'notify', 'score')}"))


def _restart(place: _Place) -> Iterator[Statement]:
    group = Condition("StringEquals", "aws:ResourceTag/remit-group", (place.team,))
    yield _allow("ec2:StartInstances ec2:StopInstances", place.arn("ec2", "instance/*"), condition=group)


_Asking = Callable[[_Place], Iterator[Statement]]
_REPORTING: tuple[_Asking, ...] = (_read_prefix, _read_prefix, _read_object, _write_prefix)
_RECORDS: tuple[_Asking, ...] = (_read_items, _read_items, _write_items, _send, _write_log)
_ANALYSIS: tuple[_Asking, ...] = (_query, _table, _table, _read_prefix)
_SERVICES: tuple[_Asking, ...] = (_secret, _parameters, _send, _receive, _publish, _write_log, _invoke, _restart)
_WORKS: dict[str, tuple[_Asking, ...]] = {
    "reports in S3": _REPORTING,
    "records in DynamoDB": _RECORDS,
    "analysis by Athena": _ANALYSIS,
    "a service's duties": _SERVICES,
    "a mixture": (*_REPORTING, *_RECORDS, *_ANALYSIS, *_SERVICES),
}
