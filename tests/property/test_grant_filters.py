"""What a filter means: the database answers as Python does, for every filter, every caller and every page."""

import asyncio
import operator
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from tests.fakes import NOON, FakeClock
from tests.ledger_values import a_grant, a_task, grant_id, task_id

from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.reading.grant_shelf import DatabaseGrants, page_query
from remit_server.adapters.database.schema.rows import grant_row, issuance_row, task_row
from remit_server.adapters.database.schema.tables import grants, issuances, tasks
from remit_server.application.oversight.ports import Place
from remit_server.domain.administration import EVERYTHING, Scope, Visibility
from remit_server.domain.errors import InvalidRequest
from remit_server.domain.grant import Grant, GrantState, Issuance
from remit_server.domain.grant_filter.reading import filter_of
from remit_server.domain.grant_filter.terms import matches

# Values that are easily taken for others: by case, by what is within what, by what SQL and JSON make of them.
TEXTS = ["alice", "ALICE", "al", "alice' OR '1'='1", 'a"b', "a\\b", "%", "_", "größe", "", "a,b", "ẞ", "null"]
TIMES = [NOON + timedelta(hours=hour, microseconds=micro) for hour in (-1, 0, 1) for micro in (0, 1)]
STATES = list(GrantState)
EACH = 60


def grants_of_all_kinds() -> Iterator[Grant]:
    """Yields grants whose values meet in every combination that a filter could confuse."""
    for number in range(EACH):
        text = TEXTS[number % len(TEXTS)]
        other = TEXTS[(number * 7 + 3) % len(TEXTS)]
        issued = tuple(
            Issuance(f"ASIA{number + each}", "a" * 64, "b" * 64, NOON, NOON + timedelta(hours=1))
            for each in range(number % 3)
        )
        yield a_grant(
            number,
            number % 5,
            subject_id=text,
            subject_issuer=other,
            actor_id=TEXTS[(number * 5 + 1) % len(TEXTS)],
            state=STATES[number % len(STATES)],
            entitlements=(text, other) if number % 4 else (),
            break_glass=number % 2 == 0,
            issue_time=TIMES[number % len(TIMES)],
            expire_time=TIMES[(number * 3) % len(TIMES)],
            revoke_time=None if number % 3 else TIMES[(number // 3) % len(TIMES)],
            role_arn=f"arn:aws:iam::{number % 2}11122223333:role/reports",
            issuances=issued,
        )


ALL = {grant.grant_id: grant for grant in grants_of_all_kinds()}


@asynccontextmanager
async def shelf_of(folder: Path) -> AsyncIterator[DatabaseGrants]:
    async with open_ledger(folder / "remit.sqlite3", FakeClock()) as ledger:

        def fill(batch: Any) -> None:
            rows = [grant_row(grant) for grant in ALL.values()]
            given_issuances = [issuance_row(one.grant_id, each) for one in ALL.values() for each in one.issuances]
            batch.connection.execute(insert(tasks), [task_row(a_task(number)) for number in range(5)])
            batch.connection.execute(insert(grants), [row | {"state_time": NOON} for row in rows])
            batch.connection.execute(insert(issuances), given_issuances)

        await ledger.store.commit(fill)
        yield DatabaseGrants(ledger.store)


@dataclass(frozen=True)
class OpenShelf:
    """One shelf that stays open for all examples, on a loop of its own."""

    shelf: DatabaseGrants
    runner: asyncio.Runner

    def all_pages(self, text: str, visibility: Visibility, size: int) -> list[Grant]:
        found: list[Grant] = []
        after = None
        while page := self.runner.run(self.shelf.page(filter_of(text), visibility, at_most=size, after=after)):
            found += page
            after = Place(page[-1].issue_time, page[-1].grant_id)
        return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenShelf]:
    holding = shelf_of(tmp_path_factory.mktemp("shelf"))
    with asyncio.Runner() as runner:
        yield OpenShelf(runner.run(holding.__aenter__()), runner)
        runner.run(holding.__aexit__(None, None, None))


# --- An oracle of its own: filters as text with the Python that they mean, put together side by side -----------------


def quoted(text: str) -> str:
    escaped = "".join(f"\\{one}" if one in "\"'\\*" else one for one in text)
    return f'"{escaped}"'


FIELDS = {
    "subject.id": lambda grant: grant.subject_id,
    "subject.issuer": lambda grant: grant.subject_issuer,
    "actor": lambda grant: grant.actor_id,
}
ORDERS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def compared(left: Any, sign: str, right: Any) -> bool:
    return sign == "!=" if left is None else bool(ORDERS[sign](left, right))


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, Any]:  # noqa: PLR0911 - one for each kind
    kind = draw(st.sampled_from(["text", "state", "flag", "time", "key", "entitlement", "set"]))
    same = draw(st.sampled_from(["=", "!="]))
    text = draw(st.sampled_from(TEXTS))
    if kind == "text":
        field = draw(st.sampled_from(sorted(FIELDS)))
        return f"{field} {same} {quoted(text)}", lambda grant: compared(FIELDS[field](grant), same, text)
    if kind == "state":
        state = draw(st.sampled_from(STATES))
        return f"state {same} {state}", lambda grant: compared(grant.state.value, same, state.value)
    if kind == "flag":
        flag = draw(st.booleans())
        return f"break_glass {same} {str(flag).lower()}", lambda grant: compared(grant.break_glass, same, flag)
    if kind == "time":
        field = draw(st.sampled_from(["issue_time", "expire_time", "revoke_time"]))
        sign = draw(st.sampled_from(sorted(ORDERS)))
        time: datetime = draw(st.sampled_from(TIMES))
        return f"{field} {sign} {time.isoformat()}", lambda grant: compared(getattr(grant, field), sign, time)
    if kind == "key":
        key = f"ASIA{draw(st.integers(0, EACH + 2))}"
        return f"access_key_id = {key}", lambda grant: key in [one.access_key_id for one in grant.issuances]
    if kind == "entitlement":
        return f"entitlements:{quoted(text)}", lambda grant: text in grant.entitlements
    return "revoke_time:*", lambda grant: grant.revoke_time is not None


def joined(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        inner.map(lambda one: (f"NOT ({one[0]})", lambda grant: not one[1](grant))),
        several.map(
            lambda all_: (
                " AND ".join(f"({text})" for text, _ in all_),
                lambda grant: all(holds(grant) for _, holds in all_),
            )
        ),
        several.map(
            lambda any_: (
                " OR ".join(f"({text})" for text, _ in any_),
                lambda grant: any(holds(grant) for _, holds in any_),
            )
        ),
    )


filters = st.recursive(comparisons(), joined, max_leaves=5)
scopes = st.builds(
    Scope,
    accounts=st.frozensets(st.sampled_from(["011122223333", "111122223333", "9"]), max_size=2),
    actors=st.frozensets(st.sampled_from(TEXTS), max_size=3),
    subject_issuers=st.frozensets(st.sampled_from(TEXTS), max_size=3),
)
visibilities = st.one_of(
    st.just(EVERYTHING),
    st.just(Visibility()),
    st.builds(
        Visibility,
        own=st.one_of(st.none(), st.tuples(st.sampled_from(TEXTS), st.sampled_from(TEXTS))),
        scopes=st.lists(scopes, max_size=2).map(tuple),
    ),
)


def seen(visibility: Visibility, grant: Grant) -> bool:
    """Says by rules of its own whether a caller sees a grant."""
    if visibility.everything or visibility.own == (grant.subject_issuer, grant.subject_id):
        return True
    return any(
        (not scope.accounts or grant.role_arn.split(":")[4] in scope.accounts)
        and (not scope.actors or grant.actor_id in scope.actors)
        and (not scope.subject_issuers or grant.subject_issuer in scope.subject_issuers)
        for scope in visibility.scopes
    )


@given(filters, visibilities, st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_every_page_holds_what_python_says_in_order(
    opened: OpenShelf, filter_: tuple[str, Any], visibility: Visibility, size: int
) -> None:
    text, holds = filter_
    wanted = [grant for grant in ALL.values() if holds(grant) and seen(visibility, grant)]
    expected = sorted(wanted, key=lambda grant: (grant.issue_time, grant.grant_id), reverse=True)

    found = opened.all_pages(text, visibility, size)

    assert found == expected, text
    parsed = filter_of(text)
    assert parsed is not None
    for grant in ALL.values():
        assert matches(parsed, grant) == holds(grant), text
        assert visibility.covers(grant) == seen(visibility, grant)


@given(st.text(max_size=60))
@settings(max_examples=1500, deadline=None)
def test_any_text_is_a_filter_or_a_mistake_with_its_place(text: str) -> None:
    with suppress(InvalidRequest) as told:
        filter_of(text)

    assert told is None  # and nothing else was raised


VALUE = "m4rk3r' OR 1=1 --"


def test_what_a_caller_writes_is_bound_and_never_part_of_a_statement() -> None:
    text = f"subject.id = {quoted(VALUE)} AND entitlements:{quoted(VALUE)} AND access_key_id:{quoted(VALUE)}"
    scope = Scope(actors=frozenset({VALUE}))

    query = page_query(filter_of(text), Visibility(scopes=(scope,)), at_most=5, after=Place(NOON, VALUE))

    assert "m4rk3r" not in str(query)
    assert "m4rk3r" in str(query.compile().params)


async def test_one_grant_and_a_tasks_grants_are_read_with_their_keys(tmp_path: Path) -> None:
    async with shelf_of(tmp_path) as shelf:
        assert await shelf.grant(grant_id(7)) == ALL[grant_id(7)]
        assert await shelf.grant("nothing") is None
        of_task = await shelf.of_task(task_id(3), 100)

        assert {grant.grant_id for grant in of_task} == {
            one.grant_id for one in ALL.values() if one.task_id == task_id(3)
        }
