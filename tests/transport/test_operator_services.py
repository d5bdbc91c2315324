"""GrantService and AuditService over the wire: who sees what, what is not there, what goes on where."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.operator_world import ISSUER, SEES_ALL, SEES_OWN, sees
from tests.transport.gateway_server import as_agent, failure_of
from tests.transport.operator_server import Overseen, as_operator, overseen

from remit.v1 import audit_service_pb2 as audit
from remit.v1 import grant_service_pb2 as grants
from remit.v1 import types_pb2
from remit.v1.credential_service_pb2 import EndTaskRequest
from remit_server.application.oversight.known_names import KnownNames
from remit_server.application.oversight.paging import list_digest, token_of
from remit_server.application.oversight.ports import Place
from remit_server.domain.audit import ChainIntact
from remit_server.domain.errors import FieldViolation, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.operator_calls import watch_events
from remit_server.transport.grpc.operator_client import CallFailed, Connection, OperatorClient

NAMED = types_pb2.Subject(issuer=ISSUER, id="alice")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Overseen]:
    async with overseen(tmp_path, administrators=frozenset({"corp:sam"})) as served:
        served.world.operator("olga", SEES_ALL)
        served.world.operator("alice", SEES_OWN)
        served.world.operator("eve")
        served.world.operator("sam")
        yield served


async def issued(house: Overseen, user: str = "alice", **more: Any) -> Grant:
    """Has credentials issued to the copilot for a user, and returns their grant."""
    inner = house.world.inner
    if f"{user}@copilot" not in inner.identity.subjects:
        inner.user(user, inner.copilot)
    return (await inner.issue(inner.request(user=user, **more))).grant


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, str]:
    """Returns code, reason and message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    failure = failure_of(raised.value)
    return failure.code, failure.info.reason, failure.message


async def calls(house: Overseen) -> list[tuple[str, str, bool, str]]:
    """Returns the recorded calls of operators: who, what, allowed, why not."""
    records = [
        json.loads(event.body_text) for event in await house.world.inner.events() if event.kind == "operator_called"
    ]
    return [(one["caller_id"], one["method"].partition(".")[2], one["allowed"], one["reason"]) for one in records]


async def listed(house: Overseen, who: str, filter_: str = "", **more: Any) -> list[str]:
    request = grants.ListGrantsRequest(filter=filter_, **more)
    return [grant.name for grant in (await house.grants.ListGrants(request, metadata=as_operator(who))).grants]


# --- who sees what ---------------------------------------------------------------------------------------------------


async def test_a_grant_is_shown_whole(house: Overseen) -> None:
    grant = await issued(house)

    answer = await house.grants.GetGrant(grants.GetGrantRequest(name=grant.name), metadata=as_operator("olga"))

    assert (answer.grant.name, answer.grant.subject.id) == (grant.name, "alice")
    assert answer.grant.session_policy == grant.session_policy
    assert answer.grant.issuances[0].access_key_id.startswith("ASIA")
    assert await calls(house) == [("olga", "GetGrant", True, "")]


async def test_what_one_may_not_see_is_not_there_and_sounds_alike(house: Overseen) -> None:
    of_bob = await issued(house, "bob")
    missing = f"tasks/{'a' * 26}/grants/{'b' * 26}"
    elsewhere = f"tasks/{'a' * 26}/grants/{of_bob.grant_id}"

    answers = [
        await refused(house.grants.GetGrant(grants.GetGrantRequest(name=name), metadata=as_operator("alice")))
        for name in (of_bob.name, missing, elsewhere)
    ]

    assert {answer[:2] for answer in answers} == {(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")}
    assert len({answer[2] for answer in answers}) == 1
    assert await calls(house) == [("alice", "GetGrant", False, "NOT_FOUND")] * 3


async def test_a_list_holds_what_one_may_see(house: Overseen) -> None:
    of_alice, of_bob = await issued(house), await issued(house, "bob")
    house.world.operator("data", sees(accounts=frozenset({"999999999999"})))
    house.world.operator("reports", sees(actors=frozenset({"corp:copilot"}), accounts=frozenset({"111122223333"})))

    assert set(await listed(house, "olga")) == {of_alice.name, of_bob.name}
    assert await listed(house, "alice") == [of_alice.name]
    assert await listed(house, "data") == []
    assert set(await listed(house, "reports")) == {of_alice.name, of_bob.name}


async def test_a_filter_never_widens_what_one_sees(house: Overseen) -> None:
    of_bob = await issued(house, "bob")

    for filter_ in (
        'subject.id = "bob"',
        'NOT subject.id = "alice"',
        'subject.id = "alice" OR subject.id = "bob"',
        f"task_id = {of_bob.task_id}",
    ):
        assert await listed(house, "alice", filter_) == [], filter_


async def test_a_filter_that_cannot_be_read_is_told_with_its_place_and_on_record(house: Overseen) -> None:
    code, reason, message = await refused(
        house.grants.ListGrants(grants.ListGrantsRequest(filter="state = LIVE"), metadata=as_operator("olga"))
    )

    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert message.startswith("filter: character 9: expected a state of PENDING_APPROVAL")
    assert await calls(house) == [("olga", "ListGrants", False, "INVALID_REQUEST")]


async def test_nobody_else_may(house: Overseen) -> None:
    code, reason, message = await refused(
        house.grants.ListGrants(grants.ListGrantsRequest(), metadata=as_operator("eve"))
    )

    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_AUTHORIZED")
    assert "No right in the catalogue" in message
    assert await calls(house) == [("eve", "ListGrants", False, "not_an_administrator")]


# --- pages -----------------------------------------------------------------------------------------------------------


async def test_pages_follow_each_other_without_gap_or_repeat(house: Overseen) -> None:
    names = []
    for _ in range(5):
        names.append((await issued(house)).name)
        house.world.inner.clock.advance(seconds=1)
    found: list[str] = []
    token = ""
    for _ in range(3):
        request = grants.ListGrantsRequest(page_size=2, page_token=token, filter="state = ISSUED")
        page = await house.grants.ListGrants(request, metadata=as_operator("olga"))
        found += [grant.name for grant in page.grants]
        token = page.next_page_token

    assert found == names[::-1]
    assert token == ""


async def test_a_page_token_of_another_list_or_caller_is_refused_and_a_forged_one_shows_nothing_more(
    house: Overseen,
) -> None:
    of_bob = await issued(house, "bob")
    house.world.inner.clock.advance(seconds=1)
    await issued(house)
    await issued(house)
    request = grants.ListGrantsRequest(page_size=1)
    olgas = (await house.grants.ListGrants(request, metadata=as_operator("olga"))).next_page_token
    forged = token_of(Place(of_bob.issue_time + timedelta(hours=1), "z" * 26), "0" * 32)

    async def page(who: str, token: str, filter_: str = "") -> tuple[grpc.StatusCode, str, str]:
        asked = grants.ListGrantsRequest(page_size=1, page_token=token, filter=filter_)
        return await refused(house.grants.ListGrants(asked, metadata=as_operator(who)))

    for who, token, filter_ in (
        ("alice", olgas, ""),
        ("olga", olgas, "state = ISSUED"),
        ("olga", olgas[:-2], ""),
        ("olga", olgas + "A", ""),
        ("olga", "A" * 512, ""),
        ("olga", "!", ""),
        ("alice", forged, ""),
    ):
        code, reason, message = await page(who, token, filter_)
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert message.startswith("page_token: is not of this list")


# --- revoking --------------------------------------------------------------------------------------------------------


async def revoked(house: Overseen, who: str, block: bool = False, **target: Any) -> grants.RevokeGrantsResponse:
    request = grants.RevokeGrantsRequest(target=grants.RevokeTarget(**target), why="stolen laptop", block=block)
    return await house.grants.RevokeGrants(request, metadata=as_operator(who))


async def test_a_grant_is_revoked_by_name_and_says_by_whom_and_why(house: Overseen) -> None:
    grant = await issued(house)

    answer = await revoked(house, "olga", grant=grant.name)

    assert (answer.grant_count, list(answer.grants)) == (1, [grant.name])
    shown = await house.grants.GetGrant(grants.GetGrantRequest(name=grant.name), metadata=as_operator("olga"))
    assert shown.grant.HasField("revoke_time")
    (record,) = [json.loads(one.body_text) for one in await house.world.inner.events() if one.kind == "grants_revoked"]
    assert (record["by"], record["why"], record["cause"]) == ("corp:olga", "stolen laptop", "REQUESTED")


async def test_what_is_on_record_before_the_revoke_says_what_it_was_aimed_at(house: Overseen) -> None:
    await issued(house)
    await revoked(house, "olga", subject=NAMED)

    kinds = await house.world.inner.trail()
    assert kinds.index("operator_called") < kinds.index("grants_revoked")
    (called,) = [json.loads(one.body_text) for one in await house.world.inner.events() if one.kind == "operator_called"]
    assert called["about"] == f"subject alice of {ISSUER}: stolen laptop"


async def test_one_may_end_ones_own_and_nobody_elses(house: Overseen) -> None:
    own, of_bob = await issued(house), await issued(house, "bob")
    bob = types_pb2.Subject(issuer=ISSUER, id="bob")

    assert (await revoked(house, "alice", grant=own.name)).grant_count == 1
    assert (await revoked(house, "alice", subject=NAMED)).grant_count == 0
    assert (await refused(revoked(house, "alice", grant=of_bob.name)))[1] == "NOT_FOUND"
    assert (await refused(revoked(house, "alice", task_id=of_bob.task_id)))[1] == "NOT_FOUND"
    for target in ({"subject": bob}, {"actor": "corp:copilot"}, {"policy_revision": "5" * 64}):
        assert (await refused(revoked(house, "alice", **target)))[1] == "NOT_AUTHORIZED"
    assert (await refused(revoked(house, "alice", block=True, subject=NAMED)))[1] == "NOT_AUTHORIZED"
    assert "grants_revoked" not in (await house.world.inner.trail())[-6:]


async def test_a_task_of_ones_own_is_ended(house: Overseen) -> None:
    grant = await issued(house)

    assert (await revoked(house, "alice", task_id=grant.task_id)).grant_count == 1
    assert (await refused(revoked(house, "alice", task_id="a" * 26)))[1] == "NOT_FOUND"


async def test_a_task_of_which_one_sees_only_a_part_is_not_ended(house: Overseen) -> None:
    inner = house.world.inner
    first = await issued(house)
    house.world.operator("reports", sees(roles=frozenset({first.role_arn})))

    assert (await revoked(house, "reports", task_id=first.task_id)).grant_count == 1
    house.world.operator("nothing", sees(roles=frozenset({"arn:aws:iam::111122223333:role/other"})))
    second = await issued(house)
    assert (await refused(revoked(house, "nothing", task_id=second.task_id)))[1] == "NOT_FOUND"
    assert inner is house.world.inner


async def test_a_revoke_that_matches_nothing_says_so(house: Overseen) -> None:
    answer = await revoked(house, "olga", actor="corp:nobody")

    assert (answer.grant_count, list(answer.grants), answer.HasField("credentials_until")) == (0, [], False)
    assert (await refused(revoked(house, "olga", grant=f"tasks/{'a' * 26}/grants/{'b' * 26}")))[1] == "NOT_FOUND"


async def test_a_slow_list_of_somebody_elses_keeps_no_revoke_waiting(house: Overseen) -> None:
    grant = await issued(house)
    over = threading.Event()
    slow = [asyncio.create_task(house.reads.read(lambda _: over.wait(30))) for _ in range(4)]
    await asyncio.sleep(0)

    answer = await revoked(house, "olga", grant=grant.name)
    under_way = [task.done() for task in slow]
    over.set()
    await asyncio.gather(*slow)

    assert (answer.grant_count, under_way) == (1, [False] * 4)


@pytest.mark.parametrize(
    "request_",
    [
        grants.RevokeGrantsRequest(why="x"),
        grants.RevokeGrantsRequest(target=grants.RevokeTarget(actor="corp:copilot")),
        grants.RevokeGrantsRequest(target=grants.RevokeTarget(actor="corp:copilot"), why="  "),
        grants.RevokeGrantsRequest(target=grants.RevokeTarget(grant="tasks/*/grants/*"), why="x"),
        grants.RevokeGrantsRequest(target=grants.RevokeTarget(task_id="*"), why="x"),
        grants.RevokeGrantsRequest(target=grants.RevokeTarget(policy_revision="%"), why="x"),
        grants.RevokeGrantsRequest(target=grants.RevokeTarget(subject=types_pb2.Subject(id="alice")), why="x"),
        grants.RevokeGrantsRequest(
            target=grants.RevokeTarget(grant=f"tasks/{'a' * 26}/grants/{'b' * 26}"), block=True, why="x"
        ),
    ],
    ids=["nothing", "no-why", "blank-why", "star-grant", "star-task", "percent", "no-issuer", "block-of-a-grant"],
)
async def test_a_revoke_that_is_not_exactly_one_thing_is_refused(
    house: Overseen, request_: grants.RevokeGrantsRequest
) -> None:
    code, reason, _ = await refused(house.grants.RevokeGrants(request_, metadata=as_operator("olga")))

    assert (code, reason) in {
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),  # of a grant that is not there, whatever else is wrong
    }


@pytest.mark.parametrize("wild", ["corp:*", "corp:copilo_", "corp:copilot' OR '1'='1"])
async def test_wildcards_revoke_nobody(house: Overseen, wild: str) -> None:
    await issued(house)

    assert (await revoked(house, "olga", actor=wild)).grant_count == 0


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"actor": "copilot"}, "target.actor: .*did you mean spiffe://acme.example/copilot"),
        ({"actor": "spiffe://acne.example/copilot"}, "target.actor: no agent can have this name: .*acme.example/"),
        ({"actor": "spiffe://acme.example"}, "target.actor: "),
        ({"actor": "corp:"}, "target.actor: "),
        ({"actor": "other:copilot"}, "target.actor: .*corp:"),
        ({"actor": "*"}, "target.actor: "),
        ({"actor": "%"}, "target.actor: "),
        (
            {"subject": types_pb2.Subject(issuer="https://nope", id="alice")},
            f"target.subject.issuer: no .* entry has it; there are {ISSUER}",
        ),
    ],
)
@pytest.mark.parametrize("block", [False, True])
async def test_a_revoke_of_a_name_that_nobody_can_have_is_refused(
    house: Overseen, target: dict[str, Any], told: str, block: bool
) -> None:
    await issued(house)

    code, reason, message = await refused(revoked(house, "olga", block=block, **target))

    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert re.match(told, message)
    assert (await calls(house))[-1][2:] == (False, "INVALID_REQUEST")
    assert not (await house.grants.ListBlocks(grants.ListBlocksRequest(), metadata=as_operator("olga"))).blocks


@pytest.mark.parametrize(
    "target",
    [
        {"actor": "spiffe://acme.example/copilot"},
        {"actor": "spiffe://acme.example/new"},
        {"actor": "corp:new"},
        {"subject": types_pb2.Subject(issuer=ISSUER, id="not-seen-yet")},
        {"subject": types_pb2.Subject(issuer="spiffe://acme.example", id="spiffe://acme.example/new")},
    ],
)
async def test_a_name_that_somebody_may_have_is_blocked_in_advance(house: Overseen, target: dict[str, Any]) -> None:
    await revoked(house, "olga", block=True, **target)

    (block,) = (await house.grants.ListBlocks(grants.ListBlocksRequest(), metadata=as_operator("olga"))).blocks
    assert block.target == grants.RevokeTarget(**target)


async def test_what_was_issued_before_its_agent_left_the_configuration_is_revoked(
    house: Overseen, monkeypatch: pytest.MonkeyPatch
) -> None:
    await issued(house)
    monkeypatch.setattr(KnownNames, "mistake", lambda *_: FieldViolation("target.actor", "is of no configured agent"))

    assert (await revoked(house, "olga", actor="corp:copilot")).grant_count == 1
    assert (await refused(revoked(house, "olga", actor="corp:copilo")))[1] == "INVALID_REQUEST"


async def test_blocks_are_listed_and_lifted_by_who_sees_everything(house: Overseen) -> None:
    await revoked(house, "olga", block=True, subject=types_pb2.Subject(issuer=ISSUER, id="bob"))
    await revoked(house, "olga", block=True, actor="corp:rogue")
    pages: list[grants.Block] = []
    token = ""
    for _ in range(2):
        request = grants.ListBlocksRequest(page_size=1, page_token=token)
        page = await house.grants.ListBlocks(request, metadata=as_operator("olga"))
        pages += page.blocks
        token = page.next_page_token

    assert token == ""
    assert {block.target.WhichOneof("target") for block in pages} == {"subject", "actor"}
    assert {block.by for block in pages} == {"corp:olga"}
    lift = grants.RemoveBlockRequest(name=pages[0].name, why="found it")
    assert (await refused(house.grants.RemoveBlock(lift, metadata=as_operator("alice"))))[1] == "NOT_AUTHORIZED"
    first = await house.grants.RemoveBlock(lift, metadata=as_operator("olga"))
    assert first == await house.grants.RemoveBlock(lift, metadata=as_operator("olga"))
    left = await house.grants.ListBlocks(grants.ListBlocksRequest(), metadata=as_operator("sam"))
    assert [block.name for block in left.blocks] == [pages[1].name]
    unknown = grants.RemoveBlockRequest(name=f"blocks/{'a' * 26}", why="x")
    assert (await refused(house.grants.RemoveBlock(unknown, metadata=as_operator("olga"))))[1] == "NOT_FOUND"


async def test_an_administrator_revokes_whatever_the_policy_says(house: Overseen) -> None:
    grant = await issued(house)

    assert (await revoked(house, "sam", grant=grant.name)).grant_count == 1
    assert (await refused(house.grants.ListGrants(grants.ListGrantsRequest(), metadata=as_operator("sam"))))[1] == (
        "NOT_AUTHORIZED"
    )
    assert ("sam", "RevokeGrants", True, "ADMINISTRATOR") in await calls(house)


@pytest.mark.parametrize("broken", [False, True])
async def test_an_administrator_lifts_what_blocks_the_way_back_and_no_other_block(
    house: Overseen, *, broken: bool
) -> None:
    await revoked(house, "olga", block=True, policy_revision="a" * 64)
    await revoked(house, "olga", block=True, actor="corp:rogue")
    if broken:
        house.world.policy.answers["sam"] = RuntimeError("the revision that had the one before blocked")
    listed = await house.grants.ListBlocks(grants.ListBlocksRequest(), metadata=as_operator("sam"))
    named = {block.target.WhichOneof("target"): block.name for block in listed.blocks}
    revision, agent = (
        grants.RemoveBlockRequest(name=named[kind], why="go back") for kind in ("policy_revision", "actor")
    )

    of_agent = await refused(house.grants.RemoveBlock(agent, metadata=as_operator("sam")))
    by_alice = await refused(house.grants.RemoveBlock(revision, metadata=as_operator("alice")))
    await house.grants.RemoveBlock(revision, metadata=as_operator("sam"))

    left = await house.grants.ListBlocks(grants.ListBlocksRequest(), metadata=as_operator("sam"))
    assert of_agent[1] == ("INTERNAL" if broken else "NOT_AUTHORIZED")
    assert by_alice[1] == "NOT_AUTHORIZED"
    assert [block.name for block in left.blocks] == [agent.name]
    assert [call for call in await calls(house) if call[:3] == ("sam", "RemoveBlock", True)] == [
        ("sam", "RemoveBlock", True, "ADMINISTRATOR")
    ]


async def test_a_blocked_operator_is_out_at_the_next_call(house: Overseen) -> None:
    await revoked(house, "olga", block=True, subject=types_pb2.Subject(issuer=ISSUER, id="alice"))

    code, reason, _ = await refused(house.grants.ListGrants(grants.ListGrantsRequest(), metadata=as_operator("alice")))

    assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "ACTOR_REJECTED")


# --- streams ---------------------------------------------------------------------------------------------------------


async def test_grants_are_watched_as_they_change_and_only_those_one_sees(house: Overseen) -> None:
    stream = house.grants.WatchGrants(
        grants.WatchGrantsRequest(filter="break_glass = false"), metadata=as_operator("alice")
    )
    while ("alice", "WatchGrants", True, "") not in await calls(house):  # noqa: ASYNC110 - the record is the event
        await asyncio.sleep(0.01)
    await issued(house, "bob")
    own = await issued(house)
    first = await anext(aiter(stream))
    await revoked(house, "olga", grant=own.name)
    second = await anext(aiter(stream))
    stream.cancel()

    assert [first.grant.name, second.grant.name] == [own.name, own.name]
    assert first.grant.state == types_pb2.GRANT_STATE_ISSUED
    assert second.grant.HasField("revoke_time")
    assert first.sequence < second.sequence


async def test_events_are_watched_from_a_place_on_without_a_gap(house: Overseen) -> None:
    await issued(house)
    stream = house.audit.WatchEvents(audit.WatchEventsRequest(from_sequence=2), metadata=as_operator("olga"))
    received = aiter(stream)
    seen = [(await anext(received)).event for _ in range(3)]
    await issued(house)
    seen += [(await anext(received)).event for _ in range(3)]
    stream.cancel()

    assert [event.sequence for event in seen] == list(range(2, 8))
    assert all(later.previous_hash == earlier.event_hash for earlier, later in pairwise(seen))


async def test_the_commands_open_a_stream_that_ended_again_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remit_server.transport.grpc.operator_calls.PAUSE", 0.01)
    async with overseen(tmp_path, stream_age=timedelta(milliseconds=300)) as house:
        house.world.operator("olga", SEES_ALL)

        def followed() -> list[int]:
            connection = Connection(house.address, house.ca_file, token=lambda: Secret("ops-olga"))
            with OperatorClient(connection) as client:
                return [event.sequence for event in islice(watch_events(client, 1), 12)]

        following = asyncio.create_task(asyncio.to_thread(followed))
        while not following.done():
            await issued(house)
            await asyncio.sleep(0.2)

        assert await following == list(range(1, 13))
        opened = [call for call in await calls(house) if call[1] == "WatchEvents"]
        assert len(opened) > 1


async def test_a_stream_that_is_refused_is_not_opened_again(house: Overseen) -> None:
    def followed() -> None:
        connection = Connection(house.address, house.ca_file, token=lambda: Secret("ops-eve"))
        with OperatorClient(connection) as client:
            next(watch_events(client, 1))

    with pytest.raises(CallFailed) as failed:
        await asyncio.to_thread(followed)

    assert (failed.value.reason, failed.value.is_no, failed.value.is_over) == ("NOT_AUTHORIZED", True, False)
    assert len(await calls(house)) == 1


async def test_events_are_listed_by_task_and_kind_page_by_page(house: Overseen) -> None:
    grant = await issued(house)
    await issued(house)

    async def page(token: str = "", **wanted: Any) -> audit.ListEventsResponse:
        request = audit.ListEventsRequest(page_size=2, page_token=token, **wanted)
        return await house.audit.ListEvents(request, metadata=as_operator("olga"))

    of_task = await page(task_id=grant.task_id)
    rest = await page(of_task.next_page_token, task_id=grant.task_id)
    of_kind = await page(kind="credentials_issued")

    assert [one.kind for one in [*of_task.events, *rest.events]] == [
        "credentials_issued",
        "grant_authorized",
        "task_started",
    ]
    assert rest.next_page_token == ""
    assert [one.kind for one in of_kind.events] == ["credentials_issued"] * 2


@pytest.mark.parametrize("key", ["9" * 26, "abc", "9223372036854775808"])
async def test_a_forged_place_in_the_trail_is_refused(house: Overseen, key: str) -> None:
    digest = list_digest("corp:olga", "AuditService.ListEvents", "", "")
    forged = token_of(Place(datetime.fromtimestamp(0, UTC), key), digest)
    request = audit.ListEventsRequest(page_token=forged)

    code, reason, _ = await refused(house.audit.ListEvents(request, metadata=as_operator("olga")))

    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_the_audit_trail_is_for_those_who_see_everything(house: Overseen) -> None:
    metadata = as_operator("alice")

    assert (await refused(house.audit.ListEvents(audit.ListEventsRequest(), metadata=metadata)))[1] == "NOT_AUTHORIZED"
    assert (await refused(house.audit.VerifyChain(audit.VerifyChainRequest(), metadata=metadata)))[1] == (
        "NOT_AUTHORIZED"
    )
    stream = house.audit.WatchEvents(audit.WatchEventsRequest(), metadata=metadata)
    assert (await refused(anext(aiter(stream))))[1] == "NOT_AUTHORIZED"


async def test_the_chain_is_verified_once_at_a_time(house: Overseen) -> None:
    await issued(house)
    await house.see_audit._verifying.acquire()
    busy = await refused(house.audit.VerifyChain(audit.VerifyChainRequest(), metadata=as_operator("olga")))
    house.see_audit._verifying.release()

    verdict = await house.audit.VerifyChain(audit.VerifyChainRequest(), metadata=as_operator("sam"))

    assert busy[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert verdict.intact
    assert verdict.count >= 4
    again = await house.see_audit.trail.verify()
    assert isinstance(again, ChainIntact)


# --- who is not an operator ------------------------------------------------------------------------------------------

EVERY_CALL: list[tuple[str, str, Any]] = [
    ("grants", "GetGrant", grants.GetGrantRequest(name=f"tasks/{'a' * 26}/grants/{'b' * 26}")),
    ("grants", "ListGrants", grants.ListGrantsRequest()),
    ("grants", "RevokeGrants", grants.RevokeGrantsRequest(target=grants.RevokeTarget(task_id="a" * 26), why="x")),
    ("grants", "ListBlocks", grants.ListBlocksRequest()),
    ("grants", "RemoveBlock", grants.RemoveBlockRequest(name=f"blocks/{'a' * 26}", why="x")),
    ("grants", "WatchGrants", grants.WatchGrantsRequest()),
    ("audit", "ListEvents", audit.ListEventsRequest()),
    ("audit", "WatchEvents", audit.WatchEventsRequest()),
    ("audit", "VerifyChain", audit.VerifyChainRequest()),
]


@pytest.mark.parametrize(("service", "method", "request_"), EVERY_CALL, ids=[method for _, method, _ in EVERY_CALL])
async def test_agents_users_and_nobody_are_refused_on_every_method(
    house: Overseen, service: str, method: str, request_: Any
) -> None:
    outcomes = {}
    for who, metadata in {
        "an agent": as_agent("copilot"),
        "a user": (("authorization", "Bearer alice@copilot"),),
        "nobody": (),
        "two at once": (*as_operator("olga"), *as_agent("copilot")),
    }.items():
        call = getattr(getattr(house, service), method)(request_, metadata=metadata)
        outcomes[who] = (await refused(anext(aiter(call)) if method.startswith("Watch") else call))[1]

    assert outcomes == {
        "an agent": "NOT_AUTHORIZED",
        "a user": "ACTOR_REJECTED",
        "nobody": "ACTOR_REJECTED",
        "two at once": "ACTOR_REJECTED",
    }
    assert await calls(house) == []
    await house.world.inner.rejections.write()
    reasons = {
        json.loads(one.body_text)["reason"]
        for one in await house.world.inner.events()
        if one.kind == "callers_rejected"
    }
    assert reasons == {"NOT_AUTHORIZED", "ACTOR_REJECTED"}


async def test_an_operator_is_no_agent(house: Overseen) -> None:
    code, reason, _ = await refused(
        house.credentials.EndTask(EndTaskRequest(task_id="a" * 26), metadata=as_operator("olga"))
    )

    assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, Reason.ACTOR_REJECTED.value)
