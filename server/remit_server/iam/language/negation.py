"""The negated form of a condition, which an exact guard denies."""

from remit_server.iam.language.condition import Condition

_OPPOSITES = {
    "StringEquals": "StringNotEquals",
    "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase",
    "StringLike": "StringNotLike",
    "NumericEquals": "NumericNotEquals",
    "DateEquals": "DateNotEquals",
    "IpAddress": "NotIpAddress",
    "ArnEquals": "ArnNotEquals",
    "ArnLike": "ArnNotLike",
}
_POSITIVE_OF = {negative: positive for positive, negative in _OPPOSITES.items()}
_ORDERINGS = {
    "LessThan": "GreaterThanEquals",
    "LessThanEquals": "GreaterThan",
    "GreaterThan": "LessThanEquals",
    "GreaterThanEquals": "LessThan",
}
_ALL = "ForAllValues:"
_ANY = "ForAnyValue:"
_IF_EXISTS = "IfExists"


def negated(condition: Condition) -> tuple[Condition, ...] | None:
    """Returns conditions that, together, hold exactly where the given one does not.

    A request without the key is where a positive operator does not hold, so the negation holds there.
    None when no such form is known: an unknown operator, a policy variable in a value, or several values
    of an ordering.
    Source: IAM user guide, "IAM JSON policy elements: Condition operators" and "Multivalued context keys".
    """
    if any("${" in value for value in condition.values):
        return None
    if condition.operator == "Null":
        return _negated_null(condition)
    if condition.operator.startswith((_ALL, _ANY)):
        return _negated_set(condition)
    base = condition.operator.removesuffix(_IF_EXISTS)
    optional = base != condition.operator
    return _negated_single(_with_operator(condition, base) if optional else condition, optional=optional)


def _negated_single(condition: Condition, *, optional: bool) -> tuple[Condition, ...] | None:
    if condition.operator == "Bool":
        return _negated_bool(condition, optional=optional)
    if condition.operator in _POSITIVE_OF:  # holds without the key, IfExists or not
        return (_with_operator(condition, _POSITIVE_OF[condition.operator]),)
    if condition.operator in _OPPOSITES:
        opposite = _with_operator(condition, _OPPOSITES[condition.operator])
        return (opposite, _present(condition.key)) if optional else (opposite,)
    return _negated_ordering(condition, optional=optional)


def _negated_ordering(condition: Condition, *, optional: bool) -> tuple[Condition, ...] | None:
    for kind in ("Numeric", "Date"):
        ordering = _ORDERINGS.get(condition.operator.removeprefix(kind))
        if condition.operator.startswith(kind) and ordering is not None and len(condition.values) == 1:
            return (_with_operator(condition, kind + ordering + ("" if optional else _IF_EXISTS)),)
    return None


def _negated_bool(condition: Condition, *, optional: bool) -> tuple[Condition, ...] | None:
    values = {value.lower() for value in condition.values}
    suffix = "" if optional else _IF_EXISTS
    if values in ({"true"}, {"false"}):
        opposite = "false" if values == {"true"} else "true"
        return (Condition("Bool" + suffix, condition.key, (opposite,)),)
    return None


def _negated_null(condition: Condition) -> tuple[Condition, ...] | None:
    match tuple(value.lower() for value in condition.values):
        case ("true",):
            return (Condition("Null", condition.key, ("false",)),)
        case ("false",):
            return (Condition("Null", condition.key, ("true",)),)
        case _:
            return None


def _negated_set(condition: Condition) -> tuple[Condition, ...] | None:
    """Negates "every value" by "some value not" and the other way; both treat a missing key oppositely."""
    qualifier, _, base = condition.operator.partition(":")
    opposite = {**_OPPOSITES, **_POSITIVE_OF}.get(base)
    if opposite is None:
        return None
    other = _ANY if qualifier + ":" == _ALL else _ALL
    return (_with_operator(condition, other + opposite),)


def _with_operator(condition: Condition, operator: str) -> Condition:
    return Condition(operator, condition.key, condition.values)


def _present(key: str) -> Condition:
    return Condition("Null", key, ("false",))
