"""Reads a capability of the catalogue: a named permission template with typed parameters."""

import re
from typing import Any, Final

from remit_server.adapters.strict_fields import TEXT, Malformed, Where, flag, items, mapping, members, text, texts
from remit_server.domain.capability import (
    PARTITION,
    CapabilityTemplate,
    ConditionTemplate,
    ParameterKind,
    PermissionTemplate,
    placeholders,
)
from remit_server.iam import ActionPattern, Condition, ResourcePattern

_NAME: Final = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]{0,62}")
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_KEY_ARN: Final = re.compile(r"arn:(aws|aws-cn|aws-us-gov):kms:[a-z0-9-]{6,20}:[0-9]{12}:key/[A-Za-z0-9-]{1,64}")
_BRACES: Final = re.compile(r"\{[a-z][a-z0-9_]*\}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_OPERATOR: Final = re.compile(r"[A-Za-z:]{1,64}")
# AWS: reading decrypts a data key; writing asks for one, and a multipart upload also decrypts it.
_KMS_ACTIONS: Final = {"read": ("kms:Decrypt",), "write": ("kms:Decrypt", "kms:GenerateDataKey")}
# Parameter Store encrypts a standard SecureString with the key itself, an advanced one with a data key.
_KMS_WRITES: Final = {"ssm": ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey")}


def capability(name: str, value: Any) -> CapabilityTemplate:
    """Returns the capability with its KMS permissions spelled out; raises Malformed with the member and the rule."""
    where: Where = (name,)
    text(name, where, _NAME, "named <service>.<what it does>")
    raw = members(
        value,
        where,
        required=frozenset({"description", "access", "parameters", "permissions"}),
        optional=frozenset({"kms_key_arns"}),
    )
    if not isinstance(raw["access"], str) or raw["access"] not in _KMS_ACTIONS:
        raise Malformed((*where, "access"), f"must be one of {', '.join(_KMS_ACTIONS)}")
    parameters, optional = _parameters(raw["parameters"], (*where, "parameters"))
    listed = items(raw["permissions"], (*where, "permissions"), least=1, most=20)
    permissions = [
        _permission(item, (*where, "permissions", place), parameters, optional) for place, item in enumerate(listed)
    ]
    keys = texts(
        raw.get("kms_key_arns", []), (*where, "kms_key_arns"), _KEY_ARN, "the ARN of a KMS key", least=0, most=20
    )
    service = name.partition(".")[0]
    return CapabilityTemplate(
        name=name,
        description=text(raw["description"], (*where, "description"), TEXT, "one line of text"),
        parameters=parameters,
        permissions=(*permissions, *(_kms(key, service, raw["access"]) for key in keys)),
        optional=optional,
    )


def _parameters(value: Any, where: Where) -> tuple[dict[str, ParameterKind], frozenset[str]]:
    """Returns the kind of each parameter, and which of them a caller may leave out."""
    kinds: dict[str, ParameterKind] = {}
    optional: set[str] = set()
    for name, item in mapping(value, where, most=16).items():
        place = (*where, name)
        text(name, place, _PARAMETER, "named with a-z, 0-9 and '_'")
        if name == PARTITION:
            raise Malformed(place, "is no parameter: {partition} follows the region")
        raw = members(item, place, required=frozenset({"type"}), optional=frozenset({"optional"}))
        try:
            kinds[name] = ParameterKind.named(raw["type"])
        except ValueError as wrong:
            raise Malformed((*place, "type"), str(wrong)) from None
        if flag(raw.get("optional", False), (*place, "optional")):
            optional.add(name)
    return kinds, frozenset(optional)


def _permission(
    value: Any, where: Where, parameters: dict[str, ParameterKind], optional: frozenset[str]
) -> PermissionTemplate:
    """Returns one permission template that stays well-formed whatever literal its placeholders get."""
    raw = members(
        value,
        where,
        required=frozenset({"actions", "resources"}),
        optional=frozenset({"conditions", "needs", "without"}),
    )
    conditions = items(raw.get("conditions", []), (*where, "conditions"), least=0, most=10)
    template = PermissionTemplate(
        actions=texts(raw["actions"], (*where, "actions"), TEXT, "an action pattern", most=100),
        resources=texts(raw["resources"], (*where, "resources"), TEXT, "a resource pattern", most=20),
        conditions=tuple(_condition(item, (*where, "conditions", place)) for place, item in enumerate(conditions)),
        needs=_switch(raw, "needs", where, optional),
        without=_switch(raw, "without", where, optional),
    )
    if unknown := sorted(placeholders(template) - parameters.keys() - {PARTITION}):
        raise Malformed(where, f"uses {{{unknown[0]}}}, which is no parameter of this capability")
    if PARTITION in placeholders(template) and not _names_one_region(parameters, optional):
        raise Malformed(
            where, "uses {partition}, which follows the region: exactly one, required parameter of that type"
        )
    if sometimes := sorted(placeholders(template) & optional - {template.needs}):
        raise Malformed(where, f"uses the optional {{{sometimes[0]}}} without needs: {sometimes[0]}")
    _check_patterns(template, where)
    return template


def _names_one_region(parameters: dict[str, ParameterKind], optional: frozenset[str]) -> bool:
    """Says whether the partition can be told from the parameters, whatever a caller gives."""
    regions = [name for name, kind in parameters.items() if kind is ParameterKind.REGION]
    return len(regions) == 1 and regions[0] not in optional


def _check_patterns(template: PermissionTemplate, where: Where) -> None:
    """Raises Malformed when the template could not become a permission."""
    try:
        for action in template.actions:
            ActionPattern.parse(action)
        for resource in template.resources:
            # A twelve-digit number is a literal of every part of an ARN: account, bucket, key, table.
            ResourcePattern.parse(_BRACES.sub("000000000000", resource))
        for condition in template.conditions:
            Condition(condition.operator, condition.key, condition.values)
    except ValueError as wrong:
        raise Malformed(where, f"is not a permission: {wrong}") from wrong
    if any(mark in _BRACES.sub("", resource) for resource in template.resources for mark in "{}$"):
        raise Malformed((*where, "resources"), "must use braces only for parameters")


def _condition(value: Any, where: Where) -> ConditionTemplate:
    """Returns one condition template."""
    raw = members(value, where, required=frozenset({"operator", "key", "values"}))
    return ConditionTemplate(
        operator=text(raw["operator"], (*where, "operator"), _OPERATOR, "an IAM condition operator"),
        key=text(raw["key"], (*where, "key"), _KEY, "an IAM condition key"),
        values=texts(raw["values"], (*where, "values"), TEXT, "a string without control characters", most=20),
    )


def _switch(raw: dict[str, Any], key: str, where: Where, optional: frozenset[str]) -> str | None:
    """Returns the optional parameter that decides whether a permission is there."""
    if key not in raw:
        return None
    if not isinstance(raw[key], str) or raw[key] not in optional:
        raise Malformed((*where, key), "must name an optional parameter")
    return str(raw[key])


def _kms(key_arn: str, service: str, access: str) -> PermissionTemplate:
    """Returns the use of one key through the capability's own service only (5-iam.md; AWS KMS, `kms:ViaService`)."""
    partition, region = key_arn.split(":")[1], key_arn.split(":")[3]
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return PermissionTemplate(
        actions=_KMS_WRITES.get(service, _KMS_ACTIONS[access]) if access == "write" else _KMS_ACTIONS[access],
        resources=(key_arn,),
        conditions=(ConditionTemplate("StringEquals", "kms:ViaService", (f"{service}.{region}.{suffix}",)),),
    )
