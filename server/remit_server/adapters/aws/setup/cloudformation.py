"""The plan as CloudFormation templates, in JSON: one for each account, and one for the gateway's own rights."""

import json
from typing import Any

from remit_server.adapters.aws.setup.plan import (
    CANARY_POLICY,
    GATEWAY_POLICY,
    PROVIDER,
    AccountPlan,
    Given,
    Plan,
    RolePlan,
    replaced,
    titled,
)
from remit_server.adapters.aws.setup.policies import Json
from remit_server.adapters.aws.web_identity_token import AUDIENCE

_Resources = dict[str, Any]


def templates(plan: Plan) -> dict[str, str]:
    """Returns each file's text by its path."""
    files = {f"{account.account}/remit.template.json": _text(_account(account)) for account in plan.accounts}
    if plan.gateway is not None:
        files["gateway/remit-gateway.template.json"] = _text(_gateway(plan.gateway))
    return files


def _account(account: AccountPlan) -> dict[str, Any]:
    references: dict[Given, Any] = {given: {"Ref": titled(given.name)} for given in account.given}
    references[PROVIDER] = {"Ref": "RemitIssuer"}
    policies = [titled(name) for name in account.policy_names]
    resources: _Resources = {
        policy: _managed(name, account.nothing) for policy, name in zip(policies, account.policy_names, strict=True)
    }
    if account.issuer_url is not None:
        provider = {"Url": account.issuer_url, "ClientIdList": [AUDIENCE]}
        resources["RemitIssuer"] = {"Type": "AWS::IAM::OIDCProvider", "Properties": provider}
    resources["RemitCanary"] = _managed(CANARY_POLICY, account.canary)
    for number, role in enumerate(account.roles):
        attached = [*policies, *(["RemitCanary"] if number == 0 else [])]
        resources[f"Role{titled(role.name)}"] = _role(role, attached, references)
    resources["RemitRevoker"] = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": account.names.role_name,
            "MaxSessionDuration": 3600,
            "AssumeRolePolicyDocument": replaced(account.revoker_trust, references),
            "Policies": [{"PolicyName": "revoke", "PolicyDocument": account.revoker_rights}],
        },
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": (
            f"Remit in account {account.account}: its roles, the policies by which their sessions are revoked, and the "
            "role that writes those. The gateway changes the text of the revocation policies: leave it alone."
        ),
        **({"Parameters": {titled(given.name): _parameter(given) for given in account.given}} if account.given else {}),
        "Resources": resources,
    }


def _gateway(rights: Json) -> dict[str, Any]:
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What Remit's gateway itself may do at AWS: attach it to its role or user, and nothing else.",
        "Resources": {"RemitGateway": _managed(GATEWAY_POLICY, rights)},
        "Outputs": {"PolicyArn": {"Value": {"Ref": "RemitGateway"}}},
    }


def _role(role: RolePlan, attached: list[str], references: dict[Given, Any]) -> dict[str, Any]:
    properties = {
        "RoleName": role.name,
        "Path": role.path,
        "MaxSessionDuration": role.max_session_seconds,
        "AssumeRolePolicyDocument": replaced(role.trust, references),
        "ManagedPolicyArns": [{"Ref": name} for name in attached],
    }
    if role.ceiling is not None:
        properties["Policies"] = [{"PolicyName": "remit-ceiling", "PolicyDocument": role.ceiling}]
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def _managed(name: str, policy: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"ManagedPolicyName": name, "PolicyDocument": policy},
    }


def _parameter(given: Given) -> dict[str, Any]:
    return {"Type": "String", "Description": given.what, **({"NoEcho": True} if given.secret else {})}


def _text(template: dict[str, Any]) -> str:
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"
