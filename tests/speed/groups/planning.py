"""Planning a session: choosing, deriving, compacting and proving, anew and remembered; and what it works on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from json import loads

from tests.speed.rows import Flat, Group, Row

from remit.v1.credential_service_pb2 import IssueCredentialsRequest
from remit.v1.types_pb2 import Condition as ConditionMessage
from remit.v1.types_pb2 import Permission as PermissionMessage
from remit.v1.types_pb2 import TaskIntent
from remit_server.adapters.policy.answers.decision import decision_in, decision_of
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import FAST
from remit_server.application.planning.plan_session import Plan, Planner, Wish
from remit_server.domain.decision import Allow, Decision, canonical_json
from remit_server.domain.entitlement import Role
from remit_server.domain.identity import Actor, ActorKind, Admitted
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, Condition, Document, ResourcePattern, contains_all
from remit_server.transport.grpc.mapping import issue_request
from remit_server.transport.grpc.validation import violations

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ROLE = "arn:aws:iam::111122223333:role/remit-reports"
BUCKET = "arn:aws:s3:::reports"
CEILING = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": [BUCKET, f"{BUCKET}/*"]},
}
CEILINGS = Ceilings.of((Role(ROLE, "eu-central-1", Document.parse(CEILING), timedelta(hours=1)),), (), "0" * 64)
BY = Admitted(Actor("spiffe://example.org/agent", ActorKind.SPIFFE, "example.org"), "127.0.0.1")


NUMBERS = count(100_000)
"""No two rows plan the same prefixes, and all are of one length."""


# The works.


@contextmanager
def planned_anew(size: int, allowed: int = 1) -> Iterator[Callable[[], object]]:
    """An intent not seen before, under an answer of policy that was."""
    planner, allow = Planner(CEILINGS), _allow(range(allowed))
    wishes = [_wish(_intent(size, next(NUMBERS))) for _ in range(10)]
    yield lambda: planner(wishes.pop(), allow, FAST)


@contextmanager
def planned_again(size: int, allowed: int = 1) -> Iterator[Callable[[], object]]:
    """An intent and an answer of policy that were both seen before, at another time."""
    planner, answer, intent = Planner(CEILINGS), _answer(range(allowed)), _intent(size, 0)

    def work() -> Plan:
        now = NOON + timedelta(seconds=next(NUMBERS))
        return planner(_wish(intent, now), _allowed(decision_of(answer)), FAST)

    yield work


@contextmanager
def planned_first(numbers: Sequence[int]) -> Iterator[Callable[[], object]]:
    """An intent under an answer of policy that was not seen before: these entitlements out of a catalogue."""
    planner, wish = Planner(CEILINGS), _wish(_intent(2, 0))
    answers = [_allow([*numbers, 10 + number]) for number in range(10)]
    yield lambda: planner(wish, answers.pop(), FAST)


@contextmanager
def planned_after(answers: int) -> Iterator[Callable[[], object]]:
    """The same after so many other answers of policy, each with an intent."""
    planner, wish = Planner(CEILINGS), _wish(_intent(2, 0))
    for number in range(answers):
        planner(wish, _allow([number]), FAST)
    others = [_allow([99_999 - number]) for number in range(10)]
    yield lambda: planner(wish, others.pop(), FAST)


@contextmanager
def proven(size: int) -> Iterator[Callable[[], object]]:
    """A session policy in its intent, entitlement, role and floor."""
    intent, allow = _intent(size, 0), _allow([0])
    policy = Document.parse(Planner(CEILINGS)(_wish(intent), allow, FAST).session_policy)
    within = (
        Document(tuple(item.statement() for item in intent)),
        allow.entitlements[0].document(),
        *CEILINGS.documents(ROLE),
    )
    yield partial(contains_all, policy, within, budget=FAST)


@contextmanager
def read_back(size: int) -> Iterator[Callable[[], object]]:
    """A session policy that was not read before, from its text; its patterns were."""
    text = Planner(CEILINGS)(_wish(_intent(size, 0)), _allow([0]), FAST).session_policy
    others = [next(NUMBERS) for _ in range(10)]
    texts = [text.replace("q3-000000", f"q3-{number:06}") for number in others]
    for number in others:
        _intent(size, number)
    yield lambda: Document.parse(texts.pop())


@contextmanager
def answered() -> Iterator[Callable[[], object]]:
    """An answer of policy with three entitlements that was not read before."""
    answers = [_answer(range(number, number + 3)) for number in range(100, 110)]
    yield lambda: decision_of(answers.pop())


@contextmanager
def requested() -> Iterator[Callable[[], object]]:
    """An issue request of two permissions not seen before: its rules, its fields, its patterns."""
    raw = [_message(_intent(2, next(NUMBERS))).SerializeToString() for _ in range(10)]

    def work() -> object:
        message = IssueCredentialsRequest.FromString(raw.pop())
        if violations(message):
            raise AssertionError("what is measured has to be valid")
        return issue_request(message, BY)

    yield work


GROUP = Group(
    rows=(
        Row("planning a new intent of 2 permissions", partial(planned_anew, 2)),
        Row("planning a new intent of 10 permissions", partial(planned_anew, 10)),
        Row("planning a new intent of 2 permissions, 20 entitlements allowed", partial(planned_anew, 2, 20)),
        Row("planning a remembered intent of 2 permissions", partial(planned_again, 2)),
        Row("planning a remembered intent of 10 permissions", partial(planned_again, 10)),
        Row("planning under a new answer of policy", partial(planned_first, [0])),
        Row("proving alone, 2 permissions", partial(proven, 2)),
        Row("proving alone, 10 permissions", partial(proven, 10)),
        Row("reading a session policy back, 2 permissions", partial(read_back, 2)),
        Row("reading an answer of policy", answered),
        Row("reading a request", requested),
    ),
    flat=(
        Flat(
            "planning with 4 entitlements out of 20, and out of 100,000",
            partial(planned_first, [0, 4, 9]),
            partial(planned_first, [0, 40_000, 99_999]),
        ),
        Flat("planning after 50 answers, and after 1,000", partial(planned_after, 50), partial(planned_after, 1_000)),
        Flat(
            "planning a remembered intent with 1 entitlement allowed, and with 64",
            partial(planned_again, 2, 1),
            partial(planned_again, 2, 64),
        ),
    ),
)


# What they work on.


def _intent(size: int, number: int) -> tuple[Permission, ...]:
    """Reads prefixes of one quarter and, where there are two permissions, lists it."""
    prefix = f"2026/q3-{number:06}"
    if size == 2:
        listed = Condition("StringLike", "s3:prefix", (f"{prefix}/*",))
        return _permission("s3:GetObject", f"{BUCKET}/{prefix}/*"), _permission("s3:ListBucket", BUCKET, listed)
    return tuple(_permission("s3:GetObject", f"{BUCKET}/{prefix}/{part:02}/*") for part in range(size))


def _permission(action: str, resource: str, *conditions: Condition) -> Permission:
    return Permission((ActionPattern.parse(action),), (ResourcePattern.parse(resource),), conditions)


def _wish(intent: tuple[Permission, ...], now: datetime = NOON) -> Wish:
    return Wish(intent, None, narrowed=False, task=None, token_end=None, now=now)


def _allow(numbers: Sequence[int]) -> Allow:
    """Returns an answer read anew, of which nothing is remembered."""
    return _allowed(decision_in(loads(_answer(numbers))))


def _allowed(decision: Decision) -> Allow:
    if not isinstance(decision, Allow):
        raise TypeError("what is measured has to be allowed")
    return decision


def _answer(numbers: Sequence[int]) -> str:
    """Returns the answer that allows these entitlements of a catalogue, all of the same shape."""
    return canonical_json({"allow": True, "entitlements": [_entitlement(one) for one in numbers], "reasons": []})


def _entitlement(number: int) -> dict[str, object]:
    """Returns an entitlement: the first permissions hold what the intents ask for, others lie beside it."""
    return {
        "id": f"reader-{number:06}",
        "role_arn": ROLE,
        "kind": "standard",
        "permissions": [
            {"actions": ["s3:GetObject"], "resources": [f"{BUCKET}/2026/*"], "conditions": []},
            {"actions": ["s3:ListBucket"], "resources": [BUCKET], "conditions": []},
            {"actions": ["s3:GetObject"], "resources": [f"{BUCKET}/archive-{number:06}/*"], "conditions": []},
        ],
        "max_credential_seconds": 3600,
        "max_task_seconds": 28_800,
        "approval": None,
        "bind": None,
        "offline_renewal": False,
    }


def _message(intent: Sequence[Permission]) -> IssueCredentialsRequest:
    permissions = [
        PermissionMessage(
            actions=[each.text for each in item.actions],
            resources=[each.text for each in item.resources],
            conditions=[
                ConditionMessage(operator=one.operator, key=one.key, values=one.values) for one in item.conditions
            ],
        )
        for item in intent
    ]
    return IssueCredentialsRequest(
        request_id="4c1b7d52-3f0e-4a4e-9a3a-5a1f6f1f2a10",
        subject_token="t" * 1500,
        intent=TaskIntent(purpose="summarise Q3", permissions=permissions),
    )
