"""Whom a role trusts, held to what it should: the gateway alone, and never without what revocation goes by."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.aws.setup.findings import Findings
from remit_server.adapters.aws.setup.live import LivePrincipal, listed, statements_of
from remit_server.adapters.aws.setup.policies import (
    BY_KEY,
    EXTERNAL_KEY,
    GRANT_KEY,
    REVOKER_ACTIONS,
    SESSION_ACTIONS,
    SOURCE_KEY,
)
from remit_server.domain.secret import Secret

PLAN: Final = "`remit-server aws plan` writes the right one"
_ASSUMING: Final = ("sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml")
_ROOT = re.compile(r"(?:arn:[^:]+:iam::)?(?P<account>[0-9]{12})(?::root)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trusted:
    """What is expected of a role's trust: who (None where that is not known), which actions, what conditions.

    `web_identity` is the subject and the issuer's host where the role is opened by a token of the gateway's own.
    """

    gateway: str | None
    actions: tuple[str, ...] = SESSION_ACTIONS
    tags: bool = True
    external_id: Secret | None = None
    web_identity: tuple[str, str] | None = None


def revoker_trusted(gateway: str | None) -> Trusted:
    """Returns what is expected of remit-revoker's trust."""
    return Trusted(gateway, REVOKER_ACTIONS, tags=False)


def check_trust(role: LivePrincipal, expected: Trusted, findings: Findings) -> None:
    """Notes everything that is wrong with whom the role trusts."""
    statements = [each for each in statements_of(role.trust) if each.get("Effect") == "Allow"]
    for statement in statements:
        _check_principals(statement, expected, findings)
        if _assumes(statement):
            _check_conditions(statement, expected, findings)
    if expected.web_identity is None:
        _check_actions(statements, expected, findings)


def _check_principals(statement: Mapping[str, Any], expected: Trusted, findings: Findings) -> None:
    """Notes who else may open sessions: theirs have no session policy, so they are the whole role."""
    why = "whoever opens a session without the gateway has the whole role, without a record"
    if "NotPrincipal" in statement:
        findings.fault("trust-not-principal", "its trust policy has NotPrincipal", why=why, mend=PLAN)
    principal = statement.get("Principal", {})
    if principal == "*" or (isinstance(principal, Mapping) and "*" in listed(principal.get("AWS"))):
        findings.fault("trust-anybody", "it trusts every AWS account there is", why=why, mend=PLAN)
        return
    for kind, value in (principal if isinstance(principal, Mapping) else {}).items():
        for name in map(str, listed(value)):
            _check_principal(kind, name, expected, findings)


def _check_principal(kind: str, name: str, expected: Trusted, findings: Findings) -> None:
    why = "whoever opens a session without the gateway has the whole role, without a record"
    root = _ROOT.fullmatch(name)
    if kind == "AWS" and root is not None:
        what = f"it trusts the whole account {root['account']}: whoever may call sts:AssumeRole there"
        findings.fault("trust-account", what, why=why, mend="name the gateway's own role or user as the Principal")
    elif kind == "AWS" and ("*" in name or "?" in name):
        findings.fault("trust-wildcard", f"it trusts {name}", why=why, mend=PLAN)
    elif kind == "AWS" and expected.gateway is not None and name != expected.gateway:
        what = f"it trusts {name}, which is not the gateway ({expected.gateway})"
        findings.fault("trust-other", what, why=why, mend="take it out; whoever needs the role gets one of their own")
    elif kind == "Service":
        mend = "take it out; a service gets a role of its own"
        findings.fault("trust-service", f"it trusts the service {name}", why=why, mend=mend)
    elif kind == "Federated" and expected.web_identity is None:
        mend = "take it out; whoever logs in there gets a role of their own"
        findings.fault("trust-federated", f"it trusts the identity provider {name}", why=why, mend=mend)


def _check_conditions(statement: Mapping[str, Any], expected: Trusted, findings: Findings) -> None:
    """Notes which conditions an Allow to open sessions lacks."""
    conditions = _conditions(statement)
    if expected.web_identity is not None:
        _check_token(conditions, expected.web_identity, findings)
    for key in (GRANT_KEY, BY_KEY) if expected.tags else ():
        if not _asks_for(conditions, key):
            findings.fault(
                f"trust-tag-{key.rpartition(':')[2]}",
                f"sessions can be opened without the tag {key.partition('/')[2]}",
                why="by its tags a session is revoked: one without them works until its end",
                mend=PLAN,
            )
    if not _asks_for(conditions, SOURCE_KEY):
        findings.fault(
            "trust-source-identity",
            "sessions can be opened without a source identity",
            why="CloudTrail then does not say for whom they worked",
            mend=PLAN,
        )
    if expected.tags and expected.web_identity is None:
        _check_external_id(conditions, expected.external_id, findings)


def _check_external_id(conditions: Mapping[str, list[str]], own: Secret | None, findings: Findings) -> None:
    """Notes where trust and configuration differ about the external id; says neither."""
    asked = conditions.get(EXTERNAL_KEY.lower())
    if asked is None and own is not None:
        findings.note(
            "trust-external-id",
            "the configuration has an external id that the trust policy does not ask for",
            why="asked for, it keeps others from making the gateway's identity open this role for them",
            mend=PLAN,
        )
    elif asked is not None and own is None:
        findings.fault(
            "external-id-missing",
            "its trust policy asks for an external id that the configuration does not have",
            why="every session is refused",
            mend="set external_id_file of the role",
        )
    elif asked is not None and own is not None and own.reveal() not in asked:
        findings.fault(
            "external-id-differs",
            "its trust policy asks for another external id than the configuration has",
            why="every session is refused",
            mend="make the two equal",
        )


def _check_token(conditions: Mapping[str, list[str]], expected: tuple[str, str], findings: Findings) -> None:
    """Notes a token's audience and subject that are not pinned to exactly one value each."""
    subject, host = expected
    for claim, value in (("aud", "sts.amazonaws.com"), ("sub", subject)):
        if conditions.get(f"stringequals {host}:{claim}".lower()) != [value]:
            findings.fault(
                f"trust-{claim}",
                f"its trust policy does not pin {host}:{claim} by StringEquals to {value}",
                why="a token that the gateway made for another role, or not for AWS, would open this one",
                mend=PLAN,
            )


def _check_actions(statements: Iterable[Mapping[str, Any]], expected: Trusted, findings: Findings) -> None:
    """Notes what the gateway needs and is not given."""
    allowed = {str(action).lower() for statement in statements for action in listed(statement.get("Action"))}
    missing = [action for action in expected.actions if not {action.lower(), "sts:*", "*"} & allowed]
    if missing:
        findings.fault(
            "trust-actions",
            f"its trust policy does not allow {', '.join(missing)}",
            why="AWS refuses every session that the gateway asks for",
            mend=PLAN,
        )


def _assumes(statement: Mapping[str, Any]) -> bool:
    actions = {str(action).lower() for action in listed(statement.get("Action"))}
    return "NotAction" in statement or bool(actions & {*_ASSUMING, "sts:*", "*"})


def _conditions(statement: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns the values that each key is held to, by the key and by `operator key`, in lower case.

    Operators that let a missing key pass do not count.
    """
    found: dict[str, list[str]] = {}
    for operator, keys in (statement.get("Condition") or {}).items():
        name = str(operator).lower()
        if name.endswith("ifexists") or name.startswith("forallvalues:") or "not" in name or name == "null":
            continue
        for key, values in keys.items() if isinstance(keys, Mapping) else ():
            written = [str(value) for value in listed(values)]
            found.setdefault(str(key).lower(), []).extend(written)
            found[f"{name} {key}".lower()] = written
    return found


def _asks_for(conditions: Mapping[str, list[str]], key: str) -> bool:
    """Says whether the key has to be there, and not just anything, the empty text included, will do."""
    values = conditions.get(key.lower(), [])
    return bool(values) and "*" not in values
