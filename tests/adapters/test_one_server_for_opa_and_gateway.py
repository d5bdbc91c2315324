"""One bundle server for the real OPA and a gateway: both take the same signed bundle, and neither a changed one."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.bundle_keys import BundleKey, bundle_key
from tests.bundle_web import PATH, BundleWeb, bundle_web
from tests.opa_server import free_port
from tests.policy_bundles import DEFAULT_POLICIES, question
from tests.real_opa import find_opa

from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.sources.building import Signer, built
from remit_server.adapters.policy.sources.choosing import first_news
from remit_server.adapters.policy.sources.server import BundleServerSource
from remit_server.adapters.policy.sources.signing import SigningKey
from remit_server.application.policy.following.source_ports import Offered, Unacceptable
from remit_server.config.policy_settings import BundleSigningSettings

SCOPE = "production"
RULES = "remit/issue/issue.rego"


@pytest.fixture
def key(tmp_path: Path) -> BundleKey:
    return bundle_key(tmp_path / "key")


@pytest.fixture
async def web() -> AsyncIterator[BundleWeb]:
    async with bundle_web() as running:
        yield running


def files_of(key: BundleKey) -> dict[str, bytes]:
    signer = Signer(SigningKey.of(key.path), "ci", SCOPE)
    return dict(built(read_files(DEFAULT_POLICIES), datetime.now(UTC) - timedelta(hours=1), signer).files)


@contextmanager
def opa_pulling(web: BundleWeb, key: BundleKey, folder: Path) -> Iterator[str]:
    """Runs an OPA that pulls from the server, as its own documentation tells; gives its address."""
    config = {
        "services": {"web": {"url": web.url.removesuffix(PATH)}},
        "bundles": {
            "remit": {
                "service": "web",
                "resource": PATH.removeprefix("/"),
                "signing": {"keyid": "ci", "scope": SCOPE},
                "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1},
            }
        },
        "keys": {"ci": {"algorithm": "ES256", "key": key.public_pem.decode()}},
    }
    (folder / "opa.json").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    arguments = ["run", "--server", "--addr", address, "--disable-telemetry", "--config-file", str(folder / "opa.json")]
    with (folder / "opa.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the binary that the tests are pointed at
            [str(find_opa()), *arguments], stdout=subprocess.DEVNULL, stderr=log
        )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


async def decision_of(opa: str) -> Any:
    """Returns OPA's answer with where it comes from, once it has a bundle."""
    url = f"{opa}/v1/data/remit/issue/decision?provenance=true"
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(url, json={"input": question()}) as answer:
                    said = await answer.json()
                if said.get("provenance", {}).get("bundles"):
                    return said
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def test_opa_and_a_gateway_take_the_same_bundle_of_one_server(
    tmp_path: Path, web: BundleWeb, key: BundleKey
) -> None:
    web.archive = archive_of_files(files_of(key))
    signing = BundleSigningSettings((key.settings,), SCOPE, required=True)

    offered = await first_news(BundleServerSource(web.settings(), signing))
    with opa_pulling(web, key, tmp_path) as opa:
        said = await decision_of(opa)

    assert isinstance(offered, Offered)
    assert offered.offer.revision == read_bundle(DEFAULT_POLICIES).revision
    assert said["provenance"]["bundles"] == {"remit": {"revision": offered.offer.revision}}
    assert said["result"]["allow"] is True


async def test_neither_opa_nor_a_gateway_takes_a_bundle_that_was_changed(
    tmp_path: Path, web: BundleWeb, key: BundleKey
) -> None:
    files = files_of(key)
    files[RULES] += b"# changed\n"
    web.archive = archive_of_files(files)
    signing = BundleSigningSettings((key.settings,), SCOPE, required=True)

    refused = await first_news(BundleServerSource(web.settings(), signing))
    with opa_pulling(web, key, tmp_path):
        async with asyncio.timeout(60):
            while "Bundle load failed" not in (tmp_path / "opa.log").read_text():  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(0.1)

    assert isinstance(refused, Unacceptable)
    assert RULES in refused.message
    assert "digest mismatch" in (tmp_path / "opa.log").read_text()
