"""PolicyService over the wire: what is published, seen, activated and gone back from, by whom, and on what record."""

import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from tests.operator_world import SEES_OWN
from tests.policy_bundles import DEFAULT_POLICIES
from tests.transport.gateway_server import failure_of
from tests.transport.operator_server import as_operator
from tests.transport.policy_server import Published, archive, policy_server, published_pieces

from remit.v1 import policy_service_pb2 as messages
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.application.policy.ports import ActivationOrder, NewRevision
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.policy_revision import BundleFacts, RevisionSource

DEFAULT = read_bundle(DEFAULT_POLICIES).revision
A, B, C = f"aaaaaaaa0{'0' * 55}", f"aaaaaaaa1{'0' * 55}", "c" * 64


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Published]:
    async with policy_server(tmp_path) as running:
        yield running


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, str]:
    """Returns code, reason and message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    failure = failure_of(raised.value)
    return failure.code, failure.info.reason, failure.message


async def records(house: Published, kind: str) -> list[dict[str, Any]]:
    return [json.loads(event.body_text) for event in await house.world.inner.events() if event.kind == kind]


async def calls(house: Published) -> list[tuple[str, str, bool, str, str]]:
    """Returns the recorded calls of operators: who, what, allowed, why not, about what."""
    return [
        (one["caller_id"], one["method"].removeprefix("PolicyService."), one["allowed"], one["reason"], one["about"])
        for one in await records(house, "operator_called")
    ]


async def publish(house: Published, content: bytes, who: str = "olga") -> messages.PublishRevisionResponse:
    return await house.stub.PublishRevision(published_pieces(content), metadata=as_operator(who))


async def kept(house: Published, *revisions: str) -> None:
    """Keeps revisions as if they had been published, for what does not depend on what is in them."""
    for revision in revisions:
        facts = BundleFacts(revision, 10, None, "", 1, 2, 3)
        await house.revisions.publish(NewRevision(facts, b"x"), by="corp:ada", source=RevisionSource.OPERATOR)


async def activate(house: Published, who: str = "olga", **request: Any) -> messages.ActivateRevisionResponse:
    fields = {"why": "as reviewed", **request}
    return await house.stub.ActivateRevision(messages.ActivateRevisionRequest(**fields), metadata=as_operator(who))


# --- publishing ------------------------------------------------------------------------------------------------------


async def test_a_published_bundle_is_listed_shown_and_fetched_as_it_was_sent(house: Published) -> None:
    sent = archive()

    answer = await publish(house, sent)
    listed = await house.stub.ListRevisions(messages.ListRevisionsRequest(), metadata=as_operator("olga"))
    request = messages.GetRevisionRequest(revision=DEFAULT[:8])
    shown = await house.stub.GetRevision(request, metadata=as_operator("olga"))
    download = messages.DownloadRevisionRequest(revision=DEFAULT[:8])
    fetched = [one async for one in house.stub.DownloadRevision(download, metadata=as_operator("olga"))]

    assert (answer.revision.revision, answer.created, answer.revision.active) == (DEFAULT, True, False)
    assert answer.revision.publisher == "corp:olga"
    assert answer.revision.source == messages.REVISION_SOURCE_OPERATOR
    assert (answer.revision.entitlements > 3, answer.revision.rule_files) == (True, 7)
    assert list(listed.revisions) == [shown.revision] == [answer.revision]
    assert b"".join(one.chunk for one in fetched) == sent
    assert [one.revision for one in fetched] == [DEFAULT, *[""] * (len(fetched) - 1)]
    assert [one["revision"] for one in await records(house, "revision_published")] == [DEFAULT]


async def test_the_same_bundle_again_is_the_same_revision(house: Published) -> None:
    first, second = await publish(house, archive()), await publish(house, archive())

    assert (first.created, second.created) == (True, False)
    assert first.revision == second.revision
    assert len(await records(house, "revision_published")) == 1


async def test_a_bundle_that_may_not_decide_is_refused_with_place_and_reason_and_on_record(house: Published) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await publish(house, archive(lib__more="package remit.lib.more\n\nx := http.send({})\n"))

    failure, found = failure_of(raised.value), messages.PolicyFindings()
    details = Status.FromString(dict(raised.value.trailing_metadata() or ())["grpc-status-details-bin"])
    assert any(detail.Unpack(found) for detail in details.details)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REVISION_REFUSED")
    assert [(one.path, one.line, one.refuses) for one in found.findings] == [("remit/lib/more.rego", 3, True)]
    assert "http.send" in found.findings[0].problem
    assert found.findings[0].mend
    (record,) = await records(house, "revision_refused")
    assert (record["by"], record["source"], record["code"]) == ("corp:olga", "OPERATOR", "REVISION_REFUSED")
    assert "remit/lib/more.rego:3" in record["message"]
    assert await house.revisions.listed(before=None, limit=10) == []


async def test_a_check_tells_the_same_and_keeps_nothing(house: Published) -> None:
    async def pieces(content: bytes) -> AsyncIterator[messages.CheckRevisionRequest]:
        async for piece in published_pieces(content):
            yield messages.CheckRevisionRequest(chunk=piece.chunk)

    good = await house.stub.CheckRevision(pieces(archive()), metadata=as_operator("olga"))
    bad = await house.stub.CheckRevision(
        pieces(archive(lib__more="package remit.lib.more\n\nx := http.send({})\n")), metadata=as_operator("olga")
    )

    assert (good.revision, good.publishable) == (DEFAULT, True)
    assert not any(finding.refuses for finding in good.findings)
    assert not bad.publishable
    assert [finding.path for finding in bad.findings if finding.refuses] == ["remit/lib/more.rego"]
    assert await house.revisions.listed(before=None, limit=10) == []
    assert await records(house, "revision_refused") == []
    assert await calls(house) == [("olga", "CheckRevision", True, "", "")] * 2


# --- seeing ----------------------------------------------------------------------------------------------------------


async def test_revisions_are_listed_page_after_page(house: Published) -> None:
    await kept(house, A, B, C)

    first = await house.stub.ListRevisions(messages.ListRevisionsRequest(page_size=2), metadata=as_operator("olga"))
    request = messages.ListRevisionsRequest(page_size=2, page_token=first.next_page_token)
    second = await house.stub.ListRevisions(request, metadata=as_operator("olga"))

    assert [one.revision for one in first.revisions] == [C, B]
    assert [one.revision for one in second.revisions] == [A]
    assert second.next_page_token == ""
    by_another = house.stub.ListRevisions(request, metadata=as_operator("sam"))
    assert (await refused(by_another))[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_digits_that_name_two_revisions_or_none_are_told(house: Published) -> None:
    await kept(house, A, B)

    def get(digits: str) -> Awaitable[Any]:
        return house.stub.GetRevision(messages.GetRevisionRequest(revision=digits), metadata=as_operator("olga"))

    assert (await get(A[:9])).revision.revision == A
    assert (await refused(get("aaaaaaaa")))[1:] == (
        "INVALID_REQUEST",
        "revision: more than one revision begins so: give more digits",
    )
    assert (await refused(get("bbbbbbbb")))[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert (await refused(get("")))[1] == "NOT_FOUND"


async def test_what_others_published_is_fetched_only_by_who_sees_everything(house: Published) -> None:
    await kept(house, A)
    house.world.operator("staff", SEES_OWN)
    download = messages.DownloadRevisionRequest(revision=A)

    call = house.stub.DownloadRevision(download, metadata=as_operator("staff"))

    assert (await refused(call.read()))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "NOT_AUTHORIZED")


async def test_whoever_has_no_right_is_not_told_what_there_is(house: Published) -> None:
    await kept(house, A)

    answers = {
        digits: await refused(
            house.stub.GetRevision(messages.GetRevisionRequest(revision=digits), metadata=as_operator("eve"))
        )
        for digits in (A, "b" * 64)
    }

    assert {answer[1] for answer in answers.values()} == {"NOT_AUTHORIZED"}
    assert len(set(answers.values())) == 1


# --- activating and going back ---------------------------------------------------------------------------------------


async def test_an_activation_says_what_it_did_and_is_shown_with_the_revision(house: Published) -> None:
    await kept(house, A, C)

    first = await activate(house, revision=A)
    second = await activate(house, revision="cccccccc", expected_active=A, why="opens the archive")
    again = await activate(house, revision=C)
    shown = await house.stub.GetRevision(messages.GetRevisionRequest(), metadata=as_operator("olga"))

    assert (first.activation.kind, first.previous_revision) == (messages.ACTIVATION_KIND_ACTIVATED, "")
    assert (second.activation.revision, second.previous_revision) == (C, A)
    assert (again.activation, again.previous_revision) == (second.activation, C)
    assert house.prepare.asked[:2] == [A, C]
    assert (shown.revision.revision, shown.revision.active) == (C, True)
    assert [(one.number, one.by, one.why) for one in shown.activations] == [(2, "corp:olga", "opens the archive")]
    assert await calls(house) == [
        ("olga", "ActivateRevision", True, "", f"{A}: as reviewed"),
        ("olga", "ActivateRevision", True, "", f"{C}: opens the archive"),
        ("olga", "ActivateRevision", True, "", f"{C}: as reviewed"),
        ("olga", "GetRevision", True, "", C),
    ]


async def test_an_activation_that_expects_another_revision_changes_nothing(house: Published) -> None:
    await kept(house, A, B, C)
    await activate(house, revision=A)

    answer = await refused(activate(house, revision=C, expected_active=B))

    assert answer[:2] == (grpc.StatusCode.ABORTED, "REVISION_CHANGED")
    active = await house.revisions.active()
    assert active is not None
    assert active.revision == A


async def test_what_this_gateway_cannot_load_is_not_activated(house: Published) -> None:
    await kept(house, A)
    house.prepare.failure = Denied(Reason.REVISION_REFUSED, "this revision may not decide here: it is too large")

    answer = await refused(activate(house, revision=A))

    assert answer[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "REVISION_REFUSED")
    assert await house.revisions.active() is None


async def test_a_rollback_without_digits_goes_back_to_the_one_before(house: Published) -> None:
    await kept(house, A, B, C)
    assert (await refused(activate(house, rollback=True)))[1] == "REVISION_REFUSED"
    await activate(house, revision=A)
    assert (await refused(activate(house, rollback=True)))[1] == "REVISION_REFUSED"
    await activate(house, revision=C)

    back = await activate(house, rollback=True, why="it lets too much")
    never = await refused(activate(house, revision=B, rollback=True))

    assert (back.activation.revision, back.previous_revision) == (A, C)
    assert back.activation.kind == messages.ACTIVATION_KIND_ROLLED_BACK
    assert never[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "REVISION_REFUSED")
    assert (await refused(activate(house)))[1:] == (
        "INVALID_REQUEST",
        "revision: is required, unless rollback is set",
    )


async def test_a_rollback_without_digits_goes_further_back_each_time_and_never_forth(house: Published) -> None:
    await kept(house, A, B, C)
    for revision in (A, B, C):
        await activate(house, revision=revision)

    went = [(await activate(house, rollback=True)).activation.revision for _ in range(2)]
    nowhere = await refused(activate(house, rollback=True))
    await activate(house, revision=C)
    shown = await house.stub.GetRevision(messages.GetRevisionRequest(), metadata=as_operator("olga"))

    assert went == [B, A]
    assert nowhere[1] == "REVISION_REFUSED"
    assert shown.rollback_revision == A


async def test_a_rollback_without_digits_passes_over_what_is_blocked(house: Published) -> None:
    await kept(house, A, B, C)
    await activate(house, revision=A)
    await activate(house, revision=B)
    await activate(house, revision=C, revoke_issued=True)

    back = await activate(house, rollback=True)
    listed = await house.stub.ListRevisions(messages.ListRevisionsRequest(), metadata=as_operator("olga"))

    assert back.activation.revision == A
    assert [one.revision for one in listed.revisions if one.block.startswith("blocks/")] == [B]


async def test_to_revoke_what_was_issued_takes_the_right_to_revoke(house: Published) -> None:
    await kept(house, A, C)
    await activate(house, revision=A)
    await activate(house, revision=C)
    house.world.policy.closed.add("GrantService.RevokeGrants")

    no = await refused(activate(house, revision=A, revoke_issued=True))
    house.world.policy.closed.clear()
    yes = await activate(house, revision=A, revoke_issued=True)
    blocked = await refused(activate(house, revision=C))

    assert no[:2] == (grpc.StatusCode.PERMISSION_DENIED, "NOT_AUTHORIZED")
    assert (yes.activation.revision, yes.revoked_grants) == (A, 0)
    assert yes.activation.revocation
    assert list(dict.fromkeys(house.woken)) == [
        "1",
        "2",
        "woken",
        "3",
    ]  # each activation is followed here, the revoke told
    assert blocked[1] == "REVISION_REFUSED"
    asked = [json.loads(question) for question in house.world.policy.questions if "RevokeGrants" in question]
    assert [one["target"] for one in asked] == [{"kind": "revision", "id": C, "issuer": "", "block": True}] * 2


@pytest.mark.parametrize("broken", ["says no", "gives no decision", "fails in a way nobody thought of"])
async def test_a_bad_revision_cannot_forbid_its_own_rollback(house: Published, broken: str) -> None:
    await kept(house, A, B, C)
    await activate(house, revision=A)
    await activate(house, revision=C)
    if broken != "says no":
        wrong = PolicyUnavailable("the decision is undefined") if "no decision" in broken else RuntimeError("x")
        house.world.policy.answers["sam"] = wrong

    never = await refused(activate(house, "sam", revision=B))
    seen = await house.stub.ListRevisions(messages.ListRevisionsRequest(), metadata=as_operator("sam"))
    back = await activate(house, "sam", rollback=True, revoke_issued=True, why="it is broken")

    assert never[1] == "REVISION_REFUSED"
    assert [one.revision for one in seen.revisions] == [C, B, A]
    assert (back.activation.revision, back.activation.by) == (A, "corp:sam")
    assert back.activation.revocation
    allowed = [call for call in await calls(house) if call[0] == "sam" and call[2]]
    assert [call[1:4] for call in allowed] == [
        ("ActivateRevision", True, "ADMINISTRATOR"),
        ("ListRevisions", True, "ADMINISTRATOR"),
        ("ActivateRevision", True, "ADMINISTRATOR"),
        ("GrantService.RevokeGrants", True, "ADMINISTRATOR"),
    ]


@pytest.mark.parametrize("expected", ["", A, C])
async def test_whom_a_bad_revision_lets_cannot_undo_its_rollback_with_a_call_held_ready(
    house: Published, expected: str
) -> None:
    await kept(house, A, B, C)
    await activate(house, revision=A)
    await activate(house, revision=C)

    async def rolled_back() -> None:
        house.prepare.meanwhile = None
        await house.revisions.activate(ActivationOrder(A, by="corp:sam", why="it is bad", only_back=True))

    house.prepare.meanwhile = rolled_back
    answer = await refused(activate(house, revision=B, expected_active=expected))
    if house.prepare.meanwhile is not None:  # it was refused before anything was loaded
        await rolled_back()

    active = await house.revisions.active()
    assert answer[1] == "REVISION_CHANGED"
    assert active is not None
    assert active.revision == A


async def test_whom_policy_refuses_and_who_is_no_administrator_goes_back_to_nothing(house: Published) -> None:
    await kept(house, A, C)
    await activate(house, revision=A)
    await activate(house, revision=C)

    answer = await refused(activate(house, "eve", rollback=True))

    assert answer[:2] == (grpc.StatusCode.PERMISSION_DENIED, "NOT_AUTHORIZED")
    active = await house.revisions.active()
    assert active is not None
    assert active.revision == C


# --- shadows ---------------------------------------------------------------------------------------------------------


async def test_one_candidate_at_a_time_is_in_shadow(house: Published) -> None:
    await kept(house, A, C)
    metadata = as_operator("olga")

    started = await house.stub.StartShadow(messages.StartShadowRequest(revision=A[:9]), metadata=metadata)
    await house.stub.StartShadow(messages.StartShadowRequest(revision=A), metadata=metadata)
    await house.stub.StartShadow(messages.StartShadowRequest(revision=C), metadata=metadata)
    shown = await house.stub.GetShadow(messages.GetShadowRequest(), metadata=metadata)
    stopped = [await house.stub.StopShadow(messages.StopShadowRequest(), metadata=metadata) for _ in range(2)]
    after = await house.stub.GetShadow(messages.GetShadowRequest(), metadata=metadata)

    assert started.revision == A
    assert (shown.revision, shown.HasField("start_time")) == (C, True)
    assert [one.revision for one in stopped] == [C, ""]
    assert after == messages.GetShadowResponse()
    told = [(event.kind, json.loads(event.body_text).get("revision")) for event in await house.world.inner.events()]
    assert [one for one in told if one[0].startswith("shadow")] == [
        ("shadow_started", A),
        ("shadow_stopped", A),
        ("shadow_started", C),
        ("shadow_stopped", C),
    ]


async def test_what_was_counted_is_shown_only_to_who_sees_everything(house: Published) -> None:
    await kept(house, A)
    house.world.operator("staff", SEES_OWN)

    answers = [
        await refused(house.stub.GetShadow(messages.GetShadowRequest(revision=one), metadata=as_operator("staff")))
        for one in ("", A)
    ]

    assert {answer[1] for answer in answers} == {"NOT_AUTHORIZED"}
