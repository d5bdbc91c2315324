"""Two hundred realistic intents: what is written is proven equal, what is split covers exactly, and enough fits.

`python -m benchmarks.compaction` prints the same figures by kind of work.
"""

import json
from collections import Counter
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
from benchmarks.compaction import END, Emitted, Summary, emitted
from benchmarks.rig.intents import MOST_PERMISSIONS, corpus
from tests.figures import Counted
from tests.property import iam_oracle as oracle

from remit_server.iam import (
    Allowed,
    Condition,
    Derived,
    Document,
    Naming,
    Policies,
    Request,
    ResourcePolicy,
    Statement,
    Witness,
    allows_of,
    compact,
    contains,
    derive,
    evaluate,
    without_end,
)
from remit_server.iam.containment.implication import excludes
from remit_server.iam.issuing.cells import DIRECT_CALL
from remit_server.iam.issuing.compaction import LIMIT

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "compaction.json").read_text())
ANYTHING = Document.parse({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
ANYTHING_FOR_THE_SESSION = (ResourcePolicy(ANYTHING, Naming.SESSION),)
IN_TIME = {"aws:CurrentTime": "2029-12-31T23:59:59Z"}


@cache
def everything() -> tuple[Emitted, ...]:
    return tuple(emitted(intent) for intent in corpus())


def is_equal(one: Document, other: Document) -> bool:
    return all(isinstance(contains(*pair), Witness) for pair in ((one, other), (other, one)))


def requests(intent: Document) -> list[Request]:
    """A call of each action on each resource, with and without what the conditions want, and on its neighbour."""
    actions = sorted({action.text for each in intent.statements for action in each.actions})
    resources = sorted({resource.text for each in intent.statements for resource in each.resources})
    conditions = sorted({one for each in intent.statements for one in each.conditions}, key=str)
    contexts = [{}, *(wanted(one) for one in conditions), *({**wanted(one), one.key: "other"} for one in conditions)]
    places = [text.replace("*", "x").replace("?", "y") for text in resources]
    places += [":".join((*place.split(":")[:5], "z" + place.split(":", 5)[5])) for place in places]
    asked = list(product(actions, places, contexts))
    return [Request(action, on, {**IN_TIME, **context}) for action, on, context in asked[:: 1 + len(asked) // 400]]


def wanted(condition: Condition) -> dict[str, str]:
    return {condition.key: condition.values[0].replace("*", "x")}


def allowed(policies: Policies, asked: list[Request]) -> list[bool]:
    return [isinstance(evaluate(policies, one), Allowed) for one in asked]


def test_the_corpus_is_the_committed_one() -> None:
    texts = "\n".join(intent.document.text for intent in corpus())

    assert sha256(texts.encode()).hexdigest() == GOLDEN["corpus_sha256"]
    assert {1, MOST_PERMISSIONS} <= {len(intent.document.statements) for intent in corpus()}


def test_no_fewer_intents_fit_than_are_committed_and_nothing_grows(counted: Counted) -> None:
    found = Summary.of(everything())

    counted("Session policies of the corpus", {"fit": found.fitting, "fit naively": found.fitting_naively})
    kept = Summary(**{**GOLDEN["summary"], "splits": tuple(map(tuple, GOLDEN["summary"]["splits"]))})
    assert found.fitting >= kept.fitting
    assert found.median_size_of_naive <= kept.median_size_of_naive
    assert sum(parts * count for parts, count in found.splits) <= sum(parts * count for parts, count in kept.splits)
    assert found.unsplit == 0
    assert asdict(found) == asdict(kept), (
        "better than committed: write the new figures into tests/golden/compaction.json"
    )


def test_what_is_emitted_fits_and_allows_what_was_asked_for_and_nothing_else_whoever_names_the_session() -> None:
    for one in everything():
        if one.derived is not None:
            asked = requests(one.intent.document)
            mine = allowed(Policies(identity=(one.derived.document,)), asked)
            when_named = allowed(Policies(session=one.derived.document, resource=ANYTHING_FOR_THE_SESSION), asked)
            assert one.derived.size == len(one.derived.text) <= LIMIT
            assert isinstance(contains(one.derived.document, one.intent.document), Witness)
            assert mine == allowed(Policies(identity=(one.intent.document,)), asked)
            assert one.derived.unguarded or when_named == mine
            assert {True, False} == set(mine)


def test_what_is_emitted_is_the_intent_for_the_slow_oracle_too_and_is_read_as_the_intent(counted: Counted) -> None:
    found: Counter[str] = Counter()

    for one in everything():
        if one.derived is not None:
            emitted_policy, intent = json.loads(one.derived.text), json.loads(one.intent.document.text)
            for asked in requests(one.intent.document)[::4]:
                context = {key: value if isinstance(value, tuple) else (value,) for key, value in asked.context.items()}
                views = oracle.concrete(context)
                wanted = oracle.allows(intent, asked.action, asked.resource, views)
                found["allowed" if wanted else "refused"] += 1
                assert oracle.allows(emitted_policy, asked.action, asked.resource, views) is wanted
            assert is_equal(allows_of(one.derived.document), one.intent.document)

    counted("Calls of the corpus asked of the slow oracle", found)


def test_what_is_emitted_takes_nothing_away_but_by_guards_of_direct_calls() -> None:
    """Guards of conditions are left out: containment knows of few keys that a Deny of the opposite spares them."""
    for one in everything():
        if one.derived is not None:
            kept = without_end(one.derived.document).statements
            taking_away = Document(tuple(each for each in kept if not is_spared(each, one.intent.document)))
            assert isinstance(contains(one.intent.document, taking_away), Witness)


def is_spared(statement: Statement, intent: Document) -> bool:
    """Says whether a Deny is a guard of direct calls, or excluded by the conditions of what it is about."""
    return DIRECT_CALL in statement.conditions or (
        bool(statement.conditions)
        and all(
            excludes(each.conditions, statement.conditions)
            for each in intent.statements
            if any(map(statement.touches_action, each.actions)) and any(map(statement.touches_resource, each.resources))
        )
    )


def test_every_compacted_intent_is_proven_equal() -> None:
    for one in everything():
        compacted = compact(one.intent.document)
        assert is_equal(compacted.document, one.intent.document), one.intent.document.text
        assert compacted.size <= len(one.intent.document.text)


def test_every_split_covers_exactly_and_each_part_fits(counted: Counted) -> None:
    split = [one for one in everything() if one.derived is None]

    counted("Splits of the corpus", {"intents split": len(split), "parts": sum(len(one.parts) for one in split)})
    for one in split:
        together = Document(tuple(statement for part in one.parts for statement in part.statements))
        assert len(one.parts) > 1
        assert is_equal(together, one.intent.document), one.intent.document.text
        for part in one.parts:
            derived = derive(part, [part], end=END)
            assert isinstance(derived, Derived)
            assert isinstance(contains(derived.document, part), Witness)


@pytest.mark.parametrize("count", [1, 50])
def test_an_intent_depends_on_nothing_but_its_number(count: int) -> None:
    assert corpus(count) == corpus()[:count]
