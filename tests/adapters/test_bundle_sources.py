"""Folders and bundle servers as sources: what they have is told, what they do wrong is an outage or a refusal."""

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
from tests.policy_bundles import DENY_ALL, written

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.fetch_failures import FetchFailed
from remit_server.adapters.opa.archive import Archive
from remit_server.adapters.opa.bundle_server import BundleServer
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import bundle_of, revision_of
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.sources.building import Signer, built
from remit_server.adapters.policy.sources.fetching import BundleFetch
from remit_server.adapters.policy.sources.folder import FolderSource
from remit_server.adapters.policy.sources.server import BundleServerSource
from remit_server.adapters.policy.sources.signing import SigningKey
from remit_server.application.policy.following.offers import OfferCode
from remit_server.application.policy.following.source_ports import (
    Offered,
    PolicySource,
    SourceNews,
    StillOffered,
    Unacceptable,
    Unreachable,
)
from remit_server.config.policy_settings import BundleSigningSettings
from remit_server.config.settings import OpaSettings
from remit_server.domain.policy_revision import RevisionSource
from remit_server.domain.secret import Secret

RULES = "remit/issue/issue.rego"
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
AT_ONCE = timedelta(seconds=0.01)
UNSIGNED = BundleSigningSettings()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> BundleKey:
    return bundle_key(tmp_path_factory.mktemp("key"))


@pytest.fixture
async def server() -> AsyncIterator[BundleWeb]:
    async with bundle_web() as running:
        yield running


def files_of(text: str = "") -> dict[str, bytes]:
    return {".manifest": b'{"roots": ["remit"]}', RULES: DENY_ALL.encode() + text.encode()}


def packed(text: str = "", *, key: BundleKey | None = None, time: datetime = NOON) -> bytes:
    """Returns an archive as `policy build` makes it."""
    signer = Signer(SigningKey.of(key.path), key.settings.key_id) if key is not None else None
    return archive_of_files(built(files_of(text), time, signer).files)


def source_of(server: BundleWeb, signing: BundleSigningSettings = UNSIGNED, **bounds: float) -> BundleServerSource:
    settings = server.settings(poll=AT_ONCE)
    return BundleServerSource(settings, signing, fetch=BundleFetch(settings, **bounds))  # type: ignore[arg-type]


async def some(source: PolicySource, count: int) -> list[SourceNews]:
    """Returns the next so many things that a source says."""
    told: list[SourceNews] = []
    async with asyncio.timeout(30):
        async for news in source.news():
            told.append(news)
            if len(told) == count:
                break
    return told


def revision(text: str = "") -> str:
    return revision_of(files_of(text))


async def test_a_server_offers_what_it_has_with_all_that_is_known_of_it(server: BundleWeb, key: BundleKey) -> None:
    server.archive = packed(key=key)
    source = source_of(server, BundleSigningSettings((key.settings,), required=True))

    (news,) = await some(source, 1)

    assert isinstance(news, Offered)
    offer = news.offer
    assert (offer.source, offer.revision, offer.built_time, offer.signed_by) == (server.url, revision(), NOON, "ci")
    assert bundle_of(news.files).revision == offer.revision
    assert source.kind is RevisionSource.SERVER


async def test_an_unchanged_bundle_is_not_sent_again(server: BundleWeb) -> None:
    server.archive = packed()

    told = await some(source_of(server), 3)

    assert isinstance(told[0], Offered)
    assert told[1:] == [StillOffered(told[0].offer)] * 2
    assert [request.headers.get("If-None-Match") for request in server.asked] == [None, '"1"', '"1"']


async def test_a_tag_that_flips_over_the_same_bytes_makes_no_other_offer(server: BundleWeb) -> None:
    server.archive = packed()
    source = source_of(server)
    offers = []

    async for news in source.news():
        assert isinstance(news, Offered)
        offers.append(news.offer)
        server.etag = f'"{len(offers)}x"'
        if len(offers) == 3:
            break

    assert len(set(offers)) == 1


@pytest.mark.parametrize("etag", ["", "unquoted", '"' + "x" * 300 + '"', '"a b"'])
async def test_a_server_without_a_proper_tag_is_asked_for_everything_each_time(server: BundleWeb, etag: str) -> None:
    server.archive, server.etag = packed(), etag

    told = await some(source_of(server), 2)

    assert all(isinstance(news, Offered) for news in told)
    assert all("If-None-Match" not in request.headers for request in server.asked)


async def test_what_was_forgotten_is_offered_in_full_again(server: BundleWeb) -> None:
    server.archive = packed()
    source = source_of(server)
    told = await some(source, 1)

    source.forget()
    told += await some(source, 1)

    assert told[0] == told[1]


async def test_a_server_that_lets_clients_wait_is_waited_for(server: BundleWeb) -> None:
    server.archive, server.content_type = packed(), "application/vnd.openpolicyagent.bundles"
    told: list[SourceNews] = []

    async for news in source_of(server).news():
        told.append(news)
        if len(told) == 2:
            break
        asyncio.get_running_loop().call_later(0.05, server.serve, packed("# 2\n"), '"2"')

    assert [news.offer.revision for news in told if isinstance(news, Offered)] == [revision(), revision("# 2\n")]
    assert [request.headers["Prefer"] for request in server.asked] == ["modes=snapshot", "modes=snapshot;wait=60"]


async def test_a_server_that_says_it_waits_but_does_not_is_not_asked_without_a_pause(server: BundleWeb) -> None:
    server.archive, server.content_type = packed(), "application/vnd.openpolicyagent.bundles"
    server.behaviour = "impatient"
    source = source_of(server)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await some(source, 100)

    assert len(server.asked) <= 2


async def test_the_gateways_own_bundle_server_is_such_a_source(key: BundleKey) -> None:
    token = Secret("a-token")
    settings = OpaSettings(url="http://127.0.0.1:1", bundle_address="127.0.0.1:0", bundle_token=token)
    served = BundleServer(settings, Archive("r1", packed(key=key), '"1"'))
    address = await served.start(share_port=False)
    asked = BundleWeb().settings(poll=AT_ONCE)
    asked = replace(asked, url=f"http://{address}/bundles/remit.tar.gz", token=token)
    signing = BundleSigningSettings((key.settings,), required=True)
    try:
        told: list[SourceNews] = []
        async for news in BundleServerSource(asked, signing).news():
            told.append(news)
            if len(told) == 2:
                break
            served.serve(Archive("r2", packed("# 2\n", key=key), '"2"'))
        refused = await some(BundleServerSource(replace(asked, token=Secret("another")), signing), 1)
    finally:
        await served.close()

    assert [news.offer.revision for news in told if isinstance(news, Offered)] == [revision(), revision("# 2\n")]
    assert isinstance(refused[0], Unreachable)
    assert "does not know the token" in refused[0].why


OUTAGES: Mapping[str, str] = {
    "500": "HTTP status 500, not 200",
    "404": "HTTP status 404, not 200",
    "204": "HTTP status 204, not 200",
    "206": "HTTP status 206, not 200",
    "304": "HTTP status 304, not 200",
    "403": "does not let this token",
    "redirect": "HTTP status 302, not 200: correct policy.bundle_server.url (redirects are not followed)",
    "half": "broke off",
    "stall": "no whole answer in time",
    "drip": "no whole answer in time",
    "huge": "longer than 1000000 bytes",
    "encoded": "compressed once more",
}


@pytest.mark.parametrize("behaviour", OUTAGES)
async def test_a_server_that_misbehaves_is_an_outage_and_asked_again(server: BundleWeb, behaviour: str) -> None:
    server.archive, server.behaviour = packed(), behaviour
    source = source_of(server, header_seconds=0.3, body_seconds=0.3, max_bytes=1_000_000)

    (outage,) = await some(source, 1)
    server.behaviour = "well"
    (after,) = await some(source, 1)

    assert isinstance(outage, Unreachable)
    assert OUTAGES[behaviour] in outage.why
    assert "AKIA" not in outage.why
    assert isinstance(after, Offered)
    assert len(server.asked) == 2
    assert server.sent < 32 * 1024 * 1024


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    async with bundle_web() as server:
        source = source_of(server)

    (news,) = await some(source, 1)

    assert isinstance(news, Unreachable)
    assert "refuses the connection" in news.why


async def test_an_outage_does_not_make_the_server_send_again_what_it_has(server: BundleWeb) -> None:
    server.archive = packed()
    source = source_of(server)
    told = await some(source, 1)
    server.behaviour = "500"
    told += await some(source, 1)
    server.behaviour = "well"
    told += await some(source, 1)

    assert isinstance(told[0], Offered)
    assert isinstance(told[1], Unreachable)
    assert told[2] == StillOffered(told[0].offer)


BAD_ARCHIVES: Mapping[str, bytes] = {
    "a page": b"<html>please sign in</html>",
    "nothing": b"",
    "half an archive": packed()[:-20],
    "two archives": packed() + packed(),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
async def test_what_is_no_archive_is_refused_and_not_sent_again(server: BundleWeb, name: str) -> None:
    server.archive = BAD_ARCHIVES[name]

    told = await some(source_of(server), 2)

    assert isinstance(told[0], Unacceptable)
    assert (told[0].code, told[0].revision) == (OfferCode.MALFORMED, "")
    assert told[1] == told[0]
    assert "If-None-Match" in server.asked[1].headers


async def test_a_time_that_is_none_is_refused_with_its_revision(server: BundleWeb) -> None:
    manifest = {"roots": ["remit"], "metadata": {"remit": {"built_time": "today"}}}
    server.archive = archive_of_files({**files_of(), ".manifest": json.dumps(manifest).encode()})

    (news,) = await some(source_of(server), 1)

    assert isinstance(news, Unacceptable)
    assert (news.code, news.revision) == (OfferCode.MALFORMED, revision())


async def test_a_stripped_signature_is_offered_as_unsigned_and_a_wrong_one_is_refused(
    server: BundleWeb, key: BundleKey, tmp_path: Path
) -> None:
    signing = BundleSigningSettings((key.settings,), required=True)
    told: list[SourceNews] = []
    for archive in (packed(), packed(key=bundle_key(tmp_path, "ci")), packed(key=bundle_key(tmp_path, "cd"))):
        server.archive = archive
        told += await some(source_of(server, signing), 1)

    assert isinstance(told[0], Offered)
    assert told[0].offer.signed_by == ""
    assert all(isinstance(news, Unacceptable) for news in told[1:])
    assert [(news.code, news.revision) for news in told if isinstance(news, Unacceptable)] == [
        (OfferCode.SIGNATURE_WRONG, revision())
    ] * 2


async def test_a_signature_is_believed_of_nobody_without_a_key(server: BundleWeb, key: BundleKey) -> None:
    server.archive = packed(key=key)

    (news,) = await some(source_of(server), 1)

    assert isinstance(news, Offered)
    assert news.offer.signed_by == ""


async def test_a_bundle_comes_over_tls_from_the_named_authority_only(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")
    stranger = Authority.create(tmp_path / "stranger")
    async with bundle_web(authority) as server:
        server.archive, server.token = packed(), "a-token"
        settings = server.settings(poll=AT_ONCE)
        (taken,) = await some(BundleServerSource(settings, UNSIGNED), 1)
        misled = replace(settings, ca_file=stranger.bundle_path)
        (refused,) = await some(BundleServerSource(misled, UNSIGNED), 1)

        assert isinstance(taken, Offered)
        assert isinstance(refused, Unreachable)
        assert "certificate" in refused.why
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("bundles.example", "169.254.169.254"),
        ("bundles.example", "127.0.0.1"),
        ("bundles.example", "10.0.0.7"),
        ("localhost", "192.0.2.1"),
        ("169.254.169.254", ""),
        ("10.0.0.7", ""),
    ],
)
async def test_nobody_can_steer_the_gateway_to_another_place(server: BundleWeb, host: str, address: str) -> None:
    async def resolve(name: str, port: int) -> list[str]:
        del name, port
        return [address]

    settings = replace(server.settings(), url=f"https://{host}:{server.port}/b")

    with pytest.raises(FetchFailed, match=r"not public|another address"):
        await BundleFetch(settings, resolve=resolve)()

    assert server.asked == []


async def test_a_token_is_never_shown(server: BundleWeb) -> None:
    server.token = "a-token"

    assert "a-token" not in repr(server.settings())


def folder_source(folder: Path, signing: BundleSigningSettings = UNSIGNED) -> FolderSource:
    return FolderSource(folder, signing, AT_ONCE, settle_seconds=0.05)


async def test_a_folder_offers_what_it_holds_once_where_nobody_follows(tmp_path: Path) -> None:
    folder = written(tmp_path, {RULES: DENY_ALL})

    told = [news async for news in FolderSource(folder, UNSIGNED).news()]

    assert [type(news) for news in told] == [Offered]
    assert isinstance(told[0], Offered)
    assert (told[0].offer.source, told[0].offer.revision) == (str(folder), revision())


async def test_a_folder_that_is_followed_offers_each_change_once_it_has_settled(tmp_path: Path) -> None:
    folder = written(tmp_path, {RULES: DENY_ALL})
    told: list[SourceNews] = []

    async for news in folder_source(folder).news():
        told.append(news)
        if len(told) == 2:
            (folder / RULES).write_text(DENY_ALL + "# 1\n")
            asyncio.get_running_loop().call_later(0.02, (folder / RULES).write_text, DENY_ALL + "# 2\n")
        if len(told) > 2 and isinstance(news, Offered):
            break

    offered = [news.offer.revision for news in told if isinstance(news, Offered)]
    assert offered == [revision(), revision("# 2\n")]
    assert isinstance(told[1], StillOffered)


async def test_a_folder_that_may_not_be_read_is_refused_and_then_read_again(tmp_path: Path) -> None:
    folder = written(tmp_path, {RULES: DENY_ALL})
    (folder / "link").symlink_to("/etc/passwd")
    told: list[SourceNews] = []

    async for news in folder_source(folder).news():
        told.append(news)
        if len(told) == 2:
            (folder / "link").unlink()
        if isinstance(news, Offered):
            break

    assert isinstance(told[0], Unacceptable)
    assert "symbolic link" in told[0].message
    assert told[1] == told[0]


async def test_a_folder_without_a_mark_of_a_change_is_not_read_again(tmp_path: Path) -> None:
    reads: list[Path] = []

    def read(place: Path) -> dict[str, bytes]:
        reads.append(place)
        return read_files(place)

    folder = written(tmp_path, {RULES: DENY_ALL})
    long_after = time.time_ns() + 60_000_000_000
    source = FolderSource(folder, UNSIGNED, AT_ONCE, settle_seconds=0, read=read, wall_ns=lambda: long_after)
    told: list[SourceNews] = []
    async for news in source.news():
        told.append(news)
        if len(told) == 3:
            (folder / RULES).write_text(DENY_ALL + "# 1\n")
        if len(told) == 4:
            break

    assert len(reads) == 2
    assert [type(news) for news in told] == [Offered, StillOffered, StillOffered, Offered]
    assert isinstance(told[3], Offered)
    assert told[3].offer.revision == revision("# 1\n")


async def test_a_signed_folder_is_verified(tmp_path: Path, key: BundleKey) -> None:
    ready = built(files_of(), NOON, Signer(SigningKey.of(key.path), "ci"))
    folder = written(tmp_path, {path: content.decode() for path, content in ready.files.items()})
    signing = BundleSigningSettings((key.settings,))
    (first,) = await some(folder_source(folder, signing), 1)
    (folder / "README.md").write_text("slipped in")
    (second,) = await some(folder_source(folder, signing), 1)

    assert isinstance(first, Offered)
    assert first.offer.signed_by == "ci"
    assert isinstance(second, Unacceptable)
    assert second.code is OfferCode.SIGNATURE_WRONG
    assert "README.md" in second.message
