"""Our tokens before a judge that is not ours: MinIO fetches our keys over HTTPS and enforces session policies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError
from tests.background_loop import Background
from tests.minio_relay import MinioRelay, minio_relay
from tests.opa_server import free_port
from tests.real_minio import REGION, Minio, find_minio, running_minio
from tests.signing_key_files import fresh_key, put_key
from tests.sts_log import LOG, Ceiling
from tests.sts_orders import CEILING, CLOCK, Pauses, a_policy, an_order, settings_for
from tests.token_forge import HandClock, ec_key, rsa_key
from tests.web_identity_world import IssuerFolder, a_web_role

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.certificates import Authority
from remit_server.adapters.aws.sts_calls import StsCalls
from remit_server.adapters.aws.web_identity import Issuer, WebIdentitySts
from remit_server.adapters.issuer.signing_keys import SigningKeys
from remit_server.adapters.system_clock import system_entropy
from remit_server.config.settings import HttpListenerSettings
from remit_server.domain.credentials import StsSession
from remit_server.domain.errors import Outage
from remit_server.transport.http.server import HttpServer
from remit_server.transport.http.well_known import well_known_routes

T = TypeVar("T")
ROLE = a_web_role(region=REGION)
READ, WRITE = a_policy("arn:aws:s3:::reports/2026/*"), a_policy("arn:aws:s3:::reports/drafts/*", "s3:PutObject")


@dataclass(frozen=True)
class Stage:
    """An issuer that is served over HTTPS, MinIO that trusts it, and the way to its STS."""

    folder: IssuerFolder
    keys: SigningKeys
    minio: Minio
    relay: MinioRelay

    @asynccontextmanager
    async def sts(self, issuer: Issuer | None = None, clock: Any = CLOCK) -> AsyncIterator[WebIdentitySts]:
        """The adapter, by default with the keys that are served."""
        LOG.configure(ROLE.arn, Ceiling(CEILING.text))
        calls = StsCalls(settings_for(self.relay.url), clock=CLOCK, pause=Pauses(), jitter=lambda: 1.0)
        try:
            yield WebIdentitySts([ROLE], issuer or self.keys, clock=clock, entropy=system_entropy, calls=calls)
        finally:
            await calls.close()

    def s3(self, session: StsSession) -> Any:
        """Returns an S3 client with the session's credentials."""
        made = session.credentials
        keys = AwsKeys(made.access_key_id, made.secret_access_key.reveal(), made.session_token.reveal())
        return self.minio.s3(keys)


async def session_of(sts: WebIdentitySts, policy: str = READ) -> StsSession:
    return await sts(an_order(ROLE, session_policy=policy), deadline=CLOCK.monotonic() + 15)


@contextmanager
def served_issuer(folder: Path, authority: Authority) -> Iterator[tuple[IssuerFolder, SigningKeys]]:
    """Serves an issuer's documents over HTTPS, and follows its key files."""
    pair = authority.issue_server(["localhost"])
    port = free_port()
    keys_folder = IssuerFolder.create(folder, rsa_key(), url=f"https://localhost:{port}")
    keys = keys_folder.keys()
    listener = HttpListenerSettings(f"127.0.0.1:{port}", (pair.certificate_path, pair.key_path))
    background = Background()
    server = HttpServer(listener, well_known_routes(keys))
    background.run(server.start())
    stop_following = background.begin(keys.follow(timedelta(milliseconds=20)))
    try:
        yield keys_folder, keys
    finally:
        stop_following()
        background.run(server.stop(timedelta()))
        background.stop()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    find_minio()
    folder = tmp_path_factory.mktemp("minio")
    authority = Authority.create(tmp_path_factory.mktemp("authority"))
    with (
        served_issuer(tmp_path_factory.mktemp("issuer"), authority) as (keys_folder, keys),
        running_minio(folder, free_port(), issuer=keys.url, authority=authority.bundle_path) as minio,
        minio_relay(minio.url) as relay,
    ):
        minio.put_policy("sts.amazonaws.com", {"Version": "2012-10-17", "Statement": [everything_on_reports()]})
        root = minio.s3()
        root.create_bucket(Bucket="reports")
        for key in ("2026/q3.csv", "2025/q3.csv"):
            root.put_object(Bucket="reports", Key=key, Body=b"figures")
        yield Stage(keys_folder, keys, minio, relay)


def everything_on_reports() -> dict[str, Any]:
    resources = ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]
    return {"Effect": "Allow", "Action": ["s3:*"], "Resource": resources}


def refusal_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


async def test_a_session_reads_what_its_policy_allows_and_nothing_else(stage: Stage) -> None:
    async with stage.sts() as sts:
        s3 = stage.s3(await session_of(sts))

    assert s3.get_object(Bucket="reports", Key="2026/q3.csv")["Body"].read() == b"figures"
    assert refusal_of(lambda: s3.get_object(Bucket="reports", Key="2025/q3.csv")) == "AccessDenied"
    assert refusal_of(lambda: s3.list_objects_v2(Bucket="reports")) == "AccessDenied"
    assert refusal_of(lambda: s3.delete_object(Bucket="reports", Key="2026/q3.csv")) == "AccessDenied"


async def test_a_put_outside_the_session_policy_is_refused_though_the_role_may(stage: Stage) -> None:
    async with stage.sts() as sts:
        writer = stage.s3(await session_of(sts, WRITE))
        reader = stage.s3(await session_of(sts, READ))

    writer.put_object(Bucket="reports", Key="drafts/new.csv", Body=b"draft")
    assert refusal_of(lambda: writer.put_object(Bucket="reports", Key="2026/q3.csv", Body=b"x")) == "AccessDenied"
    assert refusal_of(lambda: reader.put_object(Bucket="reports", Key="drafts/new.csv", Body=b"x")) == "AccessDenied"
    assert refusal_of(lambda: writer.get_object(Bucket="reports", Key="drafts/new.csv")) == "AccessDenied"
    assert stage.minio.s3().get_object(Bucket="reports", Key="2026/q3.csv")["Body"].read() == b"figures"


async def test_a_session_policy_that_is_over_lets_nothing_through(stage: Stage) -> None:
    past = f"{CLOCK.now() - timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}"
    policy = READ.replace(READ.split('"aws:CurrentTime":"')[1].partition('"')[0], past)
    async with stage.sts() as sts:
        s3 = stage.s3(await session_of(sts, policy))

    assert refusal_of(lambda: s3.get_object(Bucket="reports", Key="2026/q3.csv")) == "AccessDenied"


async def test_both_kinds_of_key_are_verified(stage: Stage) -> None:
    ids = []
    for key in (ec_key(), rsa_key()):
        before = stage.keys.active.key_id
        put_key(stage.folder.previous, rsa_key() if key is ec_key() else ec_key())
        put_key(stage.folder.active, key)
        await switched(stage.keys, before)
        async with stage.sts() as sts:
            ids.append((await session_of(sts)).credentials.access_key_id)

    assert len(set(ids)) == 2


async def test_a_token_of_an_unknown_key_is_refused(stage: Stage, tmp_path: Path) -> None:
    other = IssuerFolder.create(tmp_path, fresh_key(), url=stage.keys.url).keys()

    async with stage.sts(other) as sts:
        with pytest.raises(Outage):
            await session_of(sts)

    assert f"No public key found for kid {other.active.key_id}" in stage.relay.refusals[-1]


async def test_a_forged_token_is_refused(stage: Stage, tmp_path: Path) -> None:
    """It names the published key and is signed by another one of the same kind."""
    known = stage.keys.active

    @dataclass
    class Forger:
        key_id: str
        algorithm: str
        signer: Any

        async def sign(self, content: bytes, /) -> bytes:
            signature: bytes = await self.signer.sign(content)
            return signature

    @dataclass
    class Forged:
        url: str
        active: Forger

    other = IssuerFolder.create(tmp_path, rsa_key(name="forger") if known.algorithm == "RS256" else fresh_key()).keys()
    async with stage.sts(Forged(stage.keys.url, Forger(known.key_id, known.algorithm, other.active))) as sts:
        with pytest.raises(Outage):
            await session_of(sts)

    assert "verification error" in stage.relay.refusals[-1]


async def test_an_expired_token_is_refused(stage: Stage) -> None:
    async with stage.sts(clock=HandClock(CLOCK.now() - timedelta(minutes=2))) as sts:
        with pytest.raises(Outage):
            await session_of(sts)

    assert "xpired" in stage.relay.refusals[-1]


async def test_a_rotation_goes_through_without_a_failed_call(stage: Stage) -> None:
    before, coming = stage.keys.active.key_id, fresh_key()
    put_key(stage.folder.coming, coming)
    signed_by = []

    async def calling(until: asyncio.Event) -> None:
        async with stage.sts() as sts:
            while not until.is_set():
                signed_by.append(stage.keys.active.key_id)
                await session_of(sts)

    over = asyncio.Event()
    callers = [asyncio.create_task(calling(over)) for _ in range(3)]
    await called(signed_by, before)
    stage.folder.previous.unlink(missing_ok=True)
    put_key(stage.folder.previous, ec_key() if stage.keys.active.algorithm == "ES256" else rsa_key())
    stage.folder.coming.replace(stage.folder.active)
    after = await switched(stage.keys, before)
    await called(signed_by, after)
    over.set()
    await asyncio.gather(*callers)

    assert set(signed_by) == {before, after}


async def switched(keys: SigningKeys, before: str) -> str:
    """Returns the id of the key that signs, once that is another one."""
    async with asyncio.timeout(60):
        while keys.active.key_id == before:  # noqa: ASYNC110 - files set no event
            await asyncio.sleep(0.02)
    return keys.active.key_id


async def called(signed_by: list[str], key_id: str) -> None:
    """Returns once a few calls were made with that key."""
    async with asyncio.timeout(60):
        while signed_by.count(key_id) < 6:  # noqa: ASYNC110 - a list sets no event
            await asyncio.sleep(0.02)
