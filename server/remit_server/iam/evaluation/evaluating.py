"""AWS's own decision on one request, for previews, tests and the sandbox.

Source: IAM user guide, "Policy evaluation logic" and "Policy evaluation for requests within a single account".
Organisation policies (SCP, RCP) are not part of it: they only narrow further.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from remit_server.iam.evaluation.operators import Context, holds
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect, Statement


class Naming(StrEnum):
    """Whom a resource policy names; AWS treats each differently under a session policy."""

    SESSION = "session"  # the assumed-role session ARN: not limited by implicit denies
    ANYONE = "anyone"  # "*", with or without conditions: the same
    ROLE = "role"  # the role's ARN: boundary and session policy still limit it
    ACCOUNT = "account"  # the account: delegates to identity policies only


@dataclass(frozen=True, slots=True)
class ResourcePolicy:
    """A policy attached to the resource (bucket policy, key policy), as far as it names the caller."""

    document: Document
    names: Naming


@dataclass(frozen=True, slots=True)
class Policies:
    """Every policy that applies to a request; an absent boundary or session policy does not limit."""

    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    session: Document | None = None
    resource: tuple[ResourcePolicy, ...] = ()
    same_account: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """One concrete call: an action, the ARN it is on (or `*`), and its condition keys."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call goes through; `by` is the kind of policy whose Allow carried it."""

    by: str


@dataclass(frozen=True, slots=True)
class ImplicitDeny:
    """Nothing denies the call, but the kind of policy named in `missing` does not allow it."""

    missing: str


@dataclass(frozen=True, slots=True)
class ExplicitDeny:
    """A Deny matched: the kind of policy and the statement's index in its document."""

    by: str
    statement: int


def evaluate(policies: Policies, request: Request) -> Allowed | ImplicitDeny | ExplicitDeny:
    """Decides one request as AWS does.

    An explicit Deny anywhere wins. Then a resource policy of the same account that names the session itself,
    or anyone, allows on its own; otherwise identity policy (or a resource policy that names the role), boundary
    and session policy must all allow. A key policy must always take part; another account's resource needs
    both sides. What cannot be decided about a statement does not match for Allow and matches for Deny.
    """
    denied = _explicit_deny(policies, request)
    if denied is not None:
        return denied
    named = {policy.names for policy in policies.resource if _allows(policy.document, request)}
    if policies.same_account and named & {Naming.SESSION, Naming.ANYONE}:
        return Allowed("resource")
    identity = any(_allows(document, request) for document in policies.identity)
    if not policies.same_account or _is_key(request):
        if not named:
            return ImplicitDeny("resource")
        identity = identity or (policies.same_account and Naming.ROLE in named)
    elif not identity and Naming.ROLE in named:
        identity = True
    return _limited(policies, request) if identity else ImplicitDeny("identity")


def _limited(policies: Policies, request: Request) -> Allowed | ImplicitDeny:
    for kind, document in (("boundary", policies.boundary), ("session", policies.session)):
        if document is not None and not _allows(document, request):
            return ImplicitDeny(kind)
    return Allowed("identity")


def _is_key(request: Request) -> bool:
    """A KMS key is used by nobody whom its key policy does not let in, whatever identity policies say."""
    return request.action.lower().startswith("kms:") and ":key/" in request.resource


def _explicit_deny(policies: Policies, request: Request) -> ExplicitDeny | None:
    for kind, document in _by_kind(policies):
        for index, statement in enumerate(document.statements):
            if statement.effect is Effect.DENY and applies(statement, request):
                return ExplicitDeny(kind, index)
    return None


def _by_kind(policies: Policies) -> Iterator[tuple[str, Document]]:
    yield from (("identity", document) for document in policies.identity)
    if policies.boundary is not None:
        yield "boundary", policies.boundary
    if policies.session is not None:
        yield "session", policies.session
    yield from (("resource", policy.document) for policy in policies.resource)


def _allows(document: Document, request: Request) -> bool:
    return any(statement.effect is Effect.ALLOW and applies(statement, request) for statement in document.statements)


def applies(statement: Statement, request: Request) -> bool:
    """Says whether the statement matches; in doubt an Allow does not and a Deny does."""
    in_doubt = statement.effect is Effect.DENY
    if any(pattern.matches(request.action) for pattern in statement.actions) is statement.not_action:
        return False
    if _has_variable(statement):
        return in_doubt and _conditions_hold(statement.conditions, request, in_doubt=True)
    if any(pattern.matches(request.resource) for pattern in statement.resources) is statement.not_resource:
        return False
    return _conditions_hold(statement.conditions, request, in_doubt=in_doubt)


def _has_variable(statement: Statement) -> bool:
    return any(pattern.has_variables for pattern in statement.resources)


def _conditions_hold(conditions: Iterable[Condition], request: Request, *, in_doubt: bool) -> bool:
    answers = [holds(condition, request.context) for condition in conditions]
    return all(in_doubt if answer is None else answer for answer in answers)
