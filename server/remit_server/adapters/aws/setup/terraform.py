"""The plan as Terraform: one module for each account, and one for the gateway's own rights."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.aws.setup.plan import (
    CANARY_POLICY,
    GATEWAY_POLICY,
    PROVIDER,
    AccountPlan,
    Given,
    Plan,
    RolePlan,
    identifier,
    replaced,
)
from remit_server.adapters.aws.setup.policies import Json
from remit_server.adapters.aws.web_identity_token import AUDIENCE

_HEADER: Final = """\
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}
"""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Code:
    """An expression of Terraform, written as it is."""

    text: str


def modules(plan: Plan) -> dict[str, str]:
    """Returns each file's text by its path."""
    files = {f"{account.account}/remit.tf": "\n".join(_account(account)) for account in plan.accounts}
    if plan.gateway is not None:
        files["gateway/remit-gateway.tf"] = "\n".join(_gateway(plan.gateway))
    return files


def _account(account: AccountPlan) -> Iterator[str]:
    references: dict[Given, Any] = {given: Code(f"var.{given.name}") for given in account.given}
    references[PROVIDER] = Code("aws_iam_openid_connect_provider.remit.arn")
    yield (
        f"# Remit in AWS account {account.account}: its roles, the policies by which their sessions are revoked, and\n"
        "# the role that writes those. Written by `remit-server aws plan`; docs/revocation.md tells how it is used.\n"
        "# A role that is there already is taken over by `terraform import aws_iam_role.<name> <role name>`.\n"
    )
    yield _HEADER
    for given in account.given:
        secret = {"sensitive": True} if given.secret else {}
        yield _block("variable", [given.name], {"type": Code("string"), "description": given.what, **secret})
    if account.issuer_url is not None:
        provider = {"url": account.issuer_url, "client_id_list": [AUDIENCE]}
        yield _block("resource", ["aws_iam_openid_connect_provider", "remit"], provider)
    yield from _policies(account)
    for number, role in enumerate(account.roles):
        yield from _role(role, references, is_first=number == 0)
    yield from _revoker(account, references)


def _policies(account: AccountPlan) -> Iterator[str]:
    """Yields the revocation policies and the canary's."""
    yield (
        "# The gateway writes new versions of these. Never let Terraform put the first text back: whoever was revoked\n"
        "# would be let in again.\n"
        + _block(
            "resource",
            ["aws_iam_policy", "remit_revocations"],
            {
                "for_each": Code(f"toset({_value([name.rpartition('-')[2] for name in account.policy_names], 1)})"),
                "name": Code(f'"{_escaped(account.names.policy_prefix)}-${{each.key}}"'),
                "policy": account.nothing,
            },
            "  lifecycle {\n    ignore_changes = [policy]\n  }\n",
        )
    )
    yield _block("resource", ["aws_iam_policy", "remit_canary"], {"name": CANARY_POLICY, "policy": account.canary})


def _role(role: RolePlan, references: dict[Given, Any], *, is_first: bool) -> Iterator[str]:
    """Yields a Remit role with what is attached to it."""
    name = identifier(role.name)
    owner = Code(f"aws_iam_role.{name}.name")
    yield _block(
        "resource",
        ["aws_iam_role", name],
        {
            "name": role.name,
            "path": role.path,
            "max_session_duration": role.max_session_seconds,
            "assume_role_policy": replaced(role.trust, references),
        },
    )
    if role.ceiling is not None:
        ceiling = {"name": "remit-ceiling", "role": owner, "policy": role.ceiling}
        yield _block("resource", ["aws_iam_role_policy", name], ceiling)
    attachment = {
        "for_each": Code("aws_iam_policy.remit_revocations"),
        "role": owner,
        "policy_arn": Code("each.value.arn"),
    }
    yield _block("resource", ["aws_iam_role_policy_attachment", f"{name}_revocations"], attachment)
    if is_first:
        canary = {"role": owner, "policy_arn": Code("aws_iam_policy.remit_canary.arn")}
        yield _block("resource", ["aws_iam_role_policy_attachment", f"{name}_canary"], canary)


def _revoker(account: AccountPlan, references: dict[Given, Any]) -> Iterator[str]:
    trust = replaced(account.revoker_trust, references)
    role = {"name": account.names.role_name, "max_session_duration": 3600, "assume_role_policy": trust}
    yield _block("resource", ["aws_iam_role", "remit_revoker"], role)
    rights = {
        "name": "revoke",
        "role": Code("aws_iam_role.remit_revoker.name"),
        "policy": account.revoker_rights,
    }
    yield _block("resource", ["aws_iam_role_policy", "remit_revoker"], rights)


def _gateway(rights: Json) -> Iterator[str]:
    yield (
        "# What Remit's gateway itself may do at AWS: attach it to its role or user, and nothing else.\n"
        "# Written by `remit-server aws plan`.\n"
    )
    yield _HEADER
    policy = {"name": GATEWAY_POLICY, "policy": rights}
    yield _block("resource", ["aws_iam_policy", "remit_gateway"], policy)
    yield 'output "policy_arn" {\n  value = aws_iam_policy.remit_gateway.arn\n}\n'


def _block(kind: str, labels: list[str], arguments: dict[str, Any], nested: str = "") -> str:
    """Returns a block; objects among its arguments are policies, written as JSON by Terraform itself."""
    width = max(map(len, arguments))
    lines = [f"{kind} " + " ".join(f'"{label}"' for label in labels) + " {"]
    for name, value in arguments.items():
        written = f"jsonencode({_value(value, 1)})" if isinstance(value, dict) else _value(value, 1)
        lines.append(f"  {name:<{width}} = {written}")
    return "\n".join(lines) + "\n" + (f"\n{nested}" if nested else "") + "}\n"


def _value(value: Any, depth: int) -> str:
    """Returns an expression of Terraform for a JSON value."""
    inside, outside = "  " * (depth + 1), "  " * depth
    match value:
        case Code():
            return value.text
        case bool() | int():
            return str(value).lower()
        case str():
            return f'"{_escaped(value)}"'
        case list() if len(value) == 1:
            return f"[{_value(value[0], depth)}]"
        case list():
            lines = "".join(f"{inside}{_value(item, depth + 1)},\n" for item in value)
            return f"[\n{lines}{outside}]"
        case dict():
            lines = "".join(f"{inside}{_key(key)} = {_value(item, depth + 1)}\n" for key, item in value.items())
            return f"{{\n{lines}{outside}}}"
        case _:
            raise TypeError(f"no value of a policy: {type(value).__name__}")


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else f'"{_escaped(key)}"'


def _escaped(text: str) -> str:
    """Returns the text inside quotes; what Terraform would replace, such as IAM's own variables, stays as it is."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("${", "$${").replace("%{", "%%{")
