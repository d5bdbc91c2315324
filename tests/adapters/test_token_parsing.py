import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.token_forge import ABSENT, NOW, b64, claims, forge, sign, user_token

from remit_server.adapters.identity.token_parsing import (
    MAX_TOKEN_CHARACTERS,
    TokenRefused,
    canonical_base64url,
    parse_jws,
    parse_token,
)

HEADER = b'{"alg":"RS256","kid":"rsa","typ":"JWT"}'


def _refusal(text: str) -> str:
    with pytest.raises(TokenRefused) as refused:
        parse_token(text)
    return refused.value.why


def test_a_proper_token_is_taken_apart_into_unverified_values() -> None:
    parsed = parse_token(user_token())

    assert parsed.unverified_issuer == "https://idp.example.com"
    assert parsed.unverified_subject == "alice"
    assert parsed.unverified_audience == "remit"
    assert (parsed.unverified_issue_time, parsed.unverified_expire_time) == (NOW - 60, NOW + 600)
    assert parsed.unverified_not_before is None
    assert parsed.unverified_token_id == "token-1"
    assert (parsed.jws.unverified_algorithm, parsed.jws.unverified_key_id) == ("RS256", "rsa")


def test_what_it_prints_holds_no_part_that_could_be_replayed() -> None:
    token = user_token()

    printed = repr(parse_token(token))

    assert not any(part in printed for part in token.split("."))
    assert "analysts" not in printed


def test_a_list_of_one_audience_is_that_audience() -> None:
    assert parse_token(user_token(aud=["remit"])).unverified_audience == "remit"


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b", "a.b.c.d", "not a token", "{}", '{"payload":"","signatures":[]}']
)
def test_only_the_compact_form_is_read(text: str) -> None:
    assert _refusal(text)


def test_a_token_is_measured_before_it_is_decoded() -> None:
    assert f"longer than {MAX_TOKEN_CHARACTERS}" in _refusal("!" * (MAX_TOKEN_CHARACTERS + 1))


def test_a_token_of_just_the_allowed_length_is_read() -> None:
    room = MAX_TOKEN_CHARACTERS - len(forge(claims(pad="")))
    token = forge(claims(pad="x" * (room * 3 // 4 - 3)))

    assert MAX_TOKEN_CHARACTERS - 8 <= len(token) <= MAX_TOKEN_CHARACTERS
    assert parse_token(token).unverified_subject == "alice"


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("spoil", ["=", " ", "\n", "+", "/", ".", "\x00", "é", "\ud800"])
def test_no_part_holds_anything_but_base64url(part: int, spoil: str) -> None:
    parts = user_token().split(".")
    parts[part] += spoil

    assert _refusal(".".join(parts))


def test_bits_that_no_byte_holds_must_be_zero() -> None:
    assert canonical_base64url("QQ") == b"A"
    with pytest.raises(ValueError, match="canonical"):
        canonical_base64url("QR")


@given(st.binary(max_size=40))
def test_every_byte_string_has_exactly_its_own_text(raw: bytes) -> None:
    assert canonical_base64url(b64(raw)) == raw


@pytest.mark.parametrize("member", ["jku", "x5u", "x5c", "jwk", "crit", "b64", "zip", "enc", "cty", "x5t#S256"])
def test_header_members_that_steer_the_verification_are_refused_by_name(member: str) -> None:
    assert f"`{member}`" in _refusal(forge(header={member: "x"}))


def test_an_unknown_header_member_is_refused_without_being_repeated() -> None:
    why = _refusal(forge(header={"sneaky-member": 1}))

    assert "member other than" in why
    assert "sneaky" not in why


@pytest.mark.parametrize(
    "kid", ["", "../../etc/passwd", "a b", "' OR 1=1 --", "k" * 129, "https://x/k", "é", 7, None, ["rsa"], ABSENT]
)
def test_a_key_id_is_a_plain_name(kid: Any) -> None:
    assert "`kid`" in _refusal(forge(header={"kid": kid}))


@pytest.mark.parametrize("name", ["alg", "typ"])
@pytest.mark.parametrize("value", ["", 1, None, ["RS256"], "a b", "x\n"])
def test_header_texts_are_plain_texts(name: str, value: Any) -> None:
    assert f"`{name}`" in _refusal(forge(header={name: value}))


@pytest.mark.parametrize("payload", [b"", b"[]", b'"x"', b"null", b"{", b"\x80", b"{} {}", b'{"a":01}', b"{'a':1}"])
def test_the_payload_is_one_json_object(payload: bytes) -> None:
    assert "payload" in _refusal(sign(HEADER, payload))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 5000, str(2**53)])
def test_numbers_that_readers_disagree_about_are_refused(constant: str) -> None:
    text = json.dumps(claims())[:-1] + f', "n": {constant}}}'

    assert "strict JSON" in _refusal(sign(HEADER, text.encode()))


@pytest.mark.parametrize(("depth", "accepted"), [(15, True), (16, False), (900, False), (5000, False)])
def test_nesting_is_bounded(depth: int, accepted: bool) -> None:
    nested = "[" * depth + "]" * depth
    token = sign(HEADER, (json.dumps(claims())[:-1] + f', "deep": {nested}}}').encode())

    if accepted:
        assert parse_token(token).unverified_subject == "alice"
    else:
        assert "nested too deeply" in _refusal(token)


def test_a_deeply_nested_header_is_a_clean_refusal() -> None:
    assert "nested too deeply" in _refusal(sign(b'{"alg":' + b"[" * 5000 + b"]" * 5000 + b"}", b"{}"))


@pytest.mark.parametrize("name", ["iss", "sub", "jti"])
@pytest.mark.parametrize(
    "value", ["", " ", "a\nb", "a\x00", "é", "\u202ealice", " alice", "alice ", "x" * 256, 7, None, ["alice"], {}, True]
)
def test_names_are_short_printable_ascii(name: str, value: Any) -> None:
    assert f"`{name}`" in _refusal(user_token(**{name: value}))


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp"])
def test_no_registered_claim_may_be_missing(name: str) -> None:
    assert f"`{name}`" in _refusal(user_token(**{name: ABSENT}))


def test_a_lone_surrogate_is_refused() -> None:
    assert "surrogate" in _refusal(user_token(note="\ud800"))


@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("value", ["9999999999", True, None, [NOW], -1, 1e300, 253_402_300_800])
def test_times_are_numbers_of_this_era(name: str, value: Any) -> None:
    assert f"`{name}`" in _refusal(user_token(**{name: value}))


@pytest.mark.parametrize("audience", [["remit", "evil"], [], "", [["remit"]], {"remit": 1}, None, 7])
def test_there_is_exactly_one_audience(audience: Any) -> None:
    assert "`aud`" in _refusal(user_token(aud=audience))


def test_a_refusal_repeats_nothing_of_the_token() -> None:
    token = sign(HEADER, b'{"sub":"secret-marker", "sub":"secret-marker", oops')

    assert "secret-marker" not in _refusal(token)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        parse_jws(text)
