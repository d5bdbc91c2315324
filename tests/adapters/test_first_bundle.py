"""A start takes its bundle from the source that is configured, held to everything but what was before."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.bundle_keys import BundleKey, bundle_key
from tests.bundle_web import BundleWeb, bundle_web

from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import Bundle, bundle_of, read_bundle
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.sources import choosing
from remit_server.adapters.policy.sources.building import Signer, built
from remit_server.adapters.policy.sources.choosing import FirstOffer, first_bundle, first_offer
from remit_server.adapters.policy.sources.signing import SigningKey
from remit_server.application.policy.following.source_ports import Unreachable
from remit_server.config.policy_settings import BundleSigningSettings
from remit_server.config.settings import PolicySettings

POLICIES = Path(__file__).parents[2] / "policies"
FOLDER = read_bundle(POLICIES)
ROLES = json.loads(FOLDER.data_json)["remit"]["catalog"]["entitlements"]["roles"]
DAY = timedelta(days=1)
AWAY = Unreachable("it is away")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> BundleKey:
    return bundle_key(tmp_path_factory.mktemp("key"))


@pytest.fixture
async def server() -> AsyncIterator[BundleWeb]:
    async with bundle_web() as running:
        yield running


def packed(key: BundleKey | None, *, age: timedelta = timedelta()) -> bytes:
    signer = Signer(SigningKey.of(key.path), "ci") if key is not None else None
    return archive_of_files(built(read_files(POLICIES), datetime.now(UTC) - age, signer).files)


async def first(server: BundleWeb, signing: BundleSigningSettings) -> Bundle:
    policy = PolicySettings(None, server=server.settings(), signing=signing)
    return await asyncio.to_thread(first_bundle, policy, ROLES)


async def test_a_signed_bundle_of_a_server_is_the_folder_it_was_built_of(server: BundleWeb, key: BundleKey) -> None:
    server.archive = packed(key)

    bundle = await first(server, BundleSigningSettings((key.settings,), required=True, valid=DAY))

    assert bundle == FOLDER


def test_a_folder_is_taken_as_it_is() -> None:
    assert first_bundle(PolicySettings(POLICIES), ROLES) == FOLDER


@pytest.mark.parametrize(
    ("signs", "age", "why"),
    [
        (None, timedelta(), r"UNSIGNED"),
        ("another", timedelta(), r"SIGNATURE_WRONG"),
        ("ci", 2 * DAY, r"TOO_OLD"),
        ("ci", -DAY, r"FROM_THE_FUTURE"),
    ],
)
async def test_a_bundle_that_may_not_be_adopted_is_refused_with_why(
    server: BundleWeb, key: BundleKey, tmp_path: Path, signs: str | None, age: timedelta, *, why: str
) -> None:
    signer = {None: None, "ci": key, "another": bundle_key(tmp_path)}[signs]
    server.archive = packed(signer, age=age)

    with pytest.raises(BundleRefused, match=why):
        await first(server, BundleSigningSettings((key.settings,), required=True, valid=DAY))


@pytest.mark.parametrize("signs", [False, True])
async def test_a_gateway_that_starts_reads_nothing_of_a_server_that_bears_no_signature(
    server: BundleWeb, key: BundleKey, monkeypatch: pytest.MonkeyPatch, *, signs: bool
) -> None:
    server.archive = packed(key if signs else None)
    signing = BundleSigningSettings((key.settings,), required=True)
    read: list[Mapping[str, bytes]] = []

    def noted(files: Mapping[str, bytes]) -> Bundle:
        read.append(files)
        return bundle_of(files)

    monkeypatch.setattr(choosing, "bundle_of", noted)

    offer = await asyncio.to_thread(first_offer, PolicySettings(None, server=server.settings(), signing=signing), ROLES)

    assert (offer.bundle, len(read)) == ((FOLDER, 1) if signs else (None, 0))


async def test_a_bundle_for_other_roles_is_refused(server: BundleWeb) -> None:
    server.archive = packed(None)
    policy = PolicySettings(None, server=server.settings())

    with pytest.raises(BundleRefused, match="which this gateway's configuration does not have"):
        await asyncio.to_thread(first_bundle, policy, [])


async def test_a_server_that_does_not_answer_is_told_with_its_place(server: BundleWeb) -> None:
    server.behaviour = "500"
    settings = replace(server.settings(), poll=DAY)

    with pytest.raises(RuntimeError, match=rf"{server.url}: the answer has HTTP status 500"):
        await asyncio.to_thread(first_bundle, PolicySettings(None, server=settings), ROLES)


def test_what_a_source_had_a_minute_ago_does_not_stand_for_what_it_has_now() -> None:
    now = time.monotonic()

    assert FirstOffer(AWAY, None, asked=now - 30).is_recent
    assert not FirstOffer(AWAY, None, asked=now - 60).is_recent
