"""The STS adapter of the gateway as an issuer, against a strict STS that verifies each token over real HTTP."""

import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.fake_sts import (
    FEDERATED,
    hanging,
    refusing,
    resetting_after_the_work,
    resetting_before_the_work,
    rewriting,
    throttling,
)
from tests.fake_sts_tokens import FakeProvider
from tests.signing_key_files import fresh_key, put_key
from tests.sts_log import LOG
from tests.sts_orders import CLOCK, POLICY, REPORTS_ARN, TAGS, a_policy_of, a_role, an_order, settings_for
from tests.token_forge import HandClock, ec_key, rsa_key
from tests.web_identity_world import KEY_SET, URL, IssuerFolder, a_fake_role, a_web_role, presenting

from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.aws.web_identity import ByRole
from remit_server.adapters.aws.web_identity_token import token_for
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.errors import Denied, Outage, Reason, Remedy

SUBJECT = "remit:role/111122223333/remit-reports"


def token_in(form: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(form["WebIdentityToken"], options={"verify_signature": False})
    return claims


@pytest.mark.parametrize(("key", "algorithm"), [(rsa_key(), "RS256"), (ec_key(), "ES256")])
async def test_an_order_reaches_sts_whole_without_aws_keys_and_its_session_comes_back(
    tmp_path: Path, key: Any, algorithm: str
) -> None:
    async with presenting(tmp_path, key=key) as call:
        session = await call()

    (request,) = call.sts.requests
    (issued,) = call.sts.issued
    claims = token_in(request.form)
    assert {name: value for name, value in request.form.items() if name != "WebIdentityToken"} == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": REPORTS_ARN,
        "RoleSessionName": "mfzwizltoqytamrtgq2tmnzyheydcmrt",
        "Policy": POLICY,
        "DurationSeconds": "900",
    }
    assert "authorization" not in request.headers
    assert "x-amz-security-token" not in request.headers
    assert jwt.get_unverified_header(request.form["WebIdentityToken"]) == {
        "alg": algorithm,
        "kid": call.keys.active.key_id,
        "typ": "JWT",
    }
    assert claims.pop("exp") - claims.pop("iat") == 60
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": URL,
        "sub": SUBJECT,
        "aud": "sts.amazonaws.com",
        "https://aws.amazon.com/tags": {
            "principal_tags": {key: [value] for key, value in TAGS},
            "transitive_tag_keys": [],
        },
        "https://aws.amazon.com/source_identity": "acme.alice=40example.com",
    }
    assert session.credentials.access_key_id == issued.access_key_id
    assert session.credentials.secret_access_key.reveal() == issued.secret_access_key
    assert session.credentials.session_token.reveal() == issued.session_token
    assert session.packed_policy_percent == call.sts.packed_percent(request)


async def test_each_order_has_a_token_of_its_own_and_each_retry_the_same_bytes(tmp_path: Path) -> None:
    async with presenting(tmp_path) as call:
        call.sts.plan(throttling, refusing(503, "ServiceUnavailable"))
        await call()
        await call()

    first, second, third, other = (request.body for request in call.sts.requests)
    assert first == second == third != other


async def test_the_token_of_a_session_without_tags_has_no_claim_about_them(tmp_path: Path) -> None:
    order = an_order(a_web_role(), tags=())
    signer = IssuerFolder.create(tmp_path).keys().active

    token = await token_for(order, issuer=URL, signer=signer, now=CLOCK.now(), token_id="one")

    claims = token_in({"WebIdentityToken": token.reveal()})
    assert claims.keys() == {"iss", "sub", "aud", "iat", "exp", "jti", "https://aws.amazon.com/source_identity"}


async def test_a_session_may_last_as_long_as_its_role_allows_beyond_the_hour_of_chaining(tmp_path: Path) -> None:
    role = a_web_role(max_session=timedelta(hours=12))

    async with presenting(tmp_path, role, fake_roles=(a_fake_role(role, max_session_seconds=43_200),)) as call:
        await call(an_order(role, duration_seconds=43_200))

    assert call.sts.requests[0].outcome == "issued"


async def test_two_roles_of_one_name_in_two_accounts_have_different_subjects(tmp_path: Path) -> None:
    other = a_web_role(arn=REPORTS_ARN.replace("111122223333", "444455556666"))

    async with presenting(tmp_path, a_web_role(), other) as call:
        await call()
        await call(an_order(other))

    assert [token_in(request.form)["sub"] for request in call.sts.requests] == [
        SUBJECT,
        "remit:role/444455556666/remit-reports",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"session_policy": '{"Version":"2012-10-17","Statement":[]}'},
        {"session_policy": "no json"},
        {"session_policy": a_policy_of(2049)},
        {"duration_seconds": 899},
        {"duration_seconds": 3601},
        {"session_name": "a b"},
        {"source_identity": "aws:x"},
        {"tags": (("aws:k", "v"),)},
        {"tags": tuple((f"k{number}", "v") for number in range(51))},
        {"tags": tuple((f"{number:02}{'k' * 126}", "v" * 256) for number in range(50))},  # over 20,000 characters
        {"role": a_web_role(region="us-east-1")},
        {"role": a_web_role(arn="arn:aws:iam::111122223333:role/another")},
        {"role": a_role()},
    ],
)
async def test_an_order_that_must_not_be_sent_is_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with presenting(tmp_path) as call:
        with pytest.raises(ValueError, match=r"\w"):
            await call(an_order(**{"role": a_web_role(), **changes}))

    assert call.sts.requests == []


def test_an_order_without_a_session_policy_cannot_even_be_made() -> None:
    with pytest.raises(ValueError, match="no STS call without a session policy"):
        an_order(a_web_role(), session_policy=" ")


async def test_who_signs_with_keys_does_not_ask_for_a_role_of_the_issuer() -> None:
    signed = AwsSts(settings_for("http://127.0.0.1:1"), [a_web_role()], clock=CLOCK)

    with pytest.raises(ValueError, match="not a role"):
        await signed(an_order(a_web_role()), deadline=CLOCK.monotonic() + 1)


async def test_each_role_is_asked_for_in_the_way_of_its_configuration() -> None:
    taken: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        async def __call__(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
            del order, deadline
            taken.append(self.name)
            raise Outage(Reason.STS_UNAVAILABLE, "that far only")

    by_role = ByRole(Noting("signed"), Noting("presented"))
    for role in (a_role(), a_web_role()):
        with pytest.raises(Outage):
            await by_role(an_order(role), deadline=1.0)

    assert taken == ["signed", "presented"]


# --- what STS refuses ---


async def test_a_token_of_a_key_that_is_not_published_is_refused_and_the_operator_told(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    others = IssuerFolder.create(tmp_path / "other", fresh_key()).keys()

    async with presenting(tmp_path, fake={"provider": FakeProvider(URL, others.documents[KEY_SET])}) as call:
        with pytest.raises(Outage, match="not among the published keys") as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert raised.value.remedy is Remedy.GIVE_UP
    assert not raised.value.credentials_may_exist
    assert len(call.sts.requests) == 1


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        (None, "no OIDC provider for issuer.url"),
        ({"url": "https://remit.acme.example/"}, "no OIDC provider for issuer.url"),
        ({"audiences": ("somebody-else",)}, "audience sts.amazonaws.com"),
    ],
)
async def test_an_account_that_does_not_know_the_issuer_is_the_operators_concern(
    tmp_path: Path, provider: dict[str, Any] | None, said: str
) -> None:
    keys = IssuerFolder.create(tmp_path).keys()
    known = provider and replace(FakeProvider(URL, keys.documents[KEY_SET]), **provider)

    async with presenting(tmp_path, key=ec_key(), fake={"provider": known}) as call:
        with pytest.raises(Outage, match=said):
            await call()


@pytest.mark.parametrize(
    "trust",
    [{"subject": "remit:role/111122223333/another"}, *({"trusts": FEDERATED - {action}} for action in FEDERATED)],
)
async def test_a_trust_policy_that_pins_another_subject_or_lacks_an_action_is_told(
    tmp_path: Path, trust: dict[str, Any]
) -> None:
    async with presenting(tmp_path, fake_roles=(a_fake_role(a_web_role(), **trust),)) as call:
        with pytest.raises(Outage, match="sts:AssumeRoleWithWebIdentity, sts:TagSession and sts:SetSourceIdentity"):
            await call()


async def test_a_clock_that_is_behind_is_told(tmp_path: Path) -> None:
    async with presenting(tmp_path, clock=HandClock(CLOCK.now() - timedelta(minutes=2))) as call:
        with pytest.raises(Outage, match="clock is wrong"):
            await call()


async def test_keys_that_aws_cannot_fetch_are_asked_for_a_few_times(tmp_path: Path) -> None:
    async with presenting(tmp_path) as call:
        call.sts.plan(*[refusing(400, "IDPCommunicationError")] * 2)
        await call()

        call.sts.plan(*[refusing(400, "IDPCommunicationErrorException")] * 4)
        with pytest.raises(Outage, match=r"reachable from the internet over HTTPS") as raised:
            await call()

    assert len(call.sts.requests) == 3 + 4
    assert not raised.value.credentials_may_exist


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (400, "InvalidIdentityToken", "not among the published keys"),
        (400, "InvalidIdentityTokenException", "not among the published keys"),
        (403, "IDPRejectedClaim", "issuer.url is not what"),
        (403, "IDPRejectedClaimException", "issuer.url is not what"),
        (400, "ExpiredTokenException", "clock is wrong"),
        (403, "AccessDenied", "remit:role/<account>/<name of the role>"),
        (400, "ValidationError", "MaxSessionDuration"),
        (403, "RegionDisabledException", "switched off"),
        (400, "SomethingNew", "its log names"),
    ],
)
async def test_what_the_operator_must_mend_is_said_without_aws_words(
    tmp_path: Path, status: int, code: str, hint: str
) -> None:
    async with presenting(tmp_path) as call:
        call.sts.plan(refusing(status, code, "secret upstream text"))
        with pytest.raises(Outage, match=hint) as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert raised.value.credentials_may_exist is False
    assert "upstream" not in f"{raised.value} {raised.value.__cause__}"
    assert len(call.sts.requests) == 1


async def test_a_packed_policy_too_large_is_a_refusal_to_split(tmp_path: Path) -> None:
    async with presenting(tmp_path, fake={"packed_percent": lambda _: 104}) as call:
        with pytest.raises(Denied) as raised:
            await call()

    assert (raised.value.reason, raised.value.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT)
    assert len(call.sts.requests) == 1


@pytest.mark.parametrize("fault", [resetting_before_the_work, resetting_after_the_work, hanging, refusing(500, "Oops")])
async def test_what_may_have_been_made_is_said(tmp_path: Path, fault: Any) -> None:
    async with presenting(tmp_path, timeout=timedelta(seconds=0.2)) as call:
        call.sts.plan(*[fault] * 4)
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.credentials_may_exist


# --- what the answer must prove ---


@pytest.mark.parametrize(
    ("old", "new", "label"),
    [
        (f">{SUBJECT}<", ">remit:role/111122223333/another<", "another subject"),
        (f"<SubjectFromWebIdentityToken>{SUBJECT}</SubjectFromWebIdentityToken>", "", "another subject"),
        ("oidc-provider/remit.acme.example", "oidc-provider/evil.example", "another provider"),
        ("111122223333:oidc-provider", "444455556666:oidc-provider", "another provider"),
        ("<Audience>sts.amazonaws.com<", "<Audience>another<", "another audience"),
        ("assumed-role/remit-reports/", "assumed-role/another/", "another role or session"),
        ("/mfzwizltoqytamrtgq2tmnzyheydcmrt<", "/another<", "another role or session"),
        ("acme.alice=40example.com", "acme.bob", "another source identity"),
        ("<AccessKeyId>ASIA", "<AccessKeyId>asia", "access key id"),
        ("WithWebIdentityResult>", "Result>", "another subject"),
        ("<Expiration>20", "<Expiration>21", "expiration"),
    ],
)
async def test_an_answer_about_something_else_is_never_used(
    tmp_path: Path, old: str, new: str, label: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with presenting(tmp_path) as call:
        call.sts.plan(rewriting(old, new))
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert raised.value.credentials_may_exist
    assert len(call.sts.requests) == 1
    assert label in caplog.text


async def test_a_provider_that_is_told_by_its_url_is_the_same_one(tmp_path: Path) -> None:
    async with presenting(tmp_path) as call:
        call.sts.plan(rewriting("arn:aws:iam::111122223333:oidc-provider/remit.acme.example", URL))
        session = await call()

    assert session.credentials.access_key_id == call.sts.issued[0].access_key_id


# --- what is told, and what never ---


async def test_no_log_line_and_no_representation_holds_a_token_a_key_or_a_policy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async with presenting(tmp_path) as call:
        call.sts.plan(throttling, resetting_after_the_work, refusing(400, "InvalidIdentityToken", "upstream words"))
        with pytest.raises(Outage) as raised:
            await call()
        session = await call()
        shown = f"{caplog.text} {session!r} {call.adapter!r} {vars(call.adapter)!r} {vars(call.keys)!r}"
        shown += f" {raised.value!r} {raised.value.__cause__!r} {raised.traceback!r}"

    tokens = [request.form["WebIdentityToken"] for request in call.sts.requests]
    private = (tmp_path / "active.pem").read_text().splitlines()[1:-1]
    hidden = [*tokens, *(token.split(".")[2] for token in tokens), *private, "upstream words", "s3:GetObject"]
    assert [text for text in hidden if text in shown] == []
    assert "STS attempt 2" in caplog.text


async def test_invariant_i3_sees_what_the_token_claims_and_never_the_token(tmp_path: Path) -> None:
    async with presenting(tmp_path) as call:
        await call()

    logged = LOG.requests()[-1]
    assert logged.source_identity == "acme.alice=40example.com"
    assert dict(logged.tags) == dict(TAGS)
    assert logged.policy == POLICY
    assert call.sts.requests[0].form["WebIdentityToken"] not in json.dumps(str(logged))


async def test_a_rotation_between_two_calls_fails_neither(tmp_path: Path) -> None:
    coming = fresh_key()
    put_key(tmp_path / "next.pem", coming)

    async with presenting(tmp_path, key=ec_key()) as call:
        first = await call()
        folder = IssuerFolder(tmp_path)
        put_key(folder.previous, ec_key())
        put_key(folder.active, coming)
        folder.coming.unlink()
        call.adapter._issuer = folder.keys()
        second = await call()

    kids = [jwt.get_unverified_header(request.form["WebIdentityToken"])["kid"] for request in call.sts.requests]
    assert kids[0] != kids[1]
    assert first.credentials.access_key_id != second.credentials.access_key_id
