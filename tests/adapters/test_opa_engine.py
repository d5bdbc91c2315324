"""The OPA server engine through its port, on a fake: what it sends, what it waits for, and when it does not ask."""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fake_opa import HASTY, NONCE, PATIENT, FakeOpa, engine_with, fake_opa, http, says, settings_for
from tests.hostile_opa import OTHERS, SLOW, STATUSES
from tests.policy_bundles import DENY_ALL, OBEDIENT, YES, asked, bundle_of, told_to

from remit_sandbox.certificates import Authority
from remit_server.adapters.opa.answer import Unanswered
from remit_server.adapters.opa.breaker import Breaker
from remit_server.adapters.opa.client import OpaClient
from remit_server.adapters.opa.engine import OpaRefused, OpaServer
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.checks import ENTRYPOINT
from remit_server.application.ports import Policy, Revision
from remit_server.domain.decision import Allow, DecisionInput, Deny
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.secret import Secret

SOON = timedelta(seconds=1)
BRIEF = timedelta(milliseconds=200)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of(tmp_path / "bundle", OBEDIENT)


@pytest.fixture
async def opa(bundle: Bundle) -> AsyncIterator[FakeOpa]:
    async with fake_opa(bundle.revision) as fake:
        yield fake


async def test_it_is_the_policy_port(opa: FakeOpa, bundle: Bundle) -> None:
    async with engine_with(opa, bundle) as engine:
        port: Policy = engine

        assert isinstance(await port.decide(port.active, told_to("allow")), Allow)
        assert isinstance(await port.decide(port.active, asked()), Deny)
        assert port.active.digest == bundle.revision


async def test_the_question_is_sent_as_it_is_recorded_to_the_one_path(opa: FakeOpa, bundle: Bundle) -> None:
    async with engine_with(opa, bundle, token=Secret("the-token")) as engine:
        await engine.decide(engine.active, told_to("allow"))

    assert opa.bodies[-1] == b'{"input":' + told_to("allow").text.encode() + b"}"
    lines = opa.heads[-1].splitlines()
    path = "/v1/" + ENTRYPOINT.replace(".", "/")
    assert lines[0] == f"POST {path}?provenance=true&strict-builtin-errors=true HTTP/1.1"
    assert "Authorization: Bearer the-token" in lines
    assert "Accept-Encoding: identity" in lines
    assert {head.partition(" HTTP")[0] for head in opa.heads} == {lines[0].removesuffix(" HTTP/1.1")}


async def test_the_library_can_neither_upload_nor_ask_anything_else(opa: FakeOpa) -> None:
    async with OpaClient(settings_for(opa.url)) as client:
        with pytest.raises(ValueError, match="nothing but the two decisions"):
            await client.update_policy_from_string("package a\nb { true }", "remit")
        with pytest.raises(ValueError, match="nothing but the two decisions"):
            await client.update_or_create_data({"admin": True}, "remit")
        with pytest.raises(ValueError, match="nothing but the two decisions"):
            await client.query_rule({}, "remit.admin", "reasons")
        with pytest.raises(ValueError, match="nothing but the two decisions"):
            await client.query_rule({}, "remit.issue", "/../decision")

    assert opa.heads == []


async def test_what_the_library_would_read_by_itself_is_not_taken(opa: FakeOpa) -> None:
    class Later(OpaClient):
        """A later version of the library, whose query goes its own way."""

        async def query_rule(self, *_: object, **__: object) -> dict[str, object]:
            return opa.body(YES)

    async with Later(settings_for(opa.url)) as client:
        with pytest.raises(Unanswered, match="read its answer by itself"):
            await client.decision(told_to("allow"), ENTRYPOINT)


async def test_another_revision_is_not_asked_for(opa: FakeOpa, bundle: Bundle) -> None:
    async with engine_with(opa, bundle) as engine:
        before = len(opa.heads)

        with pytest.raises(PolicyUnavailable):
            await engine.decide(Revision("0" * 64, {}), told_to("allow"))
        with pytest.raises(PolicyUnavailable):
            await engine.decide(engine.active, DecisionInput("x" * (2 << 20)))

        assert len(opa.heads) == before


async def test_a_redirect_reaches_nobody(opa: FakeOpa, bundle: Bundle) -> None:
    async with fake_opa(bundle.revision) as other, engine_with(opa, bundle, token=Secret("the-token")) as engine:
        other.script = says(http(other.body(YES)))
        opa.script = says(http(b"", "307 Temporary Redirect", f"Location: {other.url}/v1/data/remit/issue/decision"))

        with pytest.raises(PolicyUnavailable) as raised:
            await engine.decide(engine.active, told_to("allow"))

        assert "HTTP 307" in raised.value.why
        assert other.heads == []


async def test_no_proxy_of_the_environment_is_used(
    opa: FakeOpa, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_opa(bundle.revision) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with engine_with(opa, bundle) as engine:
            await engine.decide(engine.active, told_to("allow"))

        assert proxy.heads == []


# --- The queue and the breaker ---


async def test_over_the_queue_the_gateway_is_full_and_says_so(opa: FakeOpa, bundle: Bundle) -> None:
    limits = replace(HASTY, most_waiting=1)
    async with engine_with(opa, bundle, limits, connections=1) as engine:
        opa.script = SLOW["silence"]

        outcomes = await asyncio.gather(
            *(engine.decide(engine.active, told_to("allow")) for _ in range(3)), return_exceptions=True
        )

    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Outage)]
    assert sorted(reasons) == [Reason.OVERLOADED, Reason.POLICY_UNAVAILABLE, Reason.POLICY_UNAVAILABLE]


async def test_who_waits_too_long_for_a_connection_is_told_that_the_gateway_is_full(
    opa: FakeOpa, bundle: Bundle
) -> None:
    limits = replace(PATIENT, wait_seconds=0.05)
    async with engine_with(opa, bundle, limits, connections=1) as engine:
        opa.script = SLOW["silence"]
        opa.asked.clear()
        first = asyncio.create_task(engine.decide(engine.active, told_to("allow")))
        await opa.asked.wait()

        with pytest.raises(Outage) as raised:
            await engine.decide(engine.active, told_to("allow"))

        assert raised.value.reason is Reason.OVERLOADED
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        opa.script = None
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


class Hand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def outages(engine: OpaServer, count: int) -> None:
    for _ in range(count):
        with pytest.raises(PolicyUnavailable):
            await engine.decide(engine.active, told_to("allow"))


async def test_an_open_breaker_answers_for_nobody_and_one_probe_closes_it(opa: FakeOpa, bundle: Bundle) -> None:
    clock = Hand()
    async with engine_with(opa, bundle, PATIENT, monotonic=clock) as engine:
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        opa.script = STATUSES["503 with a yes in it"]
        before = len(opa.heads)
        await outages(engine, 8)
        assert len(opa.heads) == before + 5  # then it is open, and no earlier yes is given again

        opa.script = None
        await outages(engine, 1)
        clock.seconds += PATIENT.pause_seconds

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


async def test_a_probe_that_fails_keeps_the_breaker_open(opa: FakeOpa, bundle: Bundle) -> None:
    clock = Hand()
    async with engine_with(opa, bundle, PATIENT, monotonic=clock) as engine:
        opa.script = OTHERS["another revision"]
        await outages(engine, 5)
        before = len(opa.heads)

        clock.seconds += PATIENT.pause_seconds
        await outages(engine, 3)

        assert len(opa.heads) == before + 1


async def test_a_question_that_has_no_answer_does_not_open_the_breaker_for_others(opa: FakeOpa, bundle: Bundle) -> None:
    async with engine_with(opa, bundle) as engine:
        opa.script = STATUSES["500 with a yes in it"]
        await outages(engine, 10)
        opa.script = None

        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


def test_a_probe_that_is_given_up_lets_another_one_through() -> None:
    clock = Hand()
    breaker = Breaker(outages=1, pause_seconds=1.0, monotonic=clock)
    breaker.failed()
    clock.seconds = 1.0

    admitted = [breaker.admits(), breaker.admits()]
    breaker.abandoned()

    assert admitted == [True, False]
    assert breaker.admits()


# --- Starting ---


@pytest.mark.parametrize(
    ("version", "told"), [("1.21.2", "it is OPA 1.21.2, older than 1.21.3"), ("edge", "which released version")]
)
async def test_an_old_or_unknown_opa_is_refused_at_once(opa: FakeOpa, bundle: Bundle, version: str, told: str) -> None:
    opa.version = version

    with pytest.raises(OpaRefused, match=told) as raised:
        await OpaServer.start(bundle, settings_for(opa.url), PATIENT, nonce=NONCE)

    assert "Run a released OPA from 1.21.3 on" in str(raised.value)
    assert len(opa.heads) == 1


async def test_the_oldest_opa_that_will_do_does(opa: FakeOpa, bundle: Bundle) -> None:
    opa.version = "1.21.3"

    async with engine_with(opa, bundle) as engine:
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


async def test_an_opa_that_is_not_there_is_told_with_its_address(bundle: Bundle) -> None:
    settings = settings_for("http://127.0.0.1:1", start_timeout=BRIEF)

    with pytest.raises(OpaRefused, match=r"http://127.0.0.1:1 cannot decide: it cannot be asked") as raised:
        await OpaServer.start(bundle, settings, PATIENT, nonce=NONCE)

    assert "policy.opa.url" in str(raised.value)


async def test_an_opa_without_the_bundle_is_told_what_it_holds(opa: FakeOpa, bundle: Bundle) -> None:
    opa.revision = "f" * 64

    with pytest.raises(OpaRefused, match="it decides by revision ffffffffffff") as raised:
        await OpaServer.start(bundle, settings_for(opa.url, start_timeout=BRIEF), PATIENT, nonce=NONCE)

    assert "pull the bundle from the gateway" in str(raised.value)


@pytest.mark.parametrize("status", [401, 403])
async def test_an_opa_that_refuses_the_gateway_is_told_by_its_token(opa: FakeOpa, bundle: Bundle, status: int) -> None:
    opa.script = says(http(b"{}", f"{status} No"))

    with pytest.raises(OpaRefused, match=rf"HTTP {status}.*policy\.opa\.token_file") as raised:
        await OpaServer.start(bundle, settings_for(opa.url, token=Secret("the-token")), PATIENT, nonce=NONCE)

    assert "the-token" not in str(raised.value)


async def test_a_start_waits_for_an_opa_that_is_slow_to_pull(opa: FakeOpa, bundle: Bundle) -> None:
    revision, opa.revision = opa.revision, ""
    starting = asyncio.create_task(OpaServer.start(bundle, settings_for(opa.url), PATIENT, nonce=NONCE))
    await opa.asked.wait()
    assert not starting.done()

    opa.revision = revision

    engine = await starting
    await engine.close()


async def test_a_policy_that_allows_a_stranger_may_not_decide(opa: FakeOpa, bundle: Bundle) -> None:
    opa.script = says(http(opa.body(YES)))

    with pytest.raises(BundleRefused, match="allows a stranger"):
        await OpaServer.start(bundle, settings_for(opa.url), PATIENT, nonce=NONCE)


async def test_a_policy_without_an_answer_for_a_stranger_may_not_decide(opa: FakeOpa, bundle: Bundle) -> None:
    opa.script = says(http({"provenance": opa.provenance()}))

    with pytest.raises(BundleRefused, match=r"no decision on a stranger .*: the decision is undefined"):
        await OpaServer.start(bundle, settings_for(opa.url), PATIENT, nonce=NONCE)


@pytest.mark.parametrize(
    "rego", ["package remit.issue\n\ndecision := f(1)\n", "package remit.issue\n\ndecision := http.send({})\n"]
)
async def test_the_rules_of_publishing_hold_for_this_engine_too(opa: FakeOpa, tmp_path: Path, rego: str) -> None:
    with pytest.raises(BundleRefused):
        await OpaServer.start(bundle_of(tmp_path / "other", rego), settings_for(opa.url), PATIENT, nonce=NONCE)

    assert opa.heads == []


async def test_a_refused_activation_leaves_all_as_it_was(opa: FakeOpa, bundle: Bundle, tmp_path: Path) -> None:
    async with engine_with(opa, bundle, start_timeout=SOON) as engine:
        with pytest.raises(OpaRefused, match="it decides by revision"):  # this fake follows nobody
            await engine.activate(bundle_of(tmp_path / "after", DENY_ALL))

        assert engine.active.digest == bundle.revision
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)


# --- TLS ---


async def test_an_authority_of_ones_own_is_trusted_by_its_file_and_no_other(bundle: Bundle, tmp_path: Path) -> None:
    authority, other = (Authority.create(tmp_path / name) for name in ("own", "other"))
    pair = authority.issue_server(("localhost",))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    async with fake_opa(bundle.revision, tls) as fake:
        async with engine_with(fake, bundle, ca_file=authority.bundle_path) as engine:
            assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        before = len(fake.heads)

        for ca_file in (other.bundle_path, None):
            settings = settings_for(fake.url, ca_file=ca_file, start_timeout=BRIEF)
            with pytest.raises(OpaRefused, match="CertificateError"):
                await OpaServer.start(bundle, settings, PATIENT, nonce=NONCE)
        wrong_name = fake.url.replace("localhost", "127.0.0.1")
        with pytest.raises(OpaRefused, match="CertificateError"):
            await OpaServer.start(
                bundle,
                settings_for(wrong_name, ca_file=authority.bundle_path, start_timeout=BRIEF),
                PATIENT,
                nonce=NONCE,
            )

        assert len(fake.heads) == before


async def test_no_authority_of_the_environment_is_trusted_beside_the_file(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = (Authority.create(tmp_path / name) for name in ("own", "other"))
    pair = authority.issue_server(("localhost",))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(authority.bundle_path))
    async with fake_opa(bundle.revision, tls) as fake:
        settings = settings_for(fake.url, ca_file=other.bundle_path, start_timeout=BRIEF)

        with pytest.raises(OpaRefused, match="CertificateError"):
            await OpaServer.start(bundle, settings, PATIENT, nonce=NONCE)


def test_a_gateway_that_embeds_its_engine_does_not_load_the_library() -> None:
    code = "import sys, remit_server.bootstrap; print('opa_client' in sys.modules, 'requests' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.split() == ["False", "False"]


async def test_a_token_is_never_shown(opa: FakeOpa, bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with engine_with(opa, bundle, token=Secret("marker-of-a-token")) as engine:
        opa.script = STATUSES["401 with a yes in it"]
        await outages(engine, 1)

    assert "it refuses the gateway" in json.dumps([vars(record) for record in caplog.records], default=str)
    assert "marker-of-a-token" not in json.dumps([vars(record) for record in caplog.records], default=str)
    assert "marker-of-a-token" not in repr(settings_for(opa.url, token=Secret("marker-of-a-token")))
