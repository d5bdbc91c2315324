"""What an AWS account holds, as IAM shows it; read once, with whatever credentials the doctor is given."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import unquote

from remit_server.iam import Document, MalformedPolicy

_MISSING: Final = "NoSuchEntity"


class CannotSee(Exception):  # noqa: N818 - named for what it says
    """IAM does not show something to these credentials; says what, and AWS's code."""


class Iam(Protocol):
    """The calls of botocore's IAM client that the doctor makes; all of them only read."""

    def __getattr__(self, name: str) -> Any:
        """Returns a call."""
        ...


@dataclass(frozen=True, slots=True)
class LivePolicy:
    """A managed policy: the text in force, and how many versions it has."""

    arn: str
    text: str
    versions: int


@dataclass(frozen=True, slots=True)
class LivePrincipal:
    """A role or a user: whom it trusts (None for a user), what is attached to it, and what that says.

    `policies` maps the name or ARN of each of its policies to its JSON.
    """

    arn: str
    trust: Mapping[str, Any] | None
    policies: Mapping[str, Mapping[str, Any]]
    attached: frozenset[str]
    max_session_seconds: int
    boundary: str | None


@dataclass(slots=True)
class LiveAccount:
    """Reads one account; what was read is kept."""

    client: Any
    _policies: dict[str, LivePolicy | None] = field(default_factory=dict)

    def role(self, name: str) -> LivePrincipal | None:
        """Returns the role; None when there is none. Raises CannotSee."""
        found = self._asked("get_role", RoleName=name)
        if found is None:
            return None
        role = found["Role"]
        inline = self._pages("list_role_policies", "PolicyNames", RoleName=name)
        attached = self._pages("list_attached_role_policies", "AttachedPolicies", RoleName=name)
        texts = {each: self._asked("get_role_policy", RoleName=name, PolicyName=each) for each in inline}
        return LivePrincipal(
            arn=role["Arn"],
            trust=_parsed(role["AssumeRolePolicyDocument"]),
            policies={**_inline(texts), **self._managed(attached)},
            attached=frozenset(each["PolicyArn"] for each in attached),
            max_session_seconds=int(role.get("MaxSessionDuration", 3600)),
            boundary=(role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
        )

    def user(self, name: str) -> LivePrincipal | None:
        """Returns the user with what its groups give it; None when there is none. Raises CannotSee."""
        found = self._asked("get_user", UserName=name)
        if found is None:
            return None
        inline = self._pages("list_user_policies", "PolicyNames", UserName=name)
        attached = self._pages("list_attached_user_policies", "AttachedPolicies", UserName=name)
        texts = {each: self._asked("get_user_policy", UserName=name, PolicyName=each) for each in inline}
        policies = {**_inline(texts), **self._managed(attached)}
        for group in self._pages("list_groups_for_user", "Groups", UserName=name):
            policies |= self._group(group["GroupName"])
        user = found["User"]
        boundary = (user.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
        arns = frozenset(each["PolicyArn"] for each in attached)
        return LivePrincipal(user["Arn"], None, policies, arns, 0, boundary)

    def policy(self, arn: str) -> LivePolicy | None:
        """Returns a managed policy; None when there is none. Raises CannotSee."""
        if arn not in self._policies:
            self._policies[arn] = self._read_policy(arn)
        return self._policies[arn]

    def provider(self, arn: str) -> tuple[str, ...] | None:
        """Returns the audiences of an OIDC provider; None when there is none. Raises CannotSee."""
        found = self._asked("get_open_id_connect_provider", OpenIDConnectProviderArn=arn)
        return None if found is None else tuple(map(str, found.get("ClientIDList", [])))

    def _read_policy(self, arn: str) -> LivePolicy | None:
        found = self._asked("get_policy", PolicyArn=arn)
        if found is None:
            return None
        in_force = found["Policy"]["DefaultVersionId"]
        version = self._asked("get_policy_version", PolicyArn=arn, VersionId=in_force) or {}
        versions = self._pages("list_policy_versions", "Versions", PolicyArn=arn)
        return LivePolicy(arn, _text(version.get("PolicyVersion", {}).get("Document", "")), len(versions))

    def _group(self, name: str) -> dict[str, Mapping[str, Any]]:
        inline = self._pages("list_group_policies", "PolicyNames", GroupName=name)
        texts = {each: self._asked("get_group_policy", GroupName=name, PolicyName=each) for each in inline}
        attached = self._pages("list_attached_group_policies", "AttachedPolicies", GroupName=name)
        return {f"{name}/{each}": policy for each, policy in {**_inline(texts), **self._managed(attached)}.items()}

    def _managed(self, attached: list[Any]) -> dict[str, Mapping[str, Any]]:
        """Returns what attached policies say, by their ARNs."""
        found = {each["PolicyArn"]: self.policy(each["PolicyArn"]) for each in attached}
        return {arn: _parsed(policy.text) for arn, policy in found.items() if policy is not None}

    def _pages(self, call: str, key: str, **values: str) -> list[Any]:
        """Returns the items of all pages."""
        return list(self._paged(call, key, values))

    def _paged(self, call: str, key: str, values: dict[str, str]) -> Iterator[Any]:
        marker: dict[str, str] = {}
        while True:
            page = self._asked(call, **values, **marker) or {}
            yield from page.get(key, [])
            if not page.get("IsTruncated"):
                return
            marker = {"Marker": page["Marker"]}

    def _asked(self, call: str, **values: str) -> Any:
        """Returns IAM's answer, None when what was asked about is not there; raises CannotSee."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - takes a tenth of a second

        try:
            return getattr(self.client, call)(**values)
        except ClientError as refused:
            code = str(refused.response.get("Error", {}).get("Code"))
            if code == _MISSING:
                return None
            raise CannotSee(f"{call} of {', '.join(values.values())}: {code}") from refused
        except BotoCoreError as failed:
            # NOTE: its texts may quote what a credentials' provider printed: only the kind goes on.
            raise CannotSee(f"{call} of {', '.join(values.values())}: {type(failed).__name__}") from None


def documents_of(principal: LivePrincipal, left_out: frozenset[str] = frozenset()) -> Document:
    """Returns all that a principal's policies say as one document; raises MalformedPolicy where that cannot be read."""
    statements = [
        statement
        for name, policy in sorted(principal.policies.items())
        if name not in left_out
        for statement in statements_of(policy)
    ]
    return document_of(statements)


def document_of(statements: list[dict[str, Any]]) -> Document:
    """Returns statements as a document, without what only names them; no statements are an empty document."""
    plain = [{key: value for key, value in each.items() if key != "Sid"} for each in statements]
    if not plain:
        return Document(())
    return Document.parse({"Version": "2012-10-17", "Statement": plain}, authored=True)


def statements_of(policy: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the statements of a policy as IAM shows it; one that is none has none."""
    found = (policy or {}).get("Statement", [])
    listed = found if isinstance(found, list) else [found]
    return [each for each in listed if isinstance(each, dict)]


def listed(value: Any) -> list[Any]:
    """Returns what stands in a policy alone or in a list, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _inline(answers: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: _parsed(answer["PolicyDocument"]) for name, answer in answers.items() if answer is not None}


def _parsed(document: Any) -> Mapping[str, Any]:
    """Returns a policy that botocore decoded, or the text that it did not; what is no JSON says nothing."""
    if isinstance(document, Mapping):
        return document
    try:
        found = json.loads(_text(document))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(document: Any) -> str:
    if isinstance(document, Mapping):
        return json.dumps(document, separators=(",", ":"))
    text = str(document)
    return unquote(text) if text.startswith("%7B") else text


__all__ = [
    "CannotSee",
    "LiveAccount",
    "LivePolicy",
    "LivePrincipal",
    "MalformedPolicy",
    "document_of",
    "documents_of",
    "listed",
    "statements_of",
]
