"""Every parser keeps its contract on the seeds, on every input that once broke one, and on mutations of both."""

import gc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz.target import CRASHES, ContractBroken, Target, linear
from tests.fuzz.targets.every import EVERY

NAMES = sorted(EVERY)
MUTATIONS = 150


@pytest.fixture(autouse=True)
def nothing_is_left_of_others() -> None:
    """Ends what other tests left: its end in the depth of a nested input would meet the bound on recursion."""
    gc.collect()


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_keeps_its_contract_on_its_seeds_and_on_what_once_broke_it(name: str) -> None:
    inputs = EVERY[name].begin_with()

    assert inputs
    for data in inputs:
        EVERY[name](data)


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_keeps_its_contract_on_mutations_of_its_seeds(name: str) -> None:
    target = EVERY[name]
    seeds = target.begin_with()

    @settings(max_examples=MUTATIONS, deadline=None, database=None)
    @given(mutated(seeds))
    @example(b"")
    def keeps_its_contract(data: bytes) -> None:
        target(data)

    keeps_its_contract()


def mutated(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Draws a seed with some bytes left out, put in, turned over, or taken from another seed."""
    pieces = st.one_of(st.binary(max_size=4), st.sampled_from(seeds).flatmap(slices))
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), pieces), max_size=5)
    return st.tuples(st.sampled_from(seeds), edits).map(edited)


def slices(seed: bytes) -> st.SearchStrategy[bytes]:
    return st.tuples(st.integers(0, len(seed)), st.integers(1, 12)).map(lambda at: seed[at[0] : at[0] + at[1]])


def edited(drawn: tuple[bytes, list[tuple[float, int, bytes]]]) -> bytes:
    data, edits = drawn
    for where, left_out, put_in in edits:
        at = round(where * len(data))
        data = data[:at] + put_in + data[at + left_out :]
    return data


def test_an_error_that_escapes_and_a_parser_that_takes_too_long_are_both_noticed() -> None:
    def lets_out(data: bytes) -> None:
        raise ValueError(data)

    def dawdles(data: bytes) -> None:
        EVERY["iam_patterns"].check(b"*a*b*c*\n*c*b*a*" + data)

    with pytest.raises(ValueError, match="x"):
        Target("lets out", lets_out, lambda: iter(()), linear(10, 0))(b"x")
    with pytest.raises(ContractBroken, match="steps, more than 10"):
        Target("dawdles", dawdles, lambda: iter(()), linear(10, 0))(b"x")


def test_what_is_kept_of_earlier_crashes_belongs_to_a_target() -> None:
    kept = [folder.name for folder in CRASHES.iterdir() if folder.is_dir()] if CRASHES.is_dir() else []

    assert set(kept) <= set(NAMES)
