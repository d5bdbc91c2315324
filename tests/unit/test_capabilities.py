"""Capabilities: a caller's parameters become literal permissions, or a clear no."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import permission

from remit_server.domain.capability import (
    CapabilityTemplate,
    ConditionTemplate,
    ParameterKind,
    PermissionTemplate,
    expand,
    placeholders,
)
from remit_server.domain.errors import InvalidRequest
from remit_server.domain.task import Capability

READ_PREFIX = CapabilityTemplate(
    "s3.read_prefix",
    "Reads every object below a prefix",
    {"bucket": ParameterKind.S3_BUCKET, "prefix": ParameterKind.S3_PREFIX, "owner": ParameterKind.ACCOUNT},
    (
        PermissionTemplate(("s3:GetObject",), ("arn:aws:s3:::{bucket}/{prefix}*",)),
        PermissionTemplate(
            ("s3:ListBucket",),
            ("arn:aws:s3:::{bucket}",),
            (ConditionTemplate("StringEquals", "aws:ResourceAccount", ("{owner}",)),),
            needs="owner",
        ),
    ),
    optional=frozenset({"owner"}),
)
CATALOGUE = {READ_PREFIX.name: READ_PREFIX}


def expanded(**parameters: str) -> tuple[str, ...]:
    capability = Capability("s3.read_prefix", parameters)
    found = expand(capability, CATALOGUE, path="intent.capabilities[0]")
    return tuple(str(item) for one in found for item in one.resources)


def violations(capability: Capability) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as raised:
        expand(capability, CATALOGUE, path="c")
    return {item.path: item.rule for item in raised.value.violations}


def test_a_capability_becomes_literal_permissions() -> None:
    found = expand(
        Capability("s3.read_prefix", {"bucket": "reports", "prefix": "2026/q3/"}), CATALOGUE, path="capabilities[0]"
    )

    assert found == (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),)


def test_an_optional_parameter_brings_the_permission_that_needs_it() -> None:
    resources = expanded(bucket="reports", prefix="2026/", owner="111122223333")

    assert resources == ("arn:aws:s3:::reports/2026/*", "arn:aws:s3:::reports")


@pytest.mark.parametrize(
    "value", ["*", "re*", "r?ports", "${aws:username}", "{prefix}", 'a"b', "a\\b", "a\nb", "a\x00b"]
)
def test_a_parameter_is_taken_literally_or_not_at_all(value: str) -> None:
    found = violations(Capability("s3.read_prefix", {"bucket": value, "prefix": "2026/"}))

    assert "literally" in found["c.parameters.bucket"]
    assert value not in found["c.parameters.bucket"] or value == "*"


@pytest.mark.parametrize("prefix", ["2026", "", "/2026/", "2026//q3/", "2026/../hr/", "./2026/", "../"])
def test_a_prefix_ends_with_a_slash_and_stays_where_it_is(prefix: str) -> None:
    found = violations(Capability("s3.read_prefix", {"bucket": "reports", "prefix": prefix}))

    assert list(found) == ["c.parameters.prefix"]


def test_unknown_missing_and_wrong_parameters_are_all_told_at_once() -> None:
    found = violations(Capability("s3.read_prefix", {"bucket": "NO", "region": "x"}))

    assert set(found) == {"c.parameters.bucket", "c.parameters", "c.parameters.prefix"}


def test_an_unknown_capability_is_told_by_its_place_and_with_those_there_are() -> None:
    found = violations(Capability("s3.everything", {}))

    assert found == {"c.name": "no such capability; the catalogue has s3.read_prefix"}


def test_a_misspelled_capability_is_told_the_name_that_was_probably_meant() -> None:
    found = violations(Capability("s3.raed_prefix", {}))

    assert found == {"c.name": "no such capability; did you mean s3.read_prefix? the catalogue has s3.read_prefix"}


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_accepted_stands_in_the_resource_as_a_literal(bucket: str, prefix: str) -> None:
    try:
        (resource,) = expanded(bucket=bucket, prefix=prefix)
    except InvalidRequest:
        return

    assert resource == f"arn:aws:s3:::{bucket}/{prefix}*"
    assert resource.count("*") == 1
    assert "?" not in resource


@given(st.sampled_from(list(ParameterKind)), st.text(alphabet='*?${}"\\\x00\x1f\x7fa/', min_size=1, max_size=8))
def test_no_kind_of_parameter_lets_a_wildcard_or_variable_through(kind: ParameterKind, value: str) -> None:
    refused = kind.broken_rule(value)

    assert refused is not None or not set(value) & set('*?${}"\\\x00\x1f\x7f')


def test_the_loader_can_see_which_parameters_a_template_uses() -> None:
    assert [placeholders(item) for item in READ_PREFIX.permissions] == [{"bucket", "prefix"}, {"bucket", "owner"}]
