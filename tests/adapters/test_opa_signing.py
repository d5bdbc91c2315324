"""The signed bundle: the real OPA takes it, and takes nothing that somebody else puts in its place."""

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.fake_opa import NONCE, PATIENT
from tests.opa_server import OpaProcess, opa_server
from tests.policy_bundles import DEFAULT_POLICIES, OBEDIENT, asked, bundle_of, told_to

from remit_server.adapters.opa.archive import Archive, archive_of
from remit_server.adapters.opa.bundle_server import BundleServer
from remit_server.adapters.opa.engine import OpaServer
from remit_server.adapters.opa.nonce import new_nonce
from remit_server.adapters.opa.signing import BundleSigner
from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.domain.decision import Allow


@dataclass
class Key:
    """A private key in a file, and what `opa.yaml` holds of it."""

    path: Path
    algorithm: str
    public: str


def key_in(folder: Path, private: Any, algorithm: str = "ES256") -> Key:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "signing.key"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Key(path, algorithm, public.decode())


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return key_in(tmp_path / "key", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of(tmp_path / "bundle", OBEDIENT)


def start_verifying(opa: OpaProcess, key: Key) -> None:
    """Starts OPA anew, taking bundles of this key only, as the comments of the example tell."""
    config = opa.folder / "opa.yaml"
    text = config.read_text().replace("    # signing:\n    #   keyid: remit", "    signing:\n      keyid: remit")
    assert "    signing:" in text
    held = json.dumps({"remit": {"algorithm": key.algorithm, "key": key.public}})
    config.write_text(f"{text}\nkeys: {held}\n")
    opa.kill()
    opa.start()


@pytest.mark.parametrize("kind", ["P-256", "RSA"])
async def test_opa_takes_what_the_gateway_signed(tmp_path: Path, bundle: Bundle, kind: str) -> None:
    key = key_in(tmp_path / "key", ec.generate_private_key(ec.SECP256R1()))
    if kind == "RSA":
        key = key_in(tmp_path / "key", rsa.generate_private_key(65537, 2048), "RS256")
    numbers, texts = [1, -1, 0.1, 1e-07, 1e16, 2**63], ["\u2028\u2029 <&> \x01\x1f\x7f \b\f\n", '"\\ \u00e9 \U0001f600']
    odd = json.dumps({"remit": {"odd": {"b": numbers, "a": texts, "": {}, "\u00e9": None}}})
    with opa_server(tmp_path / "opa") as opa:
        start_verifying(opa, key)
        engine = await OpaServer.start(
            read_bundle(DEFAULT_POLICIES), opa.settings(bundle_signing_key=key.path), PATIENT
        )
        try:
            assert isinstance(await engine.decide(engine.active, asked()), Allow)

            await engine.activate(replace(bundle, data_json=odd))
            assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
        finally:
            await engine.close()


@asynccontextmanager
async def served(opa: OpaProcess, archive: Archive) -> AsyncIterator[BundleServer]:
    """Serves an archive where OPA pulls."""
    server = BundleServer(opa.settings(), archive)
    await server.start(share_port=False)
    try:
        yield server
    finally:
        await server.close()


def tampered(archive: Archive, changes: Mapping[str, str | None]) -> Archive:
    """Returns the archive with the text of some files replaced, and those without a text left out."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive.content), mode="r:gz") as old,
        tarfile.open(fileobj=packed, mode="w:gz") as new,
    ):
        for member in old.getmembers():
            content = (old.extractfile(member) or io.BytesIO()).read()
            text = changes.get(member.name.removeprefix("/"), content.decode())
            if text is not None:
                member.size = len(text.encode())
                new.addfile(member, io.BytesIO(text.encode()))
    return Archive(archive.revision, packed.getvalue(), '"another"')


def manifest_of(archive: Archive) -> str:
    return json.dumps({"revision": archive.revision, "roots": ["remit"], "rego_version": 1}, sort_keys=True)


RULES = "remit/issue/issue.rego"
FOR_ANYBODY = OBEDIENT.replace('not input.task.labels["do"]', "false").replace('== "allow"', '!= "allow"')


@pytest.mark.parametrize(
    "forgery",
    ["unsigned", "stripped", "by another key", "other rules", "fewer rules", "other data", "under this start's name"],
)
async def test_opa_takes_no_bundle_of_the_same_revision_that_somebody_else_made(
    tmp_path: Path, bundle: Bundle, key: Key, forgery: str
) -> None:
    own = archive_of(bundle, NONCE, BundleSigner.of(key.path))
    anybody = replace(bundle, modules=((RULES, FOR_ANYBODY),))
    other = key_in(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    forged = {
        "unsigned": archive_of(anybody, NONCE),
        "stripped": tampered(own, {".signatures.json": None}),
        "by another key": archive_of(anybody, NONCE, BundleSigner.of(other.path)),
        "other rules": tampered(own, {RULES: FOR_ANYBODY}),
        "fewer rules": tampered(own, {RULES: None}),
        # An earlier bundle of the gateway's own, with its signature, made to look like this start's.
        "under this start's name": tampered(
            archive_of(anybody, new_nonce(), BundleSigner.of(key.path)), {".manifest": manifest_of(own)}
        ),
        "other data": tampered(own, {"data.json": '{"remit": {"catalog": {}}}'}),
    }[forgery]
    with opa_server(tmp_path / "opa") as opa:
        start_verifying(opa, key)
        async with served(opa, own) as source:
            engine = await OpaServer.start(bundle, opa.settings(bundle_address="127.0.0.1:0"), PATIENT, nonce=NONCE)
            try:
                before = opa.log.stat().st_size
                source.serve(forged)
                await refused(opa, before)

                assert isinstance(await engine.decide(engine.active, told_to("allow")), Allow)
            finally:
                await engine.close()


async def refused(opa: OpaProcess, before: int) -> None:
    """Returns when OPA's log says, after so many bytes, that it did not take a bundle."""
    async with asyncio.timeout(60):
        while "Bundle load failed" not in opa.log.read_text()[before:]:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.02)


def test_the_tag_is_the_same_for_every_worker_and_another_for_another_key(
    tmp_path: Path, bundle: Bundle, key: Key
) -> None:
    other = key_in(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))

    tags = [archive_of(bundle, NONCE, BundleSigner.of(one.path)).etag for one in (key, key, other)]

    assert tags[0] == tags[1]
    assert len({*tags, archive_of(bundle, NONCE).etag}) == 3


def test_a_key_that_will_not_do_is_told_with_what_to_do(tmp_path: Path) -> None:
    weak = [
        key_in(tmp_path / "a", rsa.generate_private_key(65537, 1024)),  # noqa: S505 - the point of it
        key_in(tmp_path / "b", ec.generate_private_key(ec.SECP384R1())),
        key_in(tmp_path / "c", ed25519.Ed25519PrivateKey.generate()),
    ]
    (tmp_path / "none").write_text("no key")

    for path in [*(key.path for key in weak), tmp_path / "none", tmp_path / "missing"]:
        with pytest.raises(RuntimeError, match=r"bundle_signing_key_file .* openssl genpkey"):
            BundleSigner.of(path)


def test_a_signing_key_is_never_shown(key: Key) -> None:
    assert "PrivateKey" not in repr(BundleSigner.of(key.path))
