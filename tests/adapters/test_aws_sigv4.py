"""Our signer makes the same signatures as botocore's, byte for byte."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from remit_server.adapters.aws.sigv4 import AwsKeys, SigV4
from remit_server.domain.secret import Secret

KEYS = AwsKeys("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)
secrets = st.builds(Secret, printable)
access_keys = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=32)
regions = st.sampled_from(["eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1"])
times = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def botocore_authorization(host: str, body: bytes, region: str, keys: AwsKeys, headers: dict[str, str]) -> str:
    """Signs the same request at the same time with botocore's own steps."""
    sent = {name: value for name, value in headers.items() if name != "authorization"}
    request = AWSRequest("POST", f"https://{host}/", data=body, headers=sent)
    request.context["timestamp"] = headers["x-amz-date"]
    credentials = BotocoreCredentials(keys.access_key_id, keys.secret_access_key.reveal())
    signer = SigV4Auth(credentials, "sts", region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"


@given(
    keys=st.builds(AwsKeys, access_keys, secrets, st.none() | secrets),
    region=regions,
    host=st.sampled_from(["sts.eu-central-1.amazonaws.com", "127.0.0.1:4566", "[::1]:4566"]),
    body=st.binary(max_size=300),
    now=times,
)
def test_every_signature_is_botocores(keys: AwsKeys, region: str, host: str, body: bytes, now: datetime) -> None:
    token = keys.session_token and keys.session_token.reveal()

    headers = SigV4("sts").headers(host=host, body=body, region=region, keys=keys, now=now)

    assert headers["authorization"] == botocore_authorization(host, body, region, keys, headers)
    assert headers["x-amz-date"] == now.strftime("%Y%m%dT%H%M%SZ")
    assert headers.get("x-amz-security-token") == token


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), regions), min_size=2, max_size=20))
def test_a_kept_key_signs_as_a_fresh_one_does(calls: list[tuple[int, int, str]]) -> None:
    kept = SigV4("sts")
    known = [Secret(f"secret-number-{number}") for number in range(4)]

    for number, days, region in calls:
        keys = AwsKeys("AKIAIOSFODNN7EXAMPLE", known[number])
        now = NOON + timedelta(days=days)
        again = kept.headers(host="sts", body=b"x", region=region, keys=keys, now=now)
        fresh = SigV4("sts").headers(host="sts", body=b"x", region=region, keys=keys, now=now)

        assert again == fresh


def test_more_derived_keys_than_are_kept_still_sign_right() -> None:
    signer = SigV4("sts")
    many = [NOON + timedelta(days=days) for days in range(200)]

    for now in [*many, *many]:
        headers = signer.headers(host="sts", body=b"x", region="eu-central-1", keys=KEYS, now=now)

        assert headers["authorization"] == botocore_authorization("sts", b"x", "eu-central-1", KEYS, headers)


def test_the_time_of_another_zone_is_signed_as_utc() -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))

    headers = SigV4("sts").headers(host="sts", body=b"", region="eu-central-1", keys=KEYS, now=tokyo)

    assert headers["x-amz-date"] == "20261123T120000Z"


@pytest.mark.parametrize(
    "value", ["line\nbreak", "tab\there", "two  spaces", " before", "after ", "", "naïve", "nul\0"]
)
def test_a_header_that_would_not_travel_unchanged_is_refused(value: str) -> None:
    keys = AwsKeys("AKIAIOSFODNN7EXAMPLE", Secret("secret"), Secret(value))

    with pytest.raises(ValueError, match="travel unchanged") as raised:
        SigV4("sts").headers(host="sts", body=b"", region="eu-central-1", keys=keys, now=NOON)

    assert not value.strip() or value not in str(raised.value)


def test_neither_keys_nor_signer_print_a_secret() -> None:
    signer = SigV4("sts")
    signer.headers(host="sts", body=b"", region="eu-central-1", keys=KEYS, now=NOON)

    shown = f"{KEYS!r} {signer!r} {vars(signer)!r}"

    assert KEYS.secret_access_key.reveal() not in shown
    assert "_DerivedKey(secret=***)" in shown
