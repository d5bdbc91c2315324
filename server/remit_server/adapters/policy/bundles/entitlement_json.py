"""Reads an entitlement as policies and catalogues write it (4-policy.md, `schemas/entitlement.json`)."""

import ipaddress
import re
from datetime import timedelta
from typing import Any, Final

from remit_server.adapters.strict_fields import TEXT, Malformed, Where, flag, items, members, text, texts, whole
from remit_server.domain.entitlement import ApprovalRule, ApprovedBy, Bind, Entitlement, EntitlementKind
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, Condition, ResourcePattern

MAX_PERMISSIONS: Final = 200
MAX_PATTERNS: Final = 100
MAX_CONDITIONS: Final = 10
SHORTEST_SECONDS: Final = 15
LONGEST_CREDENTIAL_SECONDS: Final = 12 * 3600  # AWS: MaxSessionDuration is at most 12 hours
LONGEST_TASK_SECONDS: Final = 30 * 24 * 3600

DECIDED: Final = frozenset(
    {
        "id",
        "role_arn",
        "kind",
        "permissions",
        "max_credential_seconds",
        "max_task_seconds",
        "approval",
        "bind",
        "offline_renewal",
    }
)

ENTITLEMENT_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ROLE_ARN: Final = re.compile(
    r"arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:role/([\x21-\x7e]{1,511}/)?[A-Za-z0-9_+=,.@-]{1,64}"
)
_WORD: Final = re.compile(r"[A-Za-z:]{1,64}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_VPC: Final = re.compile(r"vpc-[0-9a-f]{8,17}")


def entitlement(value: Any, where: Where) -> Entitlement:
    """Returns the entitlement; raises Malformed unless every member is there, known, and of its type."""
    raw = members(value, where, required=DECIDED)
    kind = EntitlementKind(_one_of(raw["kind"], (*where, "kind"), [kind.value for kind in EntitlementKind]))
    approval = _approval(raw["approval"], (*where, "approval"))
    if kind is EntitlementKind.BREAK_GLASS and (approval is None or approval.by is not ApprovedBy.OTHERS):
        raise Malformed((*where, "approval"), "must name the groups that review a break-glass, by others")
    return Entitlement(
        entitlement_id=text(raw["id"], (*where, "id"), ENTITLEMENT_ID, "an id of a-z, 0-9, '.', '_' and '-'"),
        role_arn=text(raw["role_arn"], (*where, "role_arn"), ROLE_ARN, "the ARN of an IAM role"),
        permissions=permissions(raw["permissions"], (*where, "permissions")),
        max_credential=_seconds(raw, "max_credential_seconds", where, LONGEST_CREDENTIAL_SECONDS),
        max_task=_seconds(raw, "max_task_seconds", where, LONGEST_TASK_SECONDS),
        kind=kind,
        approval=approval,
        bind=_bind(raw["bind"], (*where, "bind")),
        offline_renewal=flag(raw["offline_renewal"], (*where, "offline_renewal")),
    )


def permissions(value: Any, where: Where) -> tuple[Permission, ...]:
    """Returns a list of permissions, at least one."""
    listed = items(value, where, least=1, most=MAX_PERMISSIONS)
    return tuple(_permission(item, (*where, place)) for place, item in enumerate(listed))


def _permission(value: Any, where: Where) -> Permission:
    """Returns one permission, its patterns parsed by the algebra; policy variables are the author's to use."""
    raw = members(value, where, required=frozenset({"actions", "resources", "conditions"}))
    actions = texts(raw["actions"], (*where, "actions"), TEXT, "an action pattern", most=MAX_PATTERNS)
    resources = texts(raw["resources"], (*where, "resources"), TEXT, "a resource pattern", most=MAX_PATTERNS)
    conditions = items(raw["conditions"], (*where, "conditions"), least=0, most=MAX_CONDITIONS)
    try:
        return Permission(
            actions=tuple(ActionPattern.parse(action) for action in actions),
            resources=tuple(ResourcePattern.parse(resource, authored=True) for resource in resources),
            conditions=tuple(_condition(item, (*where, "conditions", place)) for place, item in enumerate(conditions)),
        )
    except Malformed:
        raise
    except ValueError as wrong:
        raise Malformed(where, f"is not a permission: {wrong}") from wrong


def _condition(value: Any, where: Where) -> Condition:
    """Returns one condition."""
    raw = members(value, where, required=frozenset({"operator", "key", "values"}))
    return Condition(
        text(raw["operator"], (*where, "operator"), _WORD, "an IAM condition operator"),
        text(raw["key"], (*where, "key"), _KEY, "an IAM condition key"),
        texts(raw["values"], (*where, "values"), TEXT, "a string without control characters", most=MAX_PATTERNS),
    )


def _approval(value: Any, where: Where) -> ApprovalRule | None:
    """Returns who has to say yes, or None for null."""
    if value is None:
        return None
    raw = members(value, where, required=frozenset({"groups", "by", "min_approvers", "valid_seconds"}))
    by = ApprovedBy(_one_of(raw["by"], (*where, "by"), [by.value for by in ApprovedBy]))
    # The subject confirms in person: no group is asked.
    least = 0 if by is ApprovedBy.SUBJECT else 1
    return ApprovalRule(
        groups=texts(raw["groups"], (*where, "groups"), TEXT, "a group's name", least=least, most=32),
        by=by,
        min_approvers=whole(raw["min_approvers"], (*where, "min_approvers"), least=1, most=10),
        valid=timedelta(seconds=whole(raw["valid_seconds"], (*where, "valid_seconds"), least=60, most=24 * 3600)),
    )


def _bind(value: Any, where: Where) -> Bind | None:
    """Returns where credentials may be used from, or None for null."""
    if value is None:
        return None
    raw = members(value, where, required=frozenset(), optional=frozenset({"source_cidrs", "vpc_ids"}))
    if len(raw) != 1:
        raise Malformed(where, "must have either source_cidrs or vpc_ids")
    if "vpc_ids" in raw:
        return Bind(vpc_ids=texts(raw["vpc_ids"], (*where, "vpc_ids"), _VPC, "a VPC's id", most=20))
    cidrs = texts(raw["source_cidrs"], (*where, "source_cidrs"), TEXT, "a network", most=20)
    return Bind(source_cidrs=tuple(_network(cidr, (*where, "source_cidrs", place)) for place, cidr in enumerate(cidrs)))


def _network(cidr: str, where: Where) -> str:
    """Returns a network in CIDR form; one that holds every address binds nothing and is refused."""
    try:
        network = ipaddress.ip_network(cidr, strict=True)
    except ValueError:
        raise Malformed(where, "must be a network such as 203.0.113.0/24, without host bits") from None
    if network.prefixlen == 0:
        raise Malformed(where, "holds every address and so binds nothing")
    return str(network)


def _seconds(raw: dict[str, Any], key: str, where: Where, most: int) -> timedelta:
    """Returns a lifetime."""
    return timedelta(seconds=whole(raw[key], (*where, key), least=SHORTEST_SECONDS, most=most))


def _one_of(value: Any, where: Where, known: list[str]) -> str:
    """Returns a word of a closed list."""
    if not isinstance(value, str) or value not in known:
        raise Malformed(where, f"must be one of {', '.join(known)}")
    return value
