"""A denser way to write Allows with their guards, for intents that would not fit otherwise.

The plain form lists each resource twice: once in the Allow, once in the guard. Here the Allow names what the
resources have in common and a Deny without conditions takes back everything but the listed ones; an `s3:prefix`
is likewise only in the Deny. Direct calls get exactly the same. Calls that a service makes on the session's behalf
get no more than in the plain form, and less where a resource policy would have added to it.
"""

from collections.abc import Sequence
from itertools import combinations

from remit_server.iam.issuing.blocks import overlapping, pruned
from remit_server.iam.issuing.cells import DIRECT_CALL, EVERY_RESOURCE
from remit_server.iam.issuing.guards import guarded
from remit_server.iam.language.arn import ResourcePattern
from remit_server.iam.language.negation import negated
from remit_server.iam.language.statement import Effect, Statement

_TAKEN_BACK = frozenset({("StringLike", "s3:prefix"), ("StringEquals", "s3:prefix")})
CALLED_BY_SERVICES = frozenset({"*", "kms"})
"""Services that others call on the session's behalf under resource policies of their own, and `*`."""


def widened(allows: Sequence[Statement]) -> tuple[Statement, ...] | None:
    """Writes the Allows and their guards densely; None where the form does not apply.

    It applies when no action is in two Allows, and none is one that services use on the session's behalf
    (KMS). Whoever uses the result proves that it is contained in the Allows.
    """
    if any(overlapping(one.actions, other.actions) for one, other in combinations(allows, 2)):
        return None
    if any(action.service in CALLED_BY_SERVICES for statement in allows for action in statement.actions):
        return None
    named = pruned(action for statement in allows for action in statement.actions)
    nothing_else = Statement(Effect.DENY, named, EVERY_RESOURCE, (DIRECT_CALL,), not_action=True)
    return (
        *(_widened(statement) for statement in allows),
        nothing_else,
        *(denial for statement in allows for denial in _taking_back(statement)),
    )


def _widened(statement: Statement) -> Statement:
    conditions = () if _is_taken_back(statement) else statement.conditions
    return Statement(Effect.ALLOW, statement.actions, _in_common(statement.resources), conditions)


def _taking_back(statement: Statement) -> list[Statement]:
    denials: list[Statement] = []
    if not any(resource.is_universal for resource in statement.resources):
        denials.append(Statement(Effect.DENY, statement.actions, statement.resources, not_resource=True))
    if _is_taken_back(statement):
        opposite = negated(statement.conditions[0]) or ()
        return [*denials, Statement(Effect.DENY, statement.actions, EVERY_RESOURCE, opposite)]
    conditional = [guard for guard in guarded([statement])[0] if len(guard.conditions) > 1]
    return [*denials, *conditional]


def _is_taken_back(statement: Statement) -> bool:
    """Says whether the statement's only condition can move to a Deny: a known key with one value per request."""
    keys = {(condition.operator, condition.folded_key) for condition in statement.conditions}
    return len(keys) == 1 and keys <= _TAKEN_BACK and negated(statement.conditions[0]) is not None


def _in_common(resources: tuple[ResourcePattern, ...]) -> tuple[ResourcePattern, ...]:
    """Returns one pattern over all resources of one service and account; themselves where there is none."""
    heads = {resource.head for resource in resources}
    if len(resources) == 1 or len(heads) != 1 or any(resource.is_universal for resource in resources):
        return resources
    names = [resource.name.head for resource in resources]
    first, last = min(names), max(names)
    differ = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), None)
    shared = first if differ is None else first[:differ]
    return (ResourcePattern.parse(":".join(("arn", *heads.pop(), shared + "*"))),)
