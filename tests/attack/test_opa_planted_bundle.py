"""Who serves OPA a bundle while the gateway is down: the next start of the gateway takes no decision by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fake_opa import NONCE, PATIENT, engine_with, fake_opa, settings_for
from tests.opa_server import OpaProcess, opa_server
from tests.policy_bundles import OBEDIENT, bundle_of, told_to

from remit_server.adapters.opa.archive import Archive, archive_of
from remit_server.adapters.opa.bundle_server import BundleServer
from remit_server.adapters.opa.engine import OpaRefused, OpaServer
from remit_server.adapters.opa.nonce import new_nonce, served_revision
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.domain.decision import Allow

RULES = "remit/issue/issue.rego"
# Denies a stranger, so that it passes the gateway's own question, and allows what the genuine rules do not answer.
PLANTED = OBEDIENT.replace('== "allow"', '== "planted"')
BRIEF = timedelta(seconds=1)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of(tmp_path / "bundle", OBEDIENT)


@asynccontextmanager
async def rogue(opa: OpaProcess, archive: Archive) -> AsyncIterator[None]:
    """Serves an archive in the gateway's place until OPA has loaded it."""
    server = BundleServer(opa.settings(), archive)
    loaded = opa.log.read_text().count("Bundle loaded and activated successfully")
    await server.start(share_port=False)
    try:
        async with asyncio.timeout(60):
            while opa.log.read_text().count("Bundle loaded and activated successfully") == loaded:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield
    finally:
        await server.close()


@pytest.mark.parametrize("tag", ["of the start before", "another"])
async def test_rules_that_were_planted_while_the_gateway_was_down_decide_nothing(
    tmp_path: Path, bundle: Bundle, tag: str
) -> None:
    pulled = archive_of(bundle, NONCE)  # anybody could pull it, or compute it, before the gateway went down
    planted = archive_of(replace(bundle, modules=((RULES, PLANTED),)), NONCE)
    assert planted.revision == pulled.revision
    etag = pulled.etag if tag == "of the start before" else '"another"'
    with opa_server(tmp_path / "opa", changes={"long_polling_timeout_seconds": 2}) as opa:
        async with rogue(opa, replace(planted, etag=etag)):
            pass

        engine = await OpaServer.start(bundle, opa.settings(), PATIENT)

        try:
            with pytest.raises(PolicyUnavailable):
                await engine.decide(engine.active, told_to("planted"))
            assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
            assert engine.active.digest == bundle.revision
        finally:
            await engine.close()


async def test_a_start_takes_no_decision_by_the_bundle_of_another_start(bundle: Bundle) -> None:
    async with fake_opa(bundle.revision) as opa:
        with pytest.raises(OpaRefused, match="as another start of a gateway served it"):
            await OpaServer.start(bundle, settings_for(opa.url, start_timeout=BRIEF), PATIENT)


async def test_the_digest_alone_is_no_revision_of_this_start(bundle: Bundle) -> None:
    async with fake_opa(bundle.revision) as opa:
        opa.revision = bundle.revision

        with pytest.raises(OpaRefused, match="as another start"):
            async with engine_with(opa, bundle, start_timeout=BRIEF):
                pass


def test_each_start_has_a_revision_and_a_tag_of_its_own_and_its_workers_share_them(bundle: Bundle) -> None:
    first, second = new_nonce(), new_nonce()

    assert archive_of(bundle, first) == archive_of(bundle, first)
    assert archive_of(bundle, first).etag != archive_of(bundle, second).etag
    assert archive_of(bundle, first).revision == served_revision(bundle.revision, first)
    assert first != second
    assert len(bytes.fromhex(first)) == 16
