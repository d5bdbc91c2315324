"""The STS adapter against a strict STS over real HTTP: what it sends, what it refuses to send, what it prints."""

import logging
from typing import Any

import botocore.loaders
import pytest
from aiohttp import web
from botocore.regions import EndpointResolver
from tests.fake_sts import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    FakeRole,
    FakeSts,
    refusing,
    resetting_after_the_work,
    throttling,
)
from tests.sts_orders import CLOCK, POLICY, REPORTS_ARN, a_role, an_order, calling, settings_for

from remit_server.adapters.aws.keys import AmbientKeys, FixedKeys
from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.aws.sts_protocol import endpoint
from remit_server.domain.errors import Denied, Outage, Reason, Remedy
from remit_server.domain.secret import Secret


async def test_an_order_reaches_sts_whole_and_its_session_comes_back() -> None:
    async with calling() as call:
        session = await call()

    (request,) = call.sts.requests
    (issued,) = call.sts.issued
    assert dict(request.form) == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": REPORTS_ARN,
        "RoleSessionName": "mfzwizltoqytamrtgq2tmnzyheydcmrt",
        "Policy": POLICY,
        "DurationSeconds": "900",
        "SourceIdentity": "acme.alice=40example.com",
        "Tags.member.1.Key": "remit:grant",
        "Tags.member.1.Value": "subject.task.grant",
        "Tags.member.2.Key": "remit:by",
        "Tags.member.2.Value": "actor.revision",
    }
    assert session.credentials.access_key_id == issued.access_key_id
    assert session.credentials.secret_access_key.reveal() == issued.secret_access_key
    assert session.credentials.session_token.reveal() == issued.session_token
    assert session.credentials.expire_time == issued.expire_time
    assert session.packed_policy_percent == call.sts.packed_percent(call.sts.requests[0])


async def test_the_external_id_comes_from_the_role_of_the_configuration() -> None:
    role = a_role(external_id=Secret("tenant-4711"))

    async with calling(role, fake=FakeSts((FakeRole(role.arn, external_id="tenant-4711"),))) as call:
        await call(an_order(role))

    assert call.sts.requests[0].form["ExternalId"] == "tenant-4711"


async def test_temporary_keys_of_the_gateway_sign_with_their_token() -> None:
    async with calling(session_token=Secret("gateway-session-token")) as call:
        await call()

    assert call.sts.requests[0].headers["x-amz-security-token"] == "gateway-session-token"
    assert "x-amz-security-token" in call.sts.requests[0].headers["authorization"]


async def test_one_connection_serves_many_calls() -> None:
    peers = set()

    async def noting_the_peer(sts: FakeSts, http: web.Request, request: Any) -> web.StreamResponse:
        assert http.transport is not None
        peers.add(http.transport.get_extra_info("peername"))
        return sts.answer(http, request)

    async with calling() as call:
        call.sts.plan(*[noting_the_peer] * 5)
        for _ in range(5):
            await call()

    assert len(peers) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"session_name": "x"},
        {"session_name": "has space"},
        {"session_name": "n" * 65},
        {"source_identity": "pipe|auth0"},
        {"source_identity": "aws:me"},
        {"source_identity": "é" * 5},
        {"duration_seconds": 899},
        {"duration_seconds": 3601},
        {"tags": tuple((f"k{n}", "v") for n in range(51))},
        {"tags": (("Remit:grant", "a"), ("remit:grant", "b"))},
        {"tags": (("k" * 129, "v"),)},
        {"tags": (("k", "v" * 257),)},
        {"tags": (("k", "line\nbreak"),)},
        {"tags": (("aws:k", "v"),)},
        {"tags": (("", "v"),)},
        {"session_policy": POLICY + " " * 2048},
        {"session_policy": POLICY.replace("reports", "reports\u0142")},
        {"session_policy": '{"Version":"2012-10-17","Statement":[]}'},
        {"session_policy": '{"Version":"2012-10-17"}'},
        {"session_policy": "[1]"},
        {"session_policy": "no json"},
        {"session_policy": "[" * 2000},
        {"role": a_role(arn="arn:aws:iam::111122223333:user/somebody")},
        {"role": a_role(region="us-east-1")},
    ],
)
async def test_an_order_that_must_not_be_sent_is_not(changes: dict[str, Any]) -> None:
    known = (a_role(), a_role(arn="arn:aws:iam::111122223333:user/somebody"))

    async with calling(*known) as call:
        with pytest.raises(ValueError, match=r"\w"):
            await call(an_order(**changes))

    assert call.sts.requests == []


def test_the_endpoint_of_every_region_is_botocores() -> None:
    resolver = EndpointResolver(botocore.loaders.create_loader().load_data("endpoints"))
    regions = {
        region: (resolver.construct_endpoint("sts", region) or {})["hostname"]
        for partition in resolver.get_available_partitions()
        for region in resolver.get_available_endpoints("sts", partition)
    }

    ours = {region: endpoint(region) for region in regions}

    assert len(regions) > 30
    assert ours == {region: f"https://{host}" for region, host in regions.items()}


@pytest.mark.parametrize(
    "region", ["", "aws-global", "eu-central-1.evil.example", "eu-central-1/", "eu_central_1", "EU-WEST-1"]
)
def test_what_is_no_region_has_no_endpoint(region: str) -> None:
    with pytest.raises(ValueError, match="region"):
        endpoint(region)


async def test_a_packed_policy_too_large_is_a_refusal_to_split() -> None:
    async with calling(fake=FakeSts((FakeRole(REPORTS_ARN),), packed_percent=lambda _: 104)) as call:
        with pytest.raises(Denied) as raised:
            await call()

    assert (raised.value.reason, raised.value.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT)
    assert len(call.sts.requests) == 1


async def test_a_malformed_policy_is_a_refusal_that_quotes_nothing() -> None:
    async with calling() as call:
        call.sts.plan(refusing(400, "MalformedPolicyDocument", f"Partition is not valid in {POLICY}"))
        with pytest.raises(Denied) as raised:
            await call()

    assert (raised.value.reason, raised.value.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.GIVE_UP)
    assert "reports" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (403, "AccessDenied", "trust policy"),
        (403, "AccessDeniedException", "trust policy"),
        (400, "ValidationError", "MaxSessionDuration"),
        (403, "SignatureDoesNotMatch", "clock"),
        (403, "InvalidClientTokenId", "own credentials"),
        (403, "ExpiredToken", "own credentials"),
        (403, "RegionDisabledException", "switched off"),
        (400, "SomethingNew", "its log names"),
    ],
)
async def test_what_the_operator_must_mend_is_said_without_aws_words(status: int, code: str, hint: str) -> None:
    async with calling() as call:
        call.sts.plan(refusing(status, code, f"secret upstream text {SECRET_ACCESS_KEY}"))
        with pytest.raises(Outage, match=hint) as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert raised.value.credentials_may_exist is False
    assert "upstream" not in f"{raised.value} {raised.value.__cause__}"
    assert len(call.sts.requests) == 1


async def test_a_role_that_aws_does_not_trust_us_with_is_an_outage() -> None:
    async with calling(fake=FakeSts(())) as call:
        with pytest.raises(Outage, match="sts:TagSession") as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE


async def test_no_log_line_and_no_representation_holds_a_key_or_a_policy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [throttling, resetting_after_the_work, refusing(500, "InternalFailure", "upstream words")]

    async with calling(session_token=Secret("gateway-session-token")) as call:
        call.sts.plan(*faults)
        session = await call()
        shown = f"{caplog.text} {session!r} {call.adapter!r} {vars(call.adapter)!r}"

    (*_, issued) = call.sts.issued
    hidden = [
        SECRET_ACCESS_KEY,
        "gateway-session-token",
        issued.secret_access_key,
        issued.session_token,
        "upstream words",
    ]
    assert [text for text in [*hidden, "s3:GetObject"] if text in caplog.text] == []
    assert [text for text in hidden if text in shown] == []
    assert "STS attempt 3" in caplog.text


def test_settings_choose_fixed_keys_only_when_both_halves_are_there() -> None:
    fixed = AwsSts(settings_for("http://127.0.0.1:1"), [], clock=CLOCK)
    ambient_ = AwsSts(settings_for("http://127.0.0.1:1", secret_access_key=None), [], clock=CLOCK)

    assert isinstance(fixed._keys, FixedKeys)
    assert isinstance(ambient_._keys, AmbientKeys)
    assert ACCESS_KEY_ID not in repr(vars(ambient_._keys))
