"""The published JSON Web Signature vectors of Wycheproof (C2SP) against our parser, key rules and verification.

No vector that is to be refused may be accepted. What is to be accepted and is not stands below, each with its reason.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from remit_server.adapters.identity.token_parsing import TokenRefused, parse_jws
from remit_server.adapters.identity.verification_keys import KeySet, MalformedKeySet, key_set_of

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "wycheproof" / "json_web_signature_test.json"

_SYMMETRIC = "signed with a shared secret (HS256): remote issuers never share one with the gateway"
_MAIL_KEY_ID = "RFC 7520's key id is a mail address; ours are [A-Za-z0-9._-]{1,128} so that they are no path and no URL"
_INVALID_CHARACTERS = "holds characters outside base64url that RFC 7515 2 does not allow either"

REFUSED_ALTHOUGH_VALID: Mapping[int, str] = {
    1: _SYMMETRIC,
    345: _MAIL_KEY_ID,
    346: _MAIL_KEY_ID,
    347: _MAIL_KEY_ID,
    348: _SYMMETRIC,
    349: _MAIL_KEY_ID,
    350: _MAIL_KEY_ID,
    351: _MAIL_KEY_ID,
    352: _SYMMETRIC,
    357: _SYMMETRIC,
    358: _SYMMETRIC,
    359: _SYMMETRIC,
    372: _INVALID_CHARACTERS,
    373: _INVALID_CHARACTERS,
    376: _SYMMETRIC,
    377: _SYMMETRIC,
}
ACCEPTED_ALTHOUGH_INVALID: Mapping[int, str] = {}

pytestmark = pytest.mark.skipif(not VECTORS.is_file(), reason="the Wycheproof vectors are not beside this checkout")


def _vectors() -> Iterator[tuple[KeySet | None, Mapping[str, Any]]]:
    """Yields each test with the key set that its key would be published in; None when that set is refused whole."""
    for group in json.loads(VECTORS.read_text())["testGroups"]:
        key = group.get("public") or group["private"]
        try:
            published = key_set_of(json.dumps({"keys": [key]}).encode())
        except MalformedKeySet:
            published = None
        for test in group["tests"]:
            yield published, test


def _is_accepted(published: KeySet | None, jws: str) -> bool:
    try:
        parsed = parse_jws(jws)
    except TokenRefused:
        return False
    key = published.keys.get(parsed.unverified_key_id) if published else None
    return key is not None and key.signed(parsed)


def test_nothing_that_is_to_be_refused_is_accepted() -> None:
    accepted = {
        test["tcId"]
        for published, test in _vectors()
        if test["result"] != "valid" and _is_accepted(published, test["jws"])
    }

    assert accepted == set(ACCEPTED_ALTHOUGH_INVALID)


def test_everything_that_is_to_be_accepted_is_but_for_the_listed_reasons() -> None:
    refused = {
        test["tcId"]
        for published, test in _vectors()
        if test["result"] == "valid" and not _is_accepted(published, test["jws"])
    }

    assert refused == set(REFUSED_ALTHOUGH_VALID)


def test_the_vectors_are_all_there_and_many_are_accepted() -> None:
    results = [_is_accepted(published, test["jws"]) for published, test in _vectors()]

    assert len(results) == 401
    assert sum(results) == 30


def test_two_vectors_of_wrong_padding_lost_it_and_are_a_valid_vector_to_the_letter() -> None:
    by_number = {test["tcId"]: test["jws"] for _, test in _vectors()}

    assert by_number[367] == by_number[370] == by_number[357]  # only their symmetric key refuses them here


@pytest.mark.parametrize("number", [14, 15, 17, 32, 360, 361, 362, 363, 364, 365, 366, 368, 369, 371, 374])
def test_forms_that_are_no_canonical_jws_are_refused_before_any_key_is_looked_for(number: int) -> None:
    jws = next(test["jws"] for _, test in _vectors() if test["tcId"] == number)

    with pytest.raises(TokenRefused):
        parse_jws(jws)
