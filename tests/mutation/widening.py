"""Whether a mutant that no test noticed lets anything out: it says yes to two policies where the code says no."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.property import iam_oracle as oracle
from tests.property.iam_world import CONDITIONS, EVALUATED, MEANINGFUL, NAMED_HEADS, OPEN_HEADS, World, pair
from tests.property.test_condition_laws import KINDS, conditions

from remit_server.iam import Budget, Condition, Document, Witness, contains

PAIRS: Final = 4_000
_SMALL: Final = Budget(states=400, evaluations=2_000)
_VARIABLES: Final = ("${aws:u}", "${aws:v}*", "*${aws:u}", "${aws:u}b")

Policy = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Holds two policies and whether the code, unchanged, proves that the first lies in the second."""

    issued: Policy
    ceiling: Policy
    proven: bool


def drawn(count: int = PAIRS) -> list[Pair]:
    """Draws as many pairs, the same ones each time, and lets the unchanged code judge them."""
    return [Pair(issued, ceiling, _proves(issued, ceiling)) for issued, ceiling in _policies(count)]


def widens(pairs: list[Pair]) -> str | None:
    """Returns a pair to which the code in place says yes where the unchanged code said no; None when there is none."""
    for each in pairs:
        if not each.proven and _proves(each.issued, each.ceiling):
            return f"{json.dumps(each.issued)} in {json.dumps(each.ceiling)}{_confirmed(each)}"
    return None


def _confirmed(pair_: Pair) -> str:
    """Says whether the oracle knows a request that gets out."""
    try:
        escape = oracle.escape(pair_.issued, pair_.ceiling, oracle.opaque_views(pair_.issued, pair_.ceiling))
    except (ValueError, KeyError, TypeError):
        escape = None  # an operator or a variable that the oracle does not know
    return f": {escape} gets out" if escape else ""


def _proves(issued: Policy, ceiling: Policy) -> bool:
    try:
        documents = [Document.parse(each, authored=True) for each in (issued, ceiling)]
        return isinstance(contains(*documents, budget=_SMALL), Witness)
    except Exception:  # noqa: BLE001 - a mutant may raise anything, and whoever raises has not said yes
        return False


def _policies(count: int) -> Iterator[tuple[Policy, Policy]]:
    chance = random.Random(count)  # noqa: S311 - reproducible draws, not secrets
    worlds = [
        World(chance, NAMED_HEADS, CONDITIONS),
        World(chance, NAMED_HEADS + OPEN_HEADS, CONDITIONS),
        World(chance, NAMED_HEADS[:1], MEANINGFUL, 0.6),
        World(chance, NAMED_HEADS[:2] + OPEN_HEADS[:1], EVALUATED, 0.5),
    ]
    said = [condition for kind in KINDS.values() for condition in conditions(kind)]
    for number in range(count):
        if number % 4 == 0:
            yield _conditioned(chance, said), _conditioned(chance, said)
            continue
        issued, ceiling = pair(worlds[number % 3 + number // 4 % 2])
        if number % 7 == 0:
            issued, ceiling = _with_variables(chance, issued), _with_variables(chance, ceiling)
        yield issued, ceiling


def _conditioned(chance: random.Random, said: list[Condition]) -> Policy:
    """Draws Allows and Denies on one resource, so that their conditions decide."""
    statements = []
    for effect in chance.choice((("Allow",), ("Allow",), ("Allow", "Allow"), ("Allow", "Deny"))):
        condition = chance.choice(said)
        block = {condition.operator: {condition.key: list(condition.values)}}
        statements.append({"Effect": effect, "Action": "s3:*", "Resource": "arn:aws:s3:::a", "Condition": block})
    return {"Version": "2012-10-17", "Statement": statements}


def _with_variables(chance: random.Random, policy: Policy) -> Policy:
    """Puts policy variables behind some resources."""
    statements = []
    for statement in policy["Statement"]:
        element = "Resource" if "Resource" in statement else "NotResource"
        texts = [
            f"{text}{chance.choice(_VARIABLES)}" if text != "*" and chance.random() < 0.5 else text
            for text in statement[element]
        ]
        statements.append({**statement, element: sorted(set(texts))})
    return {**policy, "Statement": statements}
