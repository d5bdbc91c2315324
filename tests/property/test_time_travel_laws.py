"""Whatever was decided comes out again from what was recorded, byte for byte: on both databases, by both engines."""

import asyncio
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.databases import Place
from tests.opa_server import opa_server
from tests.recorded_world import INTENTS, PEOPLE, Recorded, again, default_bundle, recorded

from remit_server.adapters.opa.engine import OpaLimits, OpaServer
from remit_server.adapters.opa.nonce import new_nonce
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.application.policy.deciding.time_travel import Again, Verdict

NOT_ASKED = "policy was not asked: it was refused before"
PATIENT = EngineLimits(spares=0, decision_seconds=10.0)
ASKS = st.fixed_dictionaries(
    {
        "user": st.sampled_from(sorted(PEOPLE)),
        "intent": st.sampled_from(sorted(INTENTS)),
        "seconds": st.none() | st.integers(15, 5000),
        "narrow": st.booleans(),
        "emergency": st.booleans(),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), ASKS),
        st.tuples(st.just("preview"), ASKS),
        st.tuples(st.just("renew"), st.integers(0, 9)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 4000)),
    ),
    min_size=3,
    max_size=12,
)


async def lived(house: Recorded, steps: list[Any]) -> None:
    """Does the steps, one after the other."""
    for what, how in steps:
        match what:
            case "issue" | "preview":
                more: dict[str, Any] = {"narrow": how["narrow"]}
                if how["seconds"] is not None:
                    more["requested_duration"] = timedelta(seconds=how["seconds"])
                if what == "preview":
                    await house.previews(how["user"], how["intent"], **more)
                else:
                    labels = {"emergency": "declared"} if how["emergency"] else None
                    await house.issues(how["user"], how["intent"], labels=labels, **more)
            case "renew":
                await house.renews(how, narrow=how % 2 == 0)
            case "end":
                await house.ends(how)
            case _:
                house.waits(how)


async def everything(house: Recorded) -> None:
    """Has one of everything that can be decided: each intent for each user, renewals, ends, people's yes."""
    for user in PEOPLE:
        for intent in INTENTS:
            await house.issues(user, intent)
            await house.previews(user, intent)
        house.waits(7)
        await house.issues(user, "too much", narrow=True)
    await house.issues("alice", "publishes", labels={"emergency": "declared"})
    first = house.grants[0]
    await house.issues("alice", "reads", task_id=first.task_id)
    house.waits(61)
    for place in range(len(house.grants)):
        await house.renews(place, narrow=place % 2 == 0)
    await house.ends(0)
    await house.renews(0)
    await house.issues("alice", "reads", task_id=first.task_id)


def differing(found: tuple[Again, ...]) -> list[Again]:
    return [one for one in found if one.verdict is Verdict.DIFFERS]


@settings(max_examples=6, deadline=None)
@given(steps=STEPS)
def test_every_decision_of_a_history_is_decided_again_to_the_same_bytes(steps: list[Any]) -> None:
    async def history(place: Path) -> None:
        engine = await EmbeddedRego.start(default_bundle()[0], PATIENT)
        try:
            async with recorded(place, engine) as house:
                await lived(house, steps)
        finally:
            await engine.close()

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "remit.sqlite3"
        asyncio.run(history(place))

        found = again(place)

        assert differing(found) == []
        assert {one.lacking for one in found} <= {(), (NOT_ASKED,)}


def test_each_kind_of_decision_is_the_same_again_on_both_databases(place: Place) -> None:
    async def history() -> None:
        engine = await EmbeddedRego.start(default_bundle()[0], PATIENT)
        try:
            async with recorded(place, engine) as house:
                await everything(house)
        finally:
            await engine.close()

    asyncio.run(history())

    found = again(place)

    same = Counter(one.kind for one in found if one.verdict is Verdict.SAME)
    assert differing(found) == []
    assert same.keys() == {
        "grant_authorized",
        "renewal_authorized",
        "approval_asked",
        "request_refused",
        "preview_decided",
    }
    assert {why for one in found for why in one.lacking} == {NOT_ASKED}


def test_what_the_real_opa_decided_the_embedded_engine_decides_the_same(tmp_path: Path) -> None:
    place = tmp_path / "remit.sqlite3"

    async def history() -> None:
        with opa_server(tmp_path / "opa") as opa:
            limits = OpaLimits(decision_seconds=10.0)
            engine = await OpaServer.start(default_bundle()[0], opa.settings(), limits, nonce=new_nonce())
            try:
                async with recorded(place, engine) as house:
                    await everything(house)
            finally:
                await engine.close()

    asyncio.run(history())

    found = again(place)

    assert differing(found) == []
    assert sum(one.verdict is Verdict.SAME for one in found) > 50
