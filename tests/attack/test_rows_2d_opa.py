"""The rows on OPA (8-threats.md 2d), each through the use case that issues: nothing is granted, and it is on record."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.fake_opa import HASTY, NONCE, PATIENT, FakeOpa, Script, engine_with, fake_opa, http, says, settings_for
from tests.fakes import REPORTS_ROLE, World, permission, role, world
from tests.hostile_opa import BODIES, ENDLESS, FAULTS, OTHERS, SLOW, STATUSES
from tests.opa_server import opa_server
from tests.policy_bundles import DENY_ALL, ENTITLEMENT, NO, OBEDIENT, YES, bundle_of, told_to

from remit_server.adapters.opa.archive import archive_of
from remit_server.adapters.opa.bundle_server import BundleServer
from remit_server.adapters.opa.client import OpaClient
from remit_server.adapters.opa.engine import OpaRefused, OpaServer
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.rego.checks import ENTRYPOINT
from remit_server.application.ports import Policy
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.secret import Secret
from remit_server.iam import Document, Witness, contains

pytestmark = pytest.mark.asyncio(loop_scope="module")
REPORTS = {**ENTITLEMENT, "id": "reports-reader", "role_arn": REPORTS_ROLE}


@dataclass
class Scene:
    """An OPA that a test may turn, and the engines on it: one that waits, one that does not."""

    opa: FakeOpa
    patient: OpaServer
    hasty: OpaServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    bundle = bundle_of(tmp_path_factory.mktemp("bundle"), OBEDIENT)
    async with AsyncExitStack() as stack:
        opa = await stack.enter_async_context(fake_opa(bundle.revision))
        # So many outages in a row are asked for here that the breaker would answer for OPA.
        patient = await stack.enter_async_context(engine_with(opa, bundle, replace(PATIENT, outages=10_000)))
        hasty = await stack.enter_async_context(engine_with(opa, bundle, replace(HASTY, outages=10_000)))
        yield Scene(opa, patient, hasty)


@asynccontextmanager
async def gateway_on(engine: Policy, folder: Path) -> AsyncIterator[World]:
    """A gateway's use cases with this engine as their policy."""
    async with world(folder) as made:
        made.issue = replace(made.issue, hearing=replace(made.issue.hearing, policy=engine))
        yield made


async def refused(gateway: World) -> None:
    """Asks for credentials; asserts that there are none, that STS was not asked, and that the refusal is on record."""
    with pytest.raises(Outage) as raised:
        await gateway.issue(gateway.request())

    assert raised.value.reason is Reason.POLICY_UNAVAILABLE
    assert gateway.sts.orders == []
    (event,) = await gateway.events()
    assert json.loads(event.body_text)["reason"] == "POLICY_UNAVAILABLE"


@pytest.mark.parametrize("script", BODIES.values(), ids=BODIES.keys())
async def test_o1_a_body_that_is_no_decision_grants_nothing(scene: Scene, tmp_path: Path, script: Script) -> None:
    scene.opa.script = script

    async with gateway_on(scene.patient, tmp_path) as gateway:
        await refused(gateway)


async def test_o1_the_table_is_long_enough() -> None:
    assert len(BODIES) >= 25


_BROKEN = {**FAULTS, **ENDLESS, **{name: STATUSES[name] for name in STATUSES if name[:3] in {"307", "500", "503"}}}


@pytest.mark.parametrize("script", _BROKEN.values(), ids=_BROKEN.keys())
async def test_o2_an_opa_that_fails_grants_nothing(scene: Scene, tmp_path: Path, script: Script) -> None:
    scene.opa.script = script

    async with gateway_on(scene.patient, tmp_path) as gateway:
        await refused(gateway)


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
async def test_o2_an_opa_that_takes_too_long_grants_nothing(scene: Scene, tmp_path: Path, script: Script) -> None:
    scene.opa.script = script

    async with gateway_on(scene.hasty, tmp_path) as gateway:
        await refused(gateway)


async def test_o2_an_open_breaker_gives_no_earlier_yes(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", OBEDIENT)
    async with fake_opa(bundle.revision) as opa, engine_with(opa, bundle, replace(PATIENT, outages=1)) as engine:
        assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        opa.script = STATUSES["503 with a yes in it"]
        with pytest.raises(PolicyUnavailable):
            await engine.decide(engine.active, told_to("allow"))
        before = len(opa.heads)

        async with gateway_on(engine, tmp_path) as gateway:
            await refused(gateway)

        assert len(opa.heads) == before


@pytest.mark.parametrize("script", OTHERS.values(), ids=OTHERS.keys())
async def test_o3_another_opa_bundle_or_revision_grants_nothing(scene: Scene, tmp_path: Path, script: Script) -> None:
    scene.opa.script = script

    async with gateway_on(scene.patient, tmp_path) as gateway:
        await refused(gateway)


async def test_o3_an_older_bundle_after_a_newer_one_grants_nothing(tmp_path: Path) -> None:
    older, newer = (bundle_of(tmp_path / str(number), f"{OBEDIENT}\n# {number}\n") for number in (1, 2))
    with opa_server(tmp_path / "opa") as opa:
        source = BundleServer(opa.settings(), archive_of(older, NONCE))  # whoever could serve OPA a bundle in our place
        await source.start(share_port=False)
        engine = await OpaServer.start(older, opa.settings(bundle_address="127.0.0.1:0"), PATIENT, nonce=NONCE)
        try:
            source.serve(archive_of(newer, NONCE))
            await engine.activate(newer)
            assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)

            source.serve(archive_of(older, NONCE))
            with pytest.raises(PolicyUnavailable) as raised:
                await asked_for_ever(engine)
            assert older.revision[:12] in raised.value.why
        finally:
            await engine.close()
            await source.close()


async def asked_for_ever(engine: OpaServer) -> None:
    """Asks for a yes again and again: OPA, another process, follows a moment later."""
    async with asyncio.timeout(60):
        while isinstance(await engine.decide(engine.active, told_to("allow")), Allow):
            pass


async def test_o3_a_bundle_without_its_signature_is_not_activated(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    key = tmp_path / "signing.key"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    held = json.dumps({"remit": {"algorithm": "ES256", "key": public}})
    bundle = bundle_of(tmp_path / "bundle", OBEDIENT)
    with opa_server(tmp_path / "opa", changes={"resource": "bundles/remit.tar.gz\n    signing: {keyid: remit}"}) as opa:
        config = opa.folder / "opa.yaml"
        config.write_text(f"{config.read_text()}\nkeys: {held}\n")
        opa.kill()
        opa.start()
        hasty = opa.settings(start_timeout=timedelta(seconds=3))
        with pytest.raises(OpaRefused, match="no revision of the bundle"):
            await OpaServer.start(bundle, hasty, PATIENT)

        engine = await OpaServer.start(bundle, opa.settings(bundle_signing_key=key), PATIENT)

        await engine.close()


async def test_3_ghsa_g2pf_6v5v_qcc8_an_opa_whose_signatures_could_be_side_stepped_is_not_asked(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, DENY_ALL)
    async with fake_opa(bundle.revision) as opa:
        opa.version = "1.21.2"

        with pytest.raises(OpaRefused, match=r"older than 1\.21\.3"):
            async with engine_with(opa, bundle):
                pass


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET"])
@pytest.mark.parametrize("path", ["/v1/data/remit/catalog", "/v1/policies/remit", "/v1/data/system/authz"])
async def test_o4_the_gateways_identity_writes_neither_data_nor_policies(
    shipped: tuple[str, str], method: str, path: str
) -> None:
    url, token = shipped

    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.request(method, f"{url}{path}", json=[] if method == "PATCH" else {}) as answer,
    ):
        assert answer.status in {401, 403}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shipped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, str]]:
    """The address of an OPA as it is shipped, deciding, and the gateway's token."""
    bundle = bundle_of(tmp_path_factory.mktemp("bundle"), OBEDIENT)
    with opa_server(tmp_path_factory.mktemp("opa")) as opa:
        engine = await OpaServer.start(bundle, opa.settings(), PATIENT)
        yield opa.url, opa.token
        await engine.close()


_EVERYTHING = {"actions": ["*"], "resources": ["*"], "conditions": []}
_ALL = {"allow": True, "reasons": [], "entitlements": [{**REPORTS, "permissions": [_EVERYTHING]}]}


async def test_o5_an_opa_that_allows_everything_gets_no_one_beyond_the_ceiling(scene: Scene, tmp_path: Path) -> None:
    narrow = role(REPORTS_ROLE, actions=["s3:GetObject"], resources=["arn:aws:s3:::reports/2026/*"])
    scene.opa.script = says(http(scene.opa.body(_ALL)))

    async with world(tmp_path, roles=(narrow,)) as gateway:
        gateway.issue = replace(gateway.issue, hearing=replace(gateway.issue.hearing, policy=scene.patient))
        for action, resource in [
            ("s3:GetObject", "arn:aws:s3:::payroll/*"),
            ("s3:DeleteObject", "arn:aws:s3:::reports/2026/q3/*"),
            ("s3:*", "arn:aws:s3:::reports/2026/*"),
            ("iam:PassRole", "*"),
            ("sts:AssumeRole", "*"),
            ("*", "*"),
        ]:
            with pytest.raises(Denied):
                await gateway.issue(gateway.request(permission(action, resource)))
        assert gateway.sts.orders == []

        issued = await gateway.issue(gateway.request())

        assert isinstance(contains(Document.parse(issued.grant.session_policy), narrow.ceiling), Witness)
        assert len(gateway.sts.orders) == 1


async def test_o6_what_opa_is_asked_holds_no_token(scene: Scene, tmp_path: Path) -> None:
    scene.opa.script = says(http(scene.opa.body(NO)))
    marker = "canary-of-a-subject-token"
    async with gateway_on(scene.patient, tmp_path) as gateway:
        gateway.identity.subjects[marker] = gateway.identity.subjects["alice@copilot"]
        before = len(scene.opa.bodies)

        with pytest.raises(Denied):
            await gateway.issue(gateway.request(token=marker))

    asked = [head.encode() + body for head, body in zip(scene.opa.heads, scene.opa.bodies, strict=True)][before:]
    assert len(asked) == 1
    assert b'"id":"alice"' in asked[0]
    assert marker.encode() not in asked[0]
    assert Secret(marker).fingerprint.encode() not in asked[0]


async def test_o7_the_path_of_the_decision_is_a_constant(scene: Scene) -> None:
    scene.opa.script = says(http(scene.opa.body(YES)))
    crafted = ("//admin", "../../v1/policies", "a/b%2e%2e", "x?pretty=true", "remit.admin")
    before = len(scene.opa.heads)

    for text in crafted:
        await scene.patient.decide(scene.patient.active, told_to(text))

    asked = {head.partition("\r\n")[0] for head in scene.opa.heads[before:]}
    path = ENTRYPOINT.removeprefix("data.").replace(".", "/")
    assert asked == {f"POST /v1/data/{path}?provenance=true&strict-builtin-errors=true HTTP/1.1"}
    async with OpaClient(settings_for(scene.opa.url)) as client:
        with pytest.raises(ValueError, match="nothing but the two decisions"):
            await client.query_rule({}, "/admin")
