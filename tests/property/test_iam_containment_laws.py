"""Laws of containment and of the patterns it compares."""

import random
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.property import iam_oracle as oracle
from tests.property.iam_world import NAMED_HEADS, OPEN_HEADS, World

from remit_server.iam.containment.proving import contains
from remit_server.iam.containment.verdict import Counterexample, Witness
from remit_server.iam.language.document import Document
from remit_server.iam.language.pattern import Pattern, PatternTooComplex


def worlds(heads: tuple[str, ...] = NAMED_HEADS) -> st.SearchStrategy[World]:
    return st.integers(0, 2**32).map(lambda seed: World(random.Random(seed), heads))  # noqa: S311


def document(policy: dict[str, Any]) -> Document:
    return Document.parse(policy)


@given(worlds(NAMED_HEADS + OPEN_HEADS))
@settings(max_examples=200, deadline=None)
def test_every_document_is_contained_in_itself(world: World) -> None:
    policy = document(world.policy())

    assert isinstance(contains(policy, policy), Witness)


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_containment_is_transitive(world: World) -> None:
    outer = world.policy()
    middle = world.bent(outer)
    inner = document(world.bent(middle))
    assume(isinstance(contains(document(middle), document(outer)), Witness))
    assume(isinstance(contains(inner, document(middle)), Witness))

    verdict = contains(inner, document(outer))

    assert not isinstance(verdict, Counterexample)


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_one_more_allow_in_the_ceiling_never_turns_a_yes_into_a_no(world: World) -> None:
    ceiling = world.policy()
    issued = document(world.bent(ceiling))
    assume(isinstance(contains(issued, document(ceiling)), Witness))

    wider = document({**ceiling, "Statement": [world.statement(denies=0), *ceiling["Statement"]]})

    assert isinstance(contains(issued, wider), Witness)


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_one_more_deny_in_what_is_issued_never_turns_a_yes_into_a_no(world: World) -> None:
    policy = world.policy()
    ceiling = document(policy)
    issued = world.bent(policy)
    assume(isinstance(contains(document(issued), ceiling), Witness))

    narrower = document({**issued, "Statement": [*issued["Statement"], world.statement(denies=1)]})

    assert isinstance(contains(narrower, ceiling), Witness)


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_one_more_deny_in_the_ceiling_never_turns_a_no_into_a_yes(world: World) -> None:
    ceiling = world.policy()
    issued = document(world.bent(ceiling))
    assume(isinstance(contains(issued, document(ceiling)), Counterexample))

    narrower = document({**ceiling, "Statement": [*ceiling["Statement"], world.statement(denies=1)]})

    assert not isinstance(contains(issued, narrower), Witness)


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_one_more_allow_in_what_is_issued_never_turns_a_no_into_a_yes(world: World) -> None:
    policy = world.policy()
    ceiling = document(policy)
    issued = world.bent(policy)
    assume(isinstance(contains(document(issued), ceiling), Counterexample))

    wider = document({**issued, "Statement": [world.statement(denies=0), *issued["Statement"]]})

    assert not isinstance(contains(wider, ceiling), Witness)


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_both_of_two_that_are_contained_are_contained_together(world: World) -> None:
    """Allows add up: the Denies of the one do not count for the other, so there are none here."""
    policy = world.policy()
    ceiling = document(policy)
    allows = [world.bent_statement(each) for each in policy["Statement"] if each["Effect"] == "Allow"]
    inside = [
        each for each in allows if isinstance(contains(document({**policy, "Statement": [each]}), ceiling), Witness)
    ]
    assume(len(inside) > 1)

    together = document({**policy, "Statement": inside})

    assert not isinstance(contains(together, ceiling), Counterexample)


@given(worlds(NAMED_HEADS + OPEN_HEADS), st.permutations("abz"))
@settings(max_examples=100, deadline=None)
def test_other_names_for_everything_change_nothing(world: World, letters: list[str]) -> None:
    """Letters, services, accounts, keys and values of conditions get other names, each its own, throughout."""
    ceiling = world.policy()
    issued = world.bent(ceiling)
    names = dict(zip("abz", letters, strict=True))

    renamed = [document(renaming(each, names)) for each in (issued, ceiling)]

    assert type(contains(*renamed)) is type(contains(document(issued), document(ceiling)))


def renaming(policy: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Renames in what is matched and in conditions; services and keys as a whole, the rest letter by letter."""
    table = str.maketrans(names)

    def pattern(text: str) -> str:
        lead, colon, name = text.rpartition(":")
        lead = lead.replace("sqs", "sns").replace("arn:aws:s3", "arn:aws:es").replace(":1", ":7").replace(":2", ":1")
        return lead + colon + name.translate(table) if lead.startswith("arn:") else renamed_action(lead, colon, name)

    def renamed_action(service: str, colon: str, name: str) -> str:
        return {"s3": "es", "S3": "ES", "sqs": "sns"}.get(service, service) + colon + name.translate(table)

    def statement(each: dict[str, Any]) -> dict[str, Any]:
        out = dict(each)
        for element in ("Action", "NotAction", "Resource", "NotResource"):
            if element in out:
                out[element] = sorted({pattern(text) for text in out[element]})
        conditions = out.get("Condition", {})
        out["Condition"] = {
            operator: {key.replace("aws:", "own:"): value for key, value in keys.items()}
            for operator, keys in conditions.items()
        }
        return out if conditions else {name: value for name, value in out.items() if name != "Condition"}

    return {**policy, "Statement": [statement(each) for each in policy["Statement"]]}


@given(worlds(NAMED_HEADS + OPEN_HEADS))
@settings(max_examples=100, deadline=None)
def test_what_a_counterexample_names_is_a_request_that_escapes(world: World) -> None:
    """The request is a concrete one, of six segments, without wildcards: a person can try it."""
    ceiling = world.policy()
    issued = world.bent(ceiling)
    found = contains(document(issued), document(ceiling))
    assume(isinstance(found, Counterexample))

    assert isinstance(found, Counterexample)
    assert not set("*?") & set(found.action)
    assert found.resource == "*" or (found.resource.count(":") >= 5 and not set("*?") & set(found.resource))


@given(worlds(NAMED_HEADS + OPEN_HEADS), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_neither_statement_order_nor_the_case_of_actions_matters(world: World, chance: random.Random) -> None:
    ceiling = world.policy()
    issued = world.bent(ceiling)

    turned = document(shuffled_and_recased(ceiling, chance))

    assert type(contains(document(issued), turned)) is type(contains(document(issued), document(ceiling)))


def shuffled_and_recased(policy: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    statements = [dict(each) for each in policy["Statement"]]
    chance.shuffle(statements)
    for each in statements:
        for element in ("Action", "NotAction"):
            if element in each:
                each[element] = list({text.upper(): text.upper() for text in each[element]})
    return {**policy, "Statement": statements}


PATTERNS = st.text("ab*?", max_size=6)
WORDS = tuple(oracle.words(6))


@given(PATTERNS, PATTERNS)
@settings(max_examples=400, deadline=None)
def test_pattern_inclusion_overlap_and_intersection_agree_with_listing_words(left: str, right: str) -> None:
    one, other = Pattern(left), Pattern(right)
    lefts = {word for word in WORDS if oracle.glob(left, word)}
    rights = {word for word in WORDS if oracle.glob(right, word)}

    assert {word for word in WORDS if one.matches(word)} == lefts
    if one.includes(other):
        assert rights <= lefts
    if lefts & rights:
        assert one.overlaps(other)
    both = one.intersect(other)
    assert {word for word in WORDS if any(each.matches(word) for each in both)} == lefts & rights
    assert all(one.includes(each) and other.includes(each) for each in both)


@given(st.text("ab*?", max_size=3), st.text("ab*?", max_size=3))
@settings(max_examples=300, deadline=None)
def test_pattern_inclusion_and_overlap_are_exact_on_short_patterns(left: str, right: str) -> None:
    one, other = Pattern(left), Pattern(right)
    lefts = {word for word in WORDS if oracle.glob(left, word)}
    rights = {word for word in WORDS if oracle.glob(right, word)}

    assert one.includes(other) == (rights <= lefts)
    assert one.overlaps(other) == bool(lefts & rights)


@given(st.text("ab*?", max_size=40), st.text("ab*?", max_size=40))
@settings(max_examples=100, deadline=None)
def test_long_patterns_end_in_an_answer_or_in_a_named_refusal(left: str, right: str) -> None:
    one, other = Pattern(left), Pattern(right)

    try:
        both = one.intersect(other)
    except PatternTooComplex:
        return

    assert bool(both) == one.overlaps(other)
