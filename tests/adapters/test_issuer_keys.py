"""The keys of the gateway's own issuer: read strictly, published whole, followed through rotations, never printed."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.signing_key_files import fresh_key, pem, put_key
from tests.token_forge import ec_key, rsa_key
from tests.web_identity_world import DISCOVERY, KEY_SET, URL, IssuerFolder, key_ids

from remit_server.adapters.identity.verification_keys import key_set_of
from remit_server.adapters.issuer.keys import PublishedKey
from remit_server.adapters.issuer.signing_keys import SigningKeys
from remit_server.config.signing_keys import UnfitKey, private_key_in, public_key_in

# RFC 7638 3.1: an RSA key and its thumbprint.
RFC_MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM"
    "stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5"
    "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)
RFC_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.fixture
def folder(tmp_path: Path) -> IssuerFolder:
    return IssuerFolder.create(tmp_path)


def test_a_key_is_called_by_its_thumbprint() -> None:
    numbers = rsa.RSAPublicNumbers(65537, int.from_bytes(jwt.utils.base64url_decode(RFC_MODULUS), "big"))

    assert PublishedKey.of(numbers.public_key()).key_id == RFC_THUMBPRINT


@pytest.mark.parametrize("key", [rsa_key(), ec_key()])
async def test_what_it_signs_the_published_key_verifies(folder: IssuerFolder, key: Any) -> None:
    put_key(folder.active, key)
    keys = folder.keys()

    signature = await keys.active.sign(b"header.payload")

    (published,) = json.loads(keys.documents[KEY_SET]())["keys"]
    verifying = jwt.get_algorithm_by_name(keys.active.algorithm)
    assert verifying.verify(b"header.payload", jwt.PyJWK(published).key, signature)
    assert not verifying.verify(b"header.payloaf", jwt.PyJWK(published).key, signature)


@pytest.mark.parametrize("key", [rsa_key(), ec_key()])
def test_our_own_strict_reader_finds_every_published_key_fit(folder: IssuerFolder, key: Any) -> None:
    put_key(folder.active, key)
    put_key(folder.coming, rsa_key(name="next"))
    put_key(folder.previous, fresh_key())
    keys = folder.keys()

    found = key_set_of(keys.documents[KEY_SET]())

    assert found.unfit == ()
    assert found.keys.keys() == key_ids(keys)
    assert len(found.keys) == 3


def test_no_private_member_is_published(folder: IssuerFolder) -> None:
    put_key(folder.active, rsa_key())
    put_key(folder.coming, ec_key())

    published = json.loads(folder.keys().documents[KEY_SET]())["keys"]

    assert {frozenset(key) for key in published} == {
        frozenset({"kty", "kid", "use", "alg", "n", "e"}),
        frozenset({"kty", "kid", "use", "alg", "crv", "x", "y"}),
    }


def test_the_discovery_document_leads_to_the_key_set(folder: IssuerFolder) -> None:
    put_key(folder.coming, rsa_key())

    document = json.loads(folder.keys().documents[DISCOVERY]())

    assert document["issuer"] == URL
    assert document["jwks_uri"] == URL + KEY_SET
    assert document["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


def test_equal_keys_make_equal_documents_wherever_they_lie(folder: IssuerFolder, tmp_path: Path) -> None:
    put_key(folder.coming, rsa_key())
    (tmp_path / "elsewhere").mkdir()
    other = IssuerFolder.create(tmp_path / "elsewhere", rsa_key())
    put_key(other.previous, ec_key())

    assert folder.keys().documents[KEY_SET]() == other.keys().documents[KEY_SET]()


def test_a_key_in_two_places_is_published_once(folder: IssuerFolder) -> None:
    put_key(folder.coming, ec_key())
    put_key(folder.previous, ec_key())

    assert len(json.loads(folder.keys().documents[KEY_SET]())["keys"]) == 1


def test_of_the_next_and_the_previous_key_the_public_half_is_enough(folder: IssuerFolder) -> None:
    for path in (folder.coming, folder.previous):
        path.write_bytes(
            rsa_key(name=path.name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        path.chmod(0o600)

    assert len(key_ids(folder.keys())) == 3


def encrypted() -> bytes:
    return ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"words"))


def of_an_unknown_kind(old: str, new: str) -> bytes:
    """Returns a P-256 key whose DER has one object identifier replaced."""
    der = ec_key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert bytes.fromhex(old) in der
    spoiled = base64.encodebytes(der.replace(bytes.fromhex(old), bytes.fromhex(new)))
    return b"-----BEGIN PRIVATE KEY-----\n" + spoiled + b"-----END PRIVATE KEY-----\n"


def edwards() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: b"", "no unencrypted private key"),
        (lambda: b"no key", "no unencrypted private key"),
        (lambda: pem(ec_key())[:-40], "no unencrypted private key"),
        (encrypted, "no unencrypted private key"),
        (edwards, "neither RSA nor P-256"),
        (lambda: of_an_unknown_kind("2a8648ce3d030107", "2a8648ce3d030177"), "no unencrypted private key"),
        (lambda: of_an_unknown_kind("2a8648ce3d0201", "2a8648ce3d0277"), "no unencrypted private key"),
        (lambda: pem(ec_key("P-384")), "another curve"),
        (lambda: pem(ec_key("secp256k1")), "another curve"),
        (lambda: pem(rsa_key(1024)), "2048 to 4096 bits"),
        (lambda: pem(rsa_key(2048, 3)), "exponent 65537"),
        (lambda: b"x" * 20_000, "too long"),
    ],
)
def test_a_key_that_is_weak_or_none_is_refused(
    folder: IssuerFolder, content: Callable[[], bytes], problem: str
) -> None:
    folder.active.write_bytes(content())

    with pytest.raises(UnfitKey, match=problem):
        private_key_in(folder.active)
    with pytest.raises(UnfitKey, match=r"\w"):
        public_key_in(folder.active)
    with pytest.raises(RuntimeError, match="config check"):
        folder.keys()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_a_key_that_is_open_to_others_is_refused(folder: IssuerFolder, mode: int) -> None:
    folder.active.chmod(mode)

    with pytest.raises(RuntimeError, match="open to others"):
        folder.keys()


def test_nothing_that_is_printed_holds_a_private_key(folder: IssuerFolder) -> None:
    keys = folder.keys()

    shown = f"{keys!r} {vars(keys)!r} {keys.active!r} {keys.active.published!r}"

    secret = jwt.algorithms.ECAlgorithm.to_jwk(ec_key(), as_dict=True)["d"]
    assert secret not in shown
    assert str(ec_key().private_numbers().private_value) not in shown
    assert "PRIVATE" not in shown


# --- rotations ---


@asynccontextmanager
async def following(folder: IssuerFolder) -> AsyncIterator[SigningKeys]:
    """Follows the files, looking every few milliseconds."""
    keys = folder.keys()
    task = asyncio.create_task(keys.follow(timedelta(milliseconds=5)))
    try:
        yield keys
    finally:
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - files set no event
            await asyncio.sleep(0.005)


async def test_a_rotation_by_hand_leaves_no_key_unpublished_in_between(folder: IssuerFolder) -> None:
    coming = fresh_key()
    put_key(folder.coming, coming)
    coming_id, active_id = PublishedKey.of(coming.public_key()).key_id, PublishedKey.of(ec_key().public_key()).key_id

    async with following(folder) as keys:
        put_key(folder.previous, ec_key())  # install -m 600 active previous
        await asyncio.sleep(0.02)
        assert key_ids(keys) == {active_id, coming_id}
        folder.coming.replace(folder.active)  # mv next active
        await until(lambda: keys.active.key_id == coming_id)
        assert key_ids(keys) == {active_id, coming_id}
        put_key(folder.coming, fresh_key())  # remit-server issuer keys --make next
        await until(lambda: len(key_ids(keys)) == 3)

    assert {active_id, coming_id} < key_ids(keys)


async def test_a_mounted_folder_that_is_swapped_as_a_whole_is_followed(tmp_path: Path) -> None:
    """The way of Kubernetes: the files are links through `..data`, which is replaced at once."""
    one, two, three = fresh_key(), fresh_key(), fresh_key()
    for name, keys in {"..first": (one, two, one), "..second": (two, three, one)}.items():
        (tmp_path / name).mkdir()
        for file, key in zip(("active.pem", "next.pem", "previous.pem"), keys, strict=True):
            put_key(tmp_path / name / file, key)
            (tmp_path / file).unlink(missing_ok=True)
            (tmp_path / file).symlink_to(f"..data/{file}")
    (tmp_path / "..data").symlink_to("..first")

    async with following(IssuerFolder(tmp_path)) as followed:
        before = key_ids(followed)
        (tmp_path / "..new").symlink_to("..second")
        (tmp_path / "..new").replace(tmp_path / "..data")
        await until(lambda: followed.active.key_id == PublishedKey.of(two.public_key()).key_id)

    assert len(before) == 2
    assert before < key_ids(followed)


@pytest.mark.parametrize("spoil", ["empty", "open", "gone"])
async def test_a_key_file_that_cannot_be_used_changes_nothing_and_is_told_once(
    folder: IssuerFolder, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(folder) as keys:
        before = keys.active.key_id
        match spoil:
            case "empty":
                folder.active.write_bytes(b"")
            case "open":
                put_key(folder.coming, fresh_key())
                folder.coming.chmod(0o644)
            case _:
                folder.active.unlink()
        await until(lambda: "cannot be used yet" in caplog.text)
        await asyncio.sleep(0.03)
        assert (keys.active.key_id, key_ids(keys)) == (before, {before})
        assert caplog.text.count("cannot be used yet") == 1

        put_key(folder.active, fresh_key())
        folder.coming.unlink(missing_ok=True)
        await until(lambda: keys.active.key_id != before)

    assert key_ids(keys) == {keys.active.key_id}


async def test_a_key_that_signs_before_it_was_published_for_a_day_is_told(
    folder: IssuerFolder, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(folder) as keys:
        before = keys.active.key_id
        put_key(folder.active, fresh_key())
        await until(lambda: keys.active.key_id != before)

    assert "did not publish it for 24 hours" in caplog.text
    assert f"key {before} is no longer published" in caplog.text
