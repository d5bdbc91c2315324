"""What a filter says once it is read, and whether a grant is meant by it."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

from remit_server.domain.grant import Grant, GrantState


class Operator(StrEnum):
    """How a field is compared; HAS is for fields of which a grant has several values."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    GREATER = ">"
    AT_MOST = "<="
    AT_LEAST = ">="
    HAS = ":"


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text in quotes"
    STATE = "a state"
    FLAG = "true or false"
    TIME = "a time such as 2026-11-23T12:30:00Z"
    SEVERAL = "one of several texts, in quotes"


_ORDER: Final = frozenset({Operator.LESS, Operator.GREATER, Operator.AT_MOST, Operator.AT_LEAST})
_SAME: Final = frozenset({Operator.EQUAL, Operator.UNEQUAL})
OPERATORS: Final[Mapping[Kind, frozenset[Operator]]] = {
    Kind.TEXT: _SAME,
    Kind.STATE: _SAME,
    Kind.FLAG: _SAME,
    Kind.TIME: _SAME | _ORDER,
    Kind.SEVERAL: frozenset({Operator.HAS}),
}
FIELDS: Final[Mapping[str, Kind]] = {
    "task_id": Kind.TEXT,
    "subject.issuer": Kind.TEXT,
    "subject.id": Kind.TEXT,
    "actor": Kind.TEXT,
    "state": Kind.STATE,
    "role_arn": Kind.TEXT,
    "policy_revision": Kind.TEXT,
    "access_key_id": Kind.SEVERAL,
    "entitlements": Kind.SEVERAL,
    "break_glass": Kind.FLAG,
    "issue_time": Kind.TIME,
    "expire_time": Kind.TIME,
    "revoke_time": Kind.TIME,
}
Value = str | bool | datetime | GrantState


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field held against a value of its kind; one that is not set is unequal to every value, and not before any."""

    field: str
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class IsSet:
    """`revoke_time:*`: the time is set."""

    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """What the term does not mean."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class AllOf:
    """What every term means."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """What at least one term means."""

    terms: tuple["Filter", ...]


Filter = Comparison | IsSet | Not | AllOf | AnyOf


def matches(filter_: Filter, grant: Grant) -> bool:
    """Says whether a grant is meant."""
    match filter_:
        case Comparison():
            return _holds(filter_, _VALUES[filter_.field](grant))
        case IsSet(field):
            return _VALUES[field](grant) is not None
        case Not(term):
            return not matches(term, grant)
        case AllOf(terms):
            return all(matches(term, grant) for term in terms)
        case AnyOf(terms):
            return any(matches(term, grant) for term in terms)
        case _:
            assert_never(filter_)


def _holds(comparison: Comparison, value: Any) -> bool:
    """Says whether a grant's value compares so."""
    if comparison.operator is Operator.HAS:
        return comparison.value in value
    if value is None:
        return comparison.operator is Operator.UNEQUAL
    return bool(_COMPARE[comparison.operator](value, comparison.value))


_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], Any]]] = {
    Operator.EQUAL: operator.eq,
    Operator.UNEQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.GREATER: operator.gt,
    Operator.AT_MOST: operator.le,
    Operator.AT_LEAST: operator.ge,
}
_VALUES: Final[Mapping[str, Callable[[Grant], Any]]] = {
    "task_id": lambda grant: grant.task_id,
    "subject.issuer": lambda grant: grant.subject_issuer,
    "subject.id": lambda grant: grant.subject_id,
    "actor": lambda grant: grant.actor_id,
    "state": lambda grant: grant.state,
    "role_arn": lambda grant: grant.role_arn,
    "policy_revision": lambda grant: grant.policy_revision,
    "access_key_id": lambda grant: [issuance.access_key_id for issuance in grant.issuances],
    "entitlements": lambda grant: grant.entitlements,
    "break_glass": lambda grant: grant.break_glass,
    "issue_time": lambda grant: grant.issue_time,
    "expire_time": lambda grant: grant.expire_time,
    "revoke_time": lambda grant: grant.revoke_time,
}
