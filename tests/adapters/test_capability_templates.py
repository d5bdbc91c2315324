"""Capability templates: the partition that follows a region, and the keys that go with writing a parameter."""

from pathlib import Path

import pytest
from tests.policy_bundles import written

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.findings import BundleRefused

RULES = {"remit/issue/issue.rego": "package remit.issue\n"}


def capability(parameters: str, resource: str) -> dict[str, str]:
    text = f"""sqs.send:
  description: Sends
  access: write
  parameters: {parameters}
  permissions:
    - actions: ["sqs:SendMessage"]
      resources: ["{resource}"]
"""
    return {**RULES, "remit/catalog/capabilities/data.yaml": text}


@pytest.mark.parametrize(
    "parameters",
    [
        "{queue: {type: sqs_queue}}",
        "{queue: {type: sqs_queue}, place: {type: region}, other: {type: region}}",
        "{queue: {type: sqs_queue}, place: {type: region, optional: true}}",
    ],
    ids=["no region", "two regions", "an optional region"],
)
def test_a_partition_without_a_region_that_is_always_there_is_refused(tmp_path: Path, parameters: str) -> None:
    written(tmp_path, capability(parameters, "arn:{partition}:sqs:*:111122223333:{queue}"))

    with pytest.raises(BundleRefused, match="follows the region: exactly one, required") as raised:
        read_bundle(tmp_path)

    assert {finding.line for finding in raised.value.findings} == {6}


def test_partition_is_no_name_for_a_parameter(tmp_path: Path) -> None:
    written(tmp_path, capability("{partition: {type: region}}", "arn:aws:sqs:*:111122223333:jobs"))

    with pytest.raises(BundleRefused, match="follows the region"):
        read_bundle(tmp_path)


def test_a_required_region_gives_the_partition(tmp_path: Path) -> None:
    written(
        tmp_path,
        capability("{queue: {type: sqs_queue}, place: {type: region}}", "arn:{partition}:sqs:{place}:1:{queue}"),
    )

    found = read_bundle(tmp_path).capabilities["sqs.send"]

    assert found.permissions[0].resources == ("arn:{partition}:sqs:{place}:1:{queue}",)


@pytest.mark.parametrize(
    ("access", "actions"),
    [("read", ("kms:Decrypt",)), ("write", ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"))],
)
def test_a_secure_string_is_encrypted_by_the_key_itself(tmp_path: Path, access: str, actions: tuple[str, ...]) -> None:
    text = f"""ssm.use_parameter:
  description: Uses
  access: {access}
  parameters:
    name: {{type: ssm_parameter}}
  permissions:
    - actions: ["ssm:GetParameter"]
      resources: ["arn:aws:ssm:eu-central-1:111122223333:parameter/{{name}}"]
  kms_key_arns: ["arn:aws:kms:eu-central-1:111122223333:key/1234"]
"""

    bundle = read_bundle(written(tmp_path, {**RULES, "remit/catalog/capabilities/data.yaml": text}))

    key = bundle.capabilities["ssm.use_parameter"].permissions[1]
    assert key.actions == actions
    assert key.conditions[0].values == ("ssm.eu-central-1.amazonaws.com",)
