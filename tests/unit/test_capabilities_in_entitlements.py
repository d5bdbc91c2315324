"""Capabilities fit entitlements as people write them, wider than what is asked for, and no narrower ones."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

import pytest
from tests.capability_cases import CASES
from tests.policy_bundles import DEFAULT_POLICIES

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.domain.capability import CapabilityTemplate, expand
from remit_server.domain.permission import as_document
from remit_server.domain.task import Capability
from remit_server.iam import Counterexample, Derived, Document, contains_all, derive, floor

PLACE = "eu-central-1:111122223333"
END = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)


def entitlement(
    actions: Sequence[str], resources: Sequence[str], **conditions: Mapping[str, Sequence[str]]
) -> Document:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    more = {"Condition": conditions} if conditions else {}
    return Document.parse({"Version": "2012-10-17", "Statement": [{**statement, **more}]})


def tagged(*values: str) -> Document:
    actions = ("ec2:StartInstances", "ec2:StopInstances")
    return entitlement(
        actions, ["arn:aws:ec2:*:111122223333:instance/*"], StringEquals={"aws:ResourceTag/remit-group": values}
    )


WIDER = {
    "bedrock.invoke_profile": entitlement(
        ["bedrock:InvokeModel*"],
        ["arn:aws:bedrock:*::foundation-model/amazon.*", f"arn:aws:bedrock:{PLACE}:inference-profile/eu.*"],
    ),
    "ec2.start_stop_instances": tagged("build agents", "test agents"),
    "ec2.describe_instances": entitlement(
        ["ec2:Describe*"], ["*"], StringEquals={"aws:RequestedRegion": ["eu-central-1", "eu-west-1"]}
    ),
    "logs.write_events": entitlement(
        ["logs:CreateLogStream", "logs:PutLogEvents"], [f"arn:aws:logs:{PLACE}:log-group:/app/*"]
    ),
    "ssm.read_path": entitlement(["ssm:GetParameter*"], [f"arn:aws:ssm:{PLACE}:parameter/app/*"]),
    "sqs.send_messages": entitlement(["sqs:GetQueueUrl", "sqs:SendMessage"], [f"arn:aws:sqs:{PLACE}:jobs*"]),
    "glue.read_table": entitlement(
        ["glue:Get*"], [f"arn:aws:glue:{PLACE}:{name}" for name in ("catalog", "database/sales", "table/sales/*")]
    ),
}
OTHER = {
    "bedrock.invoke_profile": entitlement(["bedrock:InvokeModel*"], [f"arn:aws:bedrock:{PLACE}:inference-profile/*"]),
    "ec2.start_stop_instances": tagged("production"),
    "ec2.describe_instances": entitlement(
        ["ec2:Describe*"], ["*"], StringEquals={"aws:RequestedRegion": ["us-east-1"]}
    ),
    "logs.write_events": entitlement(["logs:PutLogEvents"], [f"arn:aws:logs:{PLACE}:log-group:/app/web:*"]),
    "ssm.read_path": entitlement(["ssm:GetParameter*"], [f"arn:aws:ssm:{PLACE}:parameter/app/prod/db/*"]),
    "sqs.send_messages": entitlement(["sqs:*"], [f"arn:aws:sqs:{PLACE}:jobs"]),
    "glue.read_table": entitlement(["glue:Get*"], [f"arn:aws:glue:{PLACE}:table/sales/*"]),
}


@cache
def catalogue() -> Mapping[str, CapabilityTemplate]:
    return read_bundle(DEFAULT_POLICIES).capabilities


def asked_for(name: str) -> Document:
    return as_document(expand(Capability(name, CASES[name].parameters), catalogue(), path="c"))


@pytest.mark.parametrize("name", WIDER)
def test_a_capability_lies_within_an_entitlement_that_is_wider(name: str) -> None:
    intent = asked_for(name)

    derived = derive(intent, [WIDER[name]], end=END)

    assert isinstance(derived, Derived)
    assert isinstance(contains_all(derived.document, [intent, WIDER[name], floor()]), tuple)
    assert derived.unguarded == ()


@pytest.mark.parametrize("name", OTHER)
def test_a_capability_does_not_lie_within_an_entitlement_for_something_else(name: str) -> None:
    proof = contains_all(asked_for(name), [OTHER[name]])

    assert isinstance(proof, Counterexample)
