"""A slow second opinion on containment: lists concrete requests of a small world and evaluates plainly.

Works on policy JSON and shares nothing with the checker: its own wildcard matching, its own ARN splitting.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, combinations, product
from typing import Any

from tests.property import condition_oracle

Policy = Mapping[str, Any]
Holds = Callable[[Policy], bool]

glob = condition_oracle.glob

LETTERS = "abz"
SERVICES = ("s3", "sqs", "zz")
HEADS = (
    "arn:aws:s3:::",
    "arn:aws:s3:r::",
    "arn:aws:s3:q:1:",
    "arn:aws:sqs:r:1:",
    "arn:aws:sqs:r:2:",
    "arn:aws:zz:q:9:",
)


def words(longest: int) -> Iterator[str]:
    for length in range(longest + 1):
        yield from map("".join, product(LETTERS, repeat=length))


ACTIONS = tuple(f"{service}:{name}" for service in SERVICES for name in words(3))
RESOURCES = ("*", *(head + name for head in HEADS for name in words(4)))


@cache
def action_matches(pattern: str, action: str) -> bool:
    if pattern == "*":
        return True
    service, name = pattern.lower().split(":")
    own_service, own_name = action.lower().split(":")
    return service == own_service and glob(name, own_name)


@cache
def resource_matches(pattern: str, resource: str) -> bool:
    if pattern == "*":
        return True
    if resource == "*":
        return False
    segments, own = pattern.split(":", 5), resource.split(":", 5)
    return all(glob(one, other) for one, other in zip(segments, own, strict=True))


def listed(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def atoms(statement: Policy) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            yield operator, key, listed(values)


def labels(statement: Policy) -> frozenset[str]:
    """Names each condition of a statement the way the checker's context does."""
    return frozenset(f"{operator} {key} [{', '.join(sorted(values))}]" for operator, key, values in atoms(statement))


def opaque(held: Iterable[str]) -> Holds:
    """Takes conditions as names that hold or do not, whatever they say."""
    names = frozenset(held)
    return lambda statement: labels(statement) <= names


def concrete(context: Mapping[str, tuple[str, ...]]) -> Holds:
    """Evaluates conditions on the values of a request."""
    return lambda statement: all(
        condition_oracle.holds(operator, values, context.get(key)) for operator, key, values in atoms(statement)
    )


def about_action(statement: Policy, action: str) -> bool:
    if "NotAction" in statement:
        return not any(action_matches(each, action) for each in listed(statement["NotAction"]))
    return any(action_matches(each, action) for each in listed(statement["Action"]))


def about_resource(statement: Policy, resource: str) -> bool:
    if "NotResource" in statement:
        return not any(resource_matches(each, resource) for each in listed(statement["NotResource"]))
    return any(resource_matches(each, resource) for each in listed(statement["Resource"]))


def allows(policy: Policy, action: str, resource: str, holds: Holds) -> bool:
    """Says what one policy alone answers under the given view of its conditions."""
    effects = {
        statement["Effect"]
        for statement in policy["Statement"]
        if holds(statement) and about_action(statement, action) and about_resource(statement, resource)
    }
    return effects == {"Allow"}


def opaque_views(*policies: Policy) -> Iterator[Holds]:
    """Yields every combination of the conditions that occur, as if they were independent."""
    names = sorted({name for policy in policies for each in policy["Statement"] for name in labels(each)})
    chosen = chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))
    return map(opaque, chosen)


def concrete_views(values: Mapping[str, Sequence[tuple[str, ...] | None]]) -> Iterator[Holds]:
    """Yields every context made of one of the given values for each key; None leaves the key out."""
    for chosen in product(*values.values()):
        yield concrete({key: value for key, value in zip(values, chosen, strict=True) if value is not None})


def escape(issued: Policy, ceiling: Policy, views: Iterable[Holds]) -> tuple[str, str] | None:
    """Returns a request of the small world that the issued policy allows and the ceiling does not."""
    mine, theirs = _with_requests(issued), _with_requests(ceiling)
    return next(filter(None, (_first(_allowed(mine, holds) & ~_allowed(theirs, holds)) for holds in views)), None)


def outside(one: Policy, other: Policy, inner: Policy, views: Iterable[Holds]) -> tuple[str, str] | None:
    """Returns a request that the first two policies allow and the inner one does not."""
    first, second, third = (_with_requests(policy) for policy in (one, other, inner))
    lost = (_allowed(first, holds) & _allowed(second, holds) & ~_allowed(third, holds) for holds in views)
    return next(filter(None, map(_first, lost)), None)


def _first(requests: int) -> tuple[str, str] | None:
    if not requests:
        return None
    action, resource = divmod((requests & -requests).bit_length() - 1, len(RESOURCES))
    return ACTIONS[action], RESOURCES[resource]


def _with_requests(policy: Policy) -> list[tuple[Policy, int]]:
    """Pairs each statement with the requests it is about: one bit each, the resources of each action in a row."""
    return [(statement, _actions_of(statement) * _resources_of(statement)) for statement in policy["Statement"]]


def _allowed(statements: Sequence[tuple[Policy, int]], holds: Holds) -> int:
    allowed = denied = 0
    for statement, requests in statements:
        if holds(statement):
            if statement["Effect"] == "Allow":
                allowed |= requests
            else:
                denied |= requests
    return allowed & ~denied


def _actions_of(statement: Policy) -> int:
    negated = "NotAction" in statement
    about = 0
    for pattern in listed(statement["NotAction" if negated else "Action"]):
        about |= _actions_like(pattern)
    return _actions_like("*") & ~about if negated else about


def _resources_of(statement: Policy) -> int:
    negated = "NotResource" in statement
    on = 0
    for pattern in listed(statement["NotResource" if negated else "Resource"]):
        on |= _resources_like(pattern)
    return ((1 << len(RESOURCES)) - 1) & ~on if negated else on


@cache
def _actions_like(pattern: str) -> int:
    """Sets the lowest bit of the row of each action that matches."""
    return sum(1 << at * len(RESOURCES) for at, action in enumerate(ACTIONS) if action_matches(pattern, action))


@cache
def _resources_like(pattern: str) -> int:
    return sum(1 << at for at, resource in enumerate(RESOURCES) if resource_matches(pattern, resource))
