import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit_server.domain.base32 import base32


@given(st.binary(min_size=17, max_size=64), st.sampled_from([2, 26]))
def test_it_is_the_beginning_of_what_the_standard_library_writes(raw: bytes, length: int) -> None:
    assert base32(raw, length) == base64.b32encode(raw).decode().lower()[:length]


@pytest.mark.parametrize(("count", "length"), [(16, 26), (32, 52), (32, 25)])
def test_it_makes_no_more_characters_than_the_bytes_are_enough_for(count: int, length: int) -> None:
    with pytest.raises(ValueError, match="characters"):
        base32(bytes(count), length)
