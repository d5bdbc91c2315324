"""The rules that every form of an intent shares: the gateway's own, checked before anything is sent.

docs/remit-task.schema.json states the same rules for the JSON form; a test holds each to the other.
"""

import re
from collections.abc import Sequence

from remit.intent import Capability, Condition, Permission
from remit.intents.mistakes import wrong

MOST_PERMISSIONS, MOST_CAPABILITIES, MOST_LABELS = 50, 20, 16
MOST_ACTIONS = MOST_RESOURCES = 50
MOST_CONDITIONS, MOST_VALUES, MOST_PARAMETERS = 10, 20, 16
LONGEST_ACTION, LONGEST_RESOURCE, LONGEST_VALUE, LONGEST_LABEL, LONGEST_PURPOSE = 128, 1024, 512, 256, 512

# Controls, line separators, surrogates, and what changes how text reads without being seen (Trojan Source).
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]",
)
_ACTION = re.compile(r"[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,64}")
_RESOURCE = re.compile(
    r"\*|arn:[a-z0-9-]{1,64}:[a-z0-9-]{1,64}:(?:\*|[a-z0-9-]{0,64}):(?:\*|[a-z0-9-]{0,64}):[\x20-\x7e]*[\x21-\x7e]"
)
_OPERATOR = re.compile(
    r"Null|(?:ForAllValues:|ForAnyValue:)?(?:"
    r"String(?:Not)?(?:Equals|EqualsIgnoreCase|Like)|Arn(?:Not)?(?:Equals|Like)|(?:Not)?IpAddress|Bool|BinaryEquals|"
    r"(?:Numeric|Date)(?:(?:Not)?Equals|(?:Less|Greater)Than(?:Equals)?)"
    r")(?:IfExists)?"
)
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_CONDITION_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]{0,512}")
_CAPABILITY = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NOT_LITERAL = re.compile(r'[*?$\\{}"]')
_ASCII = re.compile(r"[\x20-\x7e]{1,512}")
_PERMISSION_EXAMPLE = "s3:GetObject=arn:aws:s3:::reports/2026/*"


def check_permission(permission: Permission, path: str) -> Permission:
    """Returns the permission; raises InvalidRequest for one that the gateway would not read."""
    _check_count(permission.actions, MOST_ACTIONS, f"{path}.actions", "action")
    _check_count(permission.resources, MOST_RESOURCES, f"{path}.resources", "resource")
    if not all(len(action) <= LONGEST_ACTION and _ACTION.fullmatch(action) for action in permission.actions):
        rule = "an action is service:Name, such as s3:GetObject or s3:Get*, with a literal service"
        raise wrong(f"{path}.actions", rule, example=_PERMISSION_EXAMPLE)
    for resource in permission.resources:
        _check_resource(resource, f"{path}.resources")
    if len(permission.conditions) > MOST_CONDITIONS:
        raise wrong(f"{path}.conditions", f"there are at most {MOST_CONDITIONS} conditions")
    for condition in permission.conditions:
        _check_condition(condition, f"{path}.conditions")
    return permission


def check_capability(capability: Capability, path: str) -> Capability:
    """Returns the capability; raises InvalidRequest for one that no catalogue can hold."""
    if not _CAPABILITY.fullmatch(capability.name):
        rule = "the name of a capability is lower-case letters, digits, '_' and '.'"
        raise wrong(f"{path}.name", rule, example="s3.read_prefix")
    if len(capability.parameters) > MOST_PARAMETERS:
        raise wrong(f"{path}.parameters", f"there are at most {MOST_PARAMETERS} parameters")
    for name, value in capability.parameters:
        if not _PARAMETER.fullmatch(name):
            raise wrong(f"{path}.parameters", "the name of a parameter is lower-case letters, digits and '_'")
        check_literal(value, f"{path}.parameters.{name}")
    return capability


def check_literal(value: str, path: str) -> None:
    """Refuses what no parameter of a capability may hold, whatever its type; says what to do for a wildcard."""
    if _NOT_LITERAL.search(value):
        is_prefix = "prefix" in path.rpartition(".")[2]
        meant = (
            "the prefix itself, ending with '/', to mean all below it" if is_prefix else "the one name that is meant"
        )
        raise wrong(
            path,
            "is taken literally, so a wildcard, '$', a brace, a quote or a backslash is refused: "
            f"give {meant}, or ask for a permission, which takes patterns",
            example=f"s3.read_prefix bucket=reports prefix=2026/q3/ or {_PERMISSION_EXAMPLE}",
        )
    if not _ASCII.fullmatch(value):
        raise wrong(path, f"is 1 to {LONGEST_VALUE} printable ASCII characters")
    if "//" in value or any(step in {".", ".."} for step in value.split("/")):
        raise wrong(path, "must not hold '//', '.' or '..' as a path step")


def check_label(name: str, value: str, path: str) -> None:
    """Refuses a label that the gateway would not read."""
    if not _LABEL.fullmatch(name):
        raise wrong(path, "the name of a label is 1 to 63 of a-z, 0-9, '_' and '-'")
    if len(value) > LONGEST_LABEL or HIDDEN.search(value):
        raise wrong(f"{path}.{name}", f"is at most {LONGEST_LABEL} characters, none of them a control character")


def check_purpose(purpose: str, path: str) -> None:
    """Refuses a purpose that the gateway would not read."""
    if not 1 <= len(purpose) <= LONGEST_PURPOSE or HIDDEN.search(purpose):
        raise wrong(path, f"is 1 to {LONGEST_PURPOSE} characters, none of them a control character")


def _check_count(items: Sequence[str], most: int, path: str, word: str) -> None:
    if not 1 <= len(items) <= most:
        raise wrong(path, f"there is at least one {word}, and at most {most}")


def _check_resource(resource: str, path: str) -> None:
    if len(resource) > LONGEST_RESOURCE or not _RESOURCE.fullmatch(resource):
        rule = (
            "a resource is an ARN of six parts (arn:partition:service:region:account:name), partition and service "
            "literal, region and account literal, empty or *"
        )
        raise wrong(path, rule, example="arn:aws:s3:::reports/2026/*")
    if "${" in resource:
        raise wrong(path, "a policy variable (${...}) is for what the security team writes, not for what is asked for")


def _check_condition(condition: Condition, path: str) -> None:
    if not _OPERATOR.fullmatch(condition.operator):
        raise wrong(f"{path}.operator", "is one of IAM's operators, spelled as AWS does", example="StringLike")
    if not _KEY.fullmatch(condition.key):
        raise wrong(f"{path}.key", "is a condition key of IAM", example="s3:prefix")
    if not 1 <= len(condition.values) <= MOST_VALUES:
        raise wrong(f"{path}.values", f"there is at least one value, and at most {MOST_VALUES}")
    if not all(_CONDITION_VALUE.fullmatch(value) and "${" not in value for value in condition.values):
        rule = f"a value is at most {LONGEST_VALUE} printable characters up to U+00FF, without ${{"
        raise wrong(f"{path}.values", rule)
