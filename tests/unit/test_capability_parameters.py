"""The grammars of capability parameters: what AWS takes as a name, as a literal, and nothing that reaches further."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit_server.domain.capability import (
    CapabilityTemplate,
    ConditionTemplate,
    ParameterKind,
    PermissionTemplate,
    expand,
)
from remit_server.domain.errors import InvalidRequest
from remit_server.domain.task import Capability
from remit_server.iam import ResourcePattern

TAKEN = {
    ParameterKind.SQS_QUEUE: ["jobs", "a", "A" * 80, "orders-2.fifo", "x" * 75 + ".fifo"],
    ParameterKind.SNS_TOPIC: ["alerts", "A" * 256, "alerts.fifo", "x" * 251 + ".fifo"],
    ParameterKind.SSM_PARAMETER: ["url", "app/prod/db.url", "a/" * 14 + "z", "my-aws/x", "app/aws"],
    ParameterKind.SSM_PATH: ["app/", "app/prod/", "a/" * 15],
    ParameterKind.LOG_GROUP: ["/aws/lambda/resize", "app#1", "a.b-c_d", "x" * 512],
    ParameterKind.LAMBDA_FUNCTION: ["resize", "A-b_1", "x" * 64],
    ParameterKind.LAMBDA_QUALIFIER: ["live", "7", "blue_green-1"],
    ParameterKind.ECR_REPOSITORY: ["app", "team/app", "a.b/c_d/e--f", "team/app__x"],
    ParameterKind.TAG_VALUE: ["build agents", "a", "team/a=b+c@d.e:f", "x" * 256],
    ParameterKind.ATHENA_WORKGROUP: ["primary", "analysts.eu-1"],
    ParameterKind.GLUE_NAME: ["sales", "orders_2026"],
    ParameterKind.BEDROCK_MODEL: ["amazon.nova-lite-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "a.b.c-1:0:24k"],
    ParameterKind.BEDROCK_PROFILE: ["eu.amazon.nova-lite-v1:0", "a1b2c3d4e5f6"],
    ParameterKind.REGION: ["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-10", "eusc-de-east-1"],
    ParameterKind.ACCOUNT: ["000000000001"],
}
REFUSED = {
    ParameterKind.SQS_QUEUE: ["", "A" * 81, "jobs.fifo.x", "jobs.FIFO", ".fifo", "x" * 76 + ".fifo", "a:b", "a/b"],
    ParameterKind.SNS_TOPIC: ["", "A" * 257, "x" * 252 + ".fifo", "alerts:sub", "+4915112345678", "arn:aws:sns:x:y:z"],
    ParameterKind.SSM_PARAMETER: [
        "",
        "/url",
        "url/",
        "app//url",
        "aws/x",
        "AWS",
        "ssm-x",
        "SsM",
        "a/" * 15 + "z",
        "a:1",
    ],
    ParameterKind.SSM_PATH: ["", "/", "app", "/app/", "app//", "aws/", "aws/service/", "ssm/", "a/" * 16, "app/../"],
    ParameterKind.LOG_GROUP: ["", "app:log-stream", "x" * 513, "app:*", "a b", "//app"],
    ParameterKind.LAMBDA_FUNCTION: ["", "resize:live", "x" * 65, "arn:aws:lambda:x", "a.b"],
    ParameterKind.LAMBDA_QUALIFIER: ["", "$LATEST", "a:b", "x" * 129, "live/durable-execution"],
    ParameterKind.ECR_REPOSITORY: ["", "a", "Team/app", "team//app", "team/", "/team", "team/app:latest", "a___b"],
    ParameterKind.TAG_VALUE: ["", " a", "a ", "x" * 257, "a,b", "a|b", "\u00e9"],
    ParameterKind.ATHENA_WORKGROUP: ["", "a/session", "x" * 129, "a:b"],
    ParameterKind.GLUE_NAME: ["", "sales/orders", "Sales", "a.b", "x" * 256],
    ParameterKind.BEDROCK_MODEL: [
        "",
        "nova",
        "amazon.",
        "arn:aws:bedrock:x",
        "amazon.nova:0:1:2",
        "amazon.nova/x",
        ".nova",
    ],
    ParameterKind.BEDROCK_PROFILE: ["", "a/b", "x" * 65, "a_b"],
    ParameterKind.REGION: ["", "eu-central", "EU-central-1", "xx-yy-zz-1", "eu-central-1a", "us-east-1:1"],
    ParameterKind.ACCOUNT: ["", "1", "1111222233334", "11112222333a", "\u0661" * 12],
}
ATTACKS = [
    "*",
    "?",
    "a*",
    "a?",
    "${aws:username}",
    "${*}",
    "$",
    "{queue}",
    '"',
    "\\",
    "a\nb",
    "a\x00",
    "a\x7f",
    "\u017f",
    "\u212a",
]
REGIONAL = CapabilityTemplate(
    "sqs.send",
    "Sends",
    {"region": ParameterKind.REGION, "queue": ParameterKind.SQS_QUEUE},
    (
        PermissionTemplate(
            ("sqs:SendMessage",),
            ("arn:{partition}:sqs:{region}:111122223333:{queue}",),
            (ConditionTemplate("ArnEquals", "aws:SourceArn", ("arn:{partition}:sns:{region}:111122223333:t",)),),
        ),
    ),
)


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in TAKEN.items() for value in values])
def test_a_name_that_aws_takes_is_taken(kind: ParameterKind, value: str) -> None:
    assert kind.broken_rule(value) is None


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in REFUSED.items() for value in values])
def test_what_is_no_such_name_is_refused(kind: ParameterKind, value: str) -> None:
    assert kind.broken_rule(value) is not None


@pytest.mark.parametrize("kind", ParameterKind)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_kind_takes_an_attack_alone_or_around_a_good_name(kind: ParameterKind, attack: str) -> None:
    good = TAKEN.get(kind, ["a"])[0]

    assert [text for text in (attack, attack + good, good + attack) if kind.broken_rule(text) is None] == []


@given(st.sampled_from(list(ParameterKind)), st.text(max_size=40))
def test_whatever_a_kind_takes_is_one_literal_of_printable_ascii(kind: ParameterKind, value: str) -> None:
    if kind.broken_rule(value) is None:
        pattern = ResourcePattern.parse(f"arn:aws:x:y::{value}x")
        assert pattern.is_literal
        assert value.isascii()


@given(st.sampled_from(list(TAKEN)), st.text(alphabet="aA1/.:-_*?$ ", max_size=12))
def test_the_ends_of_a_value_are_held_to_the_grammar_too(kind: ParameterKind, tail: str) -> None:
    value = TAKEN[kind][0] + tail

    accepted = kind.broken_rule(value) is None

    assert not accepted or kind.grammar.fullmatch(value)
    assert not accepted or not set(value) & set("*?$")


def test_every_kind_beyond_the_first_ones_has_names_it_takes_and_names_it_refuses() -> None:
    assert set(TAKEN) == set(REFUSED)
    assert {kind.label for kind in set(ParameterKind) - set(TAKEN)} == {
        "s3_bucket",
        "s3_prefix",
        "s3_key",
        "dynamodb_table",
        "dynamodb_key",
        "secret_name",
    }


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_the_partition_follows_the_region_in_resources_and_conditions(region: str, partition: str) -> None:
    (found,) = expand(Capability("sqs.send", {"region": region, "queue": "jobs"}), {"sqs.send": REGIONAL}, path="c")

    assert str(found.resources[0]) == f"arn:{partition}:sqs:{region}:111122223333:jobs"
    assert found.conditions[0].values == (f"arn:{partition}:sns:{region}:111122223333:t",)


def test_a_caller_cannot_choose_the_partition() -> None:
    asked = Capability("sqs.send", {"region": "eu-central-1", "queue": "jobs", "partition": "aws-cn"})

    with pytest.raises(InvalidRequest) as raised:
        expand(asked, {"sqs.send": REGIONAL}, path="c")

    assert [item.path for item in raised.value.violations] == ["c.parameters"]
