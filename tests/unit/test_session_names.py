"""How sessions are named to AWS: SourceIdentity and tags."""

import re

from hypothesis import given
from hypothesis import strategies as st

from remit_server.domain.identity import Actor, ActorKind, Principal
from remit_server.domain.session_names import readable_identity, session_tags, source_id_of, source_identity

AWS_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
AWS_TAG = re.compile(r"[a-z2-7.]{1,256}")


def principal(source_id: str, *, alias: str = "corp", subject: str | None = None) -> Principal:
    return Principal("https://idp.example", alias, subject if subject is not None else source_id, source_id)


def test_a_plain_name_stays_readable() -> None:
    assert source_identity(principal("alice@example.com")) == "corp.alice@example.com"


def test_what_aws_does_not_take_is_written_in_hex() -> None:
    assert source_identity(principal("auth0|x=1")) == "corp.auth0=7Cx=3D1"


def test_a_long_name_and_an_absent_one_are_hashed() -> None:
    long, absent = source_identity(principal("x" * 65)), source_identity(principal("", subject="s"))

    assert re.fullmatch(r"corp\.=h[a-z2-7]{40}", long)
    assert re.fullmatch(r"corp\.=h[a-z2-7]{40}", absent)


@given(st.text(max_size=80), st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True))
def test_every_subject_gets_a_name_that_aws_takes(source_id: str, alias: str) -> None:
    assert AWS_NAME.fullmatch(source_identity(principal(source_id, alias=alias)))


@given(st.lists(st.text(max_size=70), min_size=2, max_size=2, unique=True))
def test_two_subjects_never_share_a_source_identity(ids: list[str]) -> None:
    one, other = (source_identity(principal(item)) for item in ids)

    assert one != other


@given(st.text(min_size=1, max_size=80), st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True))
def test_the_id_is_read_back_out_of_a_readable_source_identity(source_id: str, alias: str) -> None:
    identity = source_identity(principal(source_id, alias=alias))

    read = source_id_of(alias, identity)

    assert read == (None if ".=h" in identity else source_id)
    assert source_id_of(f"{alias}x", identity) is None


@given(st.text(st.characters(max_codepoint=127), max_size=64))
def test_no_other_text_passes_for_a_source_identity(text: str) -> None:
    read = source_id_of("corp", text)

    assert read is None or readable_identity("corp", read) == text


@given(st.text(min_size=1), st.text(min_size=1))
def test_tags_are_fixed_length_parts_in_characters_aws_takes(subject: str, actor: str) -> None:
    agent = Actor(actor, ActorKind.OIDC, "https://idp.example")

    tags = dict(session_tags(principal(subject), agent, task_id="t" * 26, grant_id="g" * 26, revision="r"))

    assert [len(part) for part in tags["remit:grant"].split(".")] == [26, 26, 26]
    assert [len(part) for part in tags["remit:by"].split(".")] == [26, 26]
    assert all(AWS_TAG.fullmatch(value) for value in tags.values())


def test_ids_that_join_to_the_same_text_get_different_tags() -> None:
    one = Principal("https://a", "corp", "bc", "x")
    other = Principal("https://ab", "corp", "c", "x")
    agent = Actor("a", ActorKind.OIDC, "https://idp.example")

    tags = [session_tags(who, agent, task_id="t", grant_id="g", revision="r")[0] for who in (one, other)]

    assert tags[0] != tags[1]
