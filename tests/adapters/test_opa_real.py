"""The OPA server engine with the real OPA, set up as `deploy/opa/` shows it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from tests.fake_opa import NONCE, PATIENT
from tests.opa_server import EXAMPLE, OpaProcess, opa_server
from tests.policy_bundles import DEFAULT_POLICIES, DENY_ALL, OBEDIENT, YES, asked, bundle_of, told_to
from tests.real_opa import run_opa

from remit_server.adapters.opa.archive import archive_of
from remit_server.adapters.opa.bundle_server import BundleServer
from remit_server.adapters.opa.engine import OpaRefused, OpaServer
from remit_server.adapters.opa.nonce import new_nonce
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.domain.decision import Allow, Decision, Deny
from remit_server.domain.secret import Secret

# Pauses of a minute: what follows sooner follows by long polling.
RARELY = {"min_delay_seconds": 60, "max_delay_seconds": 120}


@asynccontextmanager
async def engine_on(opa: OpaProcess, bundle: Bundle, **more: object) -> AsyncIterator[OpaServer]:
    engine = await OpaServer.start(bundle, opa.settings(**more), replace(PATIENT, pause_seconds=0.05), nonce=NONCE)
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of(tmp_path / "bundle", OBEDIENT)


async def outcome(engine: OpaServer) -> Decision | None:
    """Returns the decision on who is to be allowed, None for an outage."""
    try:
        return await engine.decide(engine.active, told_to("allow"))
    except PolicyUnavailable:
        return None


async def until(engine: OpaServer, found: Callable[[Decision | None], bool]) -> None:
    """Returns when the engine's answer is as awaited."""
    async with asyncio.timeout(60):
        while not found(await outcome(engine)):  # noqa: ASYNC110 - OPA, another process, sets no event
            await asyncio.sleep(0.02)


async def test_it_pulls_the_gateways_bundle_and_decides_by_it(tmp_path: Path) -> None:
    bundle = read_bundle(DEFAULT_POLICIES)
    with opa_server(tmp_path / "opa") as opa:
        async with engine_on(opa, bundle) as engine:
            yes = await engine.decide(engine.active, asked())
            no = await engine.decide(engine.active, asked({"subject": {"groups": ["contractors"]}}))

    assert isinstance(yes, Allow)
    assert [one.entitlement_id for one in yes.entitlements] == ["reports-publisher", "reports-reader"]
    assert isinstance(no, Deny)
    assert [one.code for one in no.reasons] == ["no_entitlement"]


@pytest.mark.enable_socket  # a socket in the file system is no host that could be allowed
async def test_it_is_asked_over_a_unix_socket_too(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa", on_socket=True) as opa:
        async with engine_on(opa, bundle) as engine:
            assert isinstance(await outcome(engine), Allow)


@pytest.mark.enable_socket
async def test_opa_killed_and_started_again_takes_its_socket_again(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa", on_socket=True) as opa:
        async with engine_on(opa, bundle) as engine:
            opa.kill()
            assert await outcome(engine) is None

            opa.start()
            await until(engine, lambda decision: isinstance(decision, Allow))


async def test_the_bundle_of_the_start_before_is_pulled_anew(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa") as opa:
        for nonce in (NONCE, new_nonce()):
            engine = await OpaServer.start(bundle, opa.settings(), PATIENT, nonce=nonce)
            try:
                assert isinstance(await outcome(engine), Allow)
                assert engine.active.digest == bundle.revision
            finally:
                await engine.close()


async def test_another_revision_is_followed_by_long_polling(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa", changes=RARELY) as opa:
        async with engine_on(opa, bundle) as engine:
            for number in range(3):
                await engine.activate(bundle_of(tmp_path / f"deny{number}", f"{DENY_ALL}\n# {number}\n"))
                assert isinstance(await outcome(engine), Deny)
                await engine.activate(bundle)
                assert isinstance(await outcome(engine), Allow)


async def test_a_revision_that_allows_a_stranger_is_taken_back(tmp_path: Path, bundle: Bundle) -> None:
    anybody = bundle_of(tmp_path / "anybody", OBEDIENT.replace('if not input.task.labels["do"]', "if false", 1))
    with opa_server(tmp_path / "opa", changes=RARELY) as opa:
        async with engine_on(opa, bundle) as engine:
            with pytest.raises(BundleRefused, match="no decision on a stranger"):
                await engine.activate(anybody)

            assert engine.active.digest == bundle.revision
            await until(engine, lambda decision: isinstance(decision, Allow))


async def test_a_rollback_behind_the_gateways_back_is_an_outage_until_it_is_undone(
    tmp_path: Path, bundle: Bundle
) -> None:
    older = archive_of(bundle_of(tmp_path / "older", f"{OBEDIENT}\n# older\n"), NONCE)
    with opa_server(tmp_path / "opa", changes=RARELY) as opa:
        source = BundleServer(opa.settings(), archive_of(bundle, NONCE))
        await source.start(share_port=False)
        try:
            async with engine_on(opa, bundle, bundle_address="127.0.0.1:0") as engine:
                assert isinstance(await outcome(engine), Allow)

                source.serve(older)
                await until(engine, lambda decision: decision is None)
                assert [await outcome(engine) for _ in range(20)] == [None] * 20

                source.serve(archive_of(bundle, NONCE))
                await until(engine, lambda decision: isinstance(decision, Allow))
        finally:
            await source.close()


async def test_opa_killed_is_an_outage_and_opa_back_is_found_without_a_restart(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa") as opa:
        async with engine_on(opa, bundle) as engine:
            assert isinstance(await outcome(engine), Allow)

            opa.kill()
            assert [await outcome(engine) for _ in range(20)] == [None] * 20

            opa.start()
            await until(engine, lambda decision: isinstance(decision, Allow))


async def test_workers_of_one_gateway_share_the_bundles_address(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa") as opa:
        first = await OpaServer.start(bundle, opa.settings(), PATIENT, nonce=NONCE, share_port=True)
        second = await OpaServer.start(bundle, opa.settings(), PATIENT, nonce=NONCE, share_port=True)
        try:
            assert first.bundle_address == second.bundle_address == opa.bundle_address
            assert isinstance(await outcome(first), Allow)
            assert isinstance(await outcome(second), Allow)
        finally:
            await first.close()
        try:
            assert isinstance(await outcome(second), Allow)
        finally:
            await second.close()


async def test_a_taken_bundle_address_is_told(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa") as opa:
        async with engine_on(opa, bundle):
            with pytest.raises(RuntimeError, match=r"policy\.opa\.bundle_address 127\.0\.0\.1:[0-9]+ cannot be"):
                await OpaServer.start(bundle, opa.settings(), PATIENT)


async def test_a_wrong_token_of_the_gateway_is_told(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa") as opa:
        async with engine_on(opa, bundle):
            settings = opa.settings(token=Secret("another"), bundle_address="127.0.0.1:0")
            with pytest.raises(OpaRefused, match=r"policy\.opa\.token_file"):
                await OpaServer.start(bundle, settings, PATIENT)


async def test_an_opa_that_may_not_pull_is_told(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa") as opa:
        # It answers at once but never gets the bundle: until it does, it decides nothing.
        settings = opa.settings(bundle_token=Secret("another"))
        starting = asyncio.create_task(OpaServer.start(bundle, settings, PATIENT))
        async with asyncio.timeout(60):
            while "401" not in opa.log.read_text():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)
        assert not starting.done()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting


@pytest.mark.parametrize("answer", ["unknown", "fail", "flood", "text", "half", "list", "null", "true"])
async def test_what_is_no_decision_is_an_outage(obedient: OpaServer, answer: str) -> None:
    with pytest.raises(PolicyUnavailable):
        await obedient.decide(obedient.active, told_to(answer))

    assert isinstance(await outcome(obedient), Allow)


@pytest.fixture
async def obedient(tmp_path: Path, bundle: Bundle) -> AsyncIterator[OpaServer]:
    with opa_server(tmp_path / "opa") as opa:
        async with engine_on(opa, bundle) as engine:
            yield engine


async def test_a_policy_given_to_opa_beside_the_bundle_decides_nothing(tmp_path: Path, bundle: Bundle) -> None:
    planted = tmp_path / "planted.rego"
    yes = str(YES).replace("True", "true").replace("False", "false").replace("None", "null").replace("'", '"')
    planted.write_text(f"package remit.issue\n\ndecision := {yes}\n")
    with opa_server(tmp_path / "opa", str(planted)) as opa:
        async with engine_on(opa, bundle) as engine:
            assert isinstance(await engine.decide(engine.active, asked()), Deny)


FORBIDDEN = [
    ("PUT", "/v1/data/remit/catalog"),
    ("PATCH", "/v1/data/remit"),
    ("DELETE", "/v1/data/remit"),
    ("GET", "/v1/data"),
    ("POST", "/v1/data/remit"),
    ("PUT", "/v1/policies/remit"),
    ("DELETE", "/v1/policies/remit"),
    ("GET", "/v1/policies"),
    ("POST", "/v1/query"),
    ("POST", "/v1/compile"),
    ("GET", "/v1/config"),
    ("POST", "/v0/data/remit/issue/decision"),
    ("PUT", "//v1/data/remit"),
    ("PUT", "/v1/data/remit/issue/decision"),
]


async def test_the_gateways_identity_may_ask_and_do_nothing_else(tmp_path: Path, bundle: Bundle) -> None:
    with opa_server(tmp_path / "opa") as opa:
        async with engine_on(opa, bundle) as engine:
            answers = []
            for token in (opa.token, opa.bundle_token, ""):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with aiohttp.ClientSession(headers=headers) as session:
                    for method, path in FORBIDDEN:
                        url = f"{opa.url}{path}"
                        async with session.request(method, url, json={}, allow_redirects=False) as answer:
                            answers.append((token == opa.token, method, path, answer.status))
                    for question in ("issue", "admin"):
                        decision = f"{opa.url}/v1/data/remit/{question}/decision"
                        async with session.post(decision, json={"input": {}}) as answer:
                            assert answer.status == (200 if token == opa.token else 401)

            assert [one for one in answers if one[3] not in {401, 403}] == []
            assert isinstance(await outcome(engine), Allow)


def test_the_shipped_authorization_is_checked_formatted_and_tested() -> None:
    files = [str(EXAMPLE / name) for name in ("authz.rego", "authz_test.rego")]

    run_opa("check", "--strict", *files)
    assert run_opa("fmt", "--list", *files) == ""
    assert "FAIL" not in run_opa("test", *files)
