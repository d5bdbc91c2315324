import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit_server.adapters.aws.http_answer import MAX_HEAD_BYTES, Answer, MalformedHttp, answer_in

MOST = 100
HEAD = b"HTTP/1.1 200 OK\r\n"


def read(data: bytes, *, ended: bool = False) -> Answer | None:
    return answer_in(bytearray(data), ended=ended, most=MOST)


def test_a_body_of_a_length_is_read_and_the_connection_kept() -> None:
    answer = read(HEAD + b"Content-Length: 3\r\nX-Amzn-RequestId: abc\r\n\r\nabc")

    assert answer == Answer(200, {"content-length": "3", "x-amzn-requestid": "abc"}, b"abc", persists=True)


def test_a_body_in_chunks_is_put_together() -> None:
    answer = read(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n")

    assert answer is not None
    assert (answer.body, answer.persists) == (b"abc0123456789", True)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    assert read(HEAD + b"\r\nabc") is None
    assert read(HEAD + b"\r\nabc", ended=True) == Answer(200, {}, b"abc", persists=False)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        HEAD + b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nmore",
    ],
)
def test_a_connection_that_closes_or_holds_more_is_not_kept(data: bytes) -> None:
    answer = read(data)

    assert answer is not None
    assert (answer.body, answer.persists) == (b"abc", False)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 101\r\n\r\n",
        HEAD + b"\r\n" + b"a" * 101,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n65\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n40\r\n" + b"a" * 64 + b"\r\n40\r\n",
    ],
)
def test_a_body_that_is_too_long_is_left_out_before_it_came(data: bytes) -> None:
    answer = read(data)

    assert answer is not None
    assert (answer.body, answer.persists) == (None, False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        HEAD + b"no header\r\n\r\n",
        HEAD + b"Content-Length : 3\r\n\r\nabc",
        HEAD + b"A: b\r\n folded: c\r\n\r\n",
        HEAD + b"A: b\x00\r\n\r\n",
        HEAD + b"A: b\nContent-Length: 3\r\n\r\nabc",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"z" * 300,
        b"a" * (MAX_HEAD_BYTES + 1),
        HEAD + b"A: " + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedHttp):
        read(data)


WHOLE = (
    HEAD + b"Content-Length: 3\r\n\r\nabc",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
)


@pytest.mark.parametrize("whole", WHOLE)
def test_an_answer_is_whole_with_its_last_byte_and_not_before(whole: bytes) -> None:
    for length in range(len(whole)):
        assert read(whole[:length]) is None
        with pytest.raises(MalformedHttp):
            read(whole[:length], ended=True)

    assert read(whole) is not None


@given(st.binary(max_size=300), st.booleans())
def test_rubbish_is_refused_or_waited_for_and_never_breaks_the_reader(rubbish: bytes, ended: bool) -> None:
    for data in (rubbish, HEAD + rubbish, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + rubbish):
        try:
            found = read(data, ended=ended)
        except MalformedHttp:
            continue
        assert found is not None or not ended
