"""The whole gateway on a bundle server: it starts by what that offers, follows it, and is never led back."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.background_loop import Background
from tests.bundle_keys import BundleKey, bundle_key
from tests.bundle_web import BundleWeb, bundle_web
from tests.e2e.gateways import Q3, OwnGateway, client, own_gateway
from tests.policy_bundles import DENY_ALL

import remit
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import events
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.sources.building import Signer, built
from remit_server.adapters.policy.sources.signing import SigningKey
from remit_server.config.loading import load

SOON = timedelta(seconds=1)


@pytest.fixture
def web() -> Iterator[BundleWeb]:
    background = Background()
    running = bundle_web()
    try:
        yield background.run(running.__aenter__())
        background.run(running.__aexit__(None, None, None))
    finally:
        background.stop()


@pytest.fixture
def key(tmp_path: Path) -> BundleKey:
    return bundle_key(tmp_path / "keys")


def packed(folder: Path, key: BundleKey, *, age: timedelta) -> bytes:
    """Returns what `policy build` makes of a folder, so long ago."""
    signer = Signer(SigningKey.of(key.path), "ci")
    return archive_of_files(built(read_files(folder), datetime.now(UTC) - age, signer).files)


def tables(web: BundleWeb, key: BundleKey) -> dict[str, dict[str, object]]:
    return {
        "policy.bundle_server": {"url": web.url, "poll_seconds": 1},
        "policy.signing.keys": {"ci": str(key.public_path)},
    }


def until_refused(gateway: remit.Gateway, token: str) -> bool:
    """Asks until the answer is no."""
    for _ in range(60):
        try:
            if isinstance(gateway.preview("summarise Q3", subject_token=token, allow=Q3), remit.WouldRefuse):
                return True
        except remit.Unavailable:
            pass
        time.sleep(SOON.total_seconds() / 4)
    return False


def until_recorded(own: OwnGateway, kind: str) -> bool:
    """Returns whether a record of this kind comes."""
    for _ in range(60):
        if any(event.kind == kind for event in events(own.log_path.with_name("ledger.sqlite3"))):
            return True
        time.sleep(SOON.total_seconds() / 4)
    return False


def test_a_gateway_follows_a_bundle_server_and_is_never_led_back(
    sandbox: Sandbox, alice_token: str, tmp_path: Path, web: BundleWeb, key: BundleKey
) -> None:
    policies = load(sandbox.config).policy.bundle
    assert policies is not None
    narrower = Path(shutil.copytree(policies, tmp_path / "narrower"))
    (narrower / "remit/issue/issue.rego").write_text(DENY_ALL)
    (narrower / "remit/issue/issue_test.rego").unlink()
    before = packed(policies, key, age=timedelta(hours=2))
    web.serve(before, '"1"')
    with (
        own_gateway(sandbox, tmp_path, None, tables(web, key)) as own,
        client(sandbox, own.mtls) as gateway,
    ):
        first = gateway.preview("summarise Q3", subject_token=alice_token, allow=Q3)
        web.serve(packed(narrower, key, age=timedelta(hours=1)), '"2"')
        followed = until_refused(gateway, alice_token)
        web.serve(before, '"3"')
        on_record = until_recorded(own, "revision_refused")
        last = gateway.preview("summarise Q3", subject_token=alice_token, allow=Q3)

    assert isinstance(first, remit.WouldIssue)
    assert followed
    assert on_record
    assert isinstance(last, remit.WouldRefuse)
