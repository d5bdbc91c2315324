"""Notifications, told to a real HTTPS server: with what they tell, signed, tried again, given up on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import BREAK_GLASS, LEA, LEO, Approving, approving
from tests.databases import Place
from tests.databases import asked as look
from tests.webhook_receiver import SECRET, WebhookReceiver, is_signed, webhook_receiver

from remit_server.adapters.database.approvals.outbox import DatabaseOutbox
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.lifecycle.holding import DatabaseHolds
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.webhooks.bodies import json_body, slack_body
from remit_server.adapters.webhooks.sending import WebhookSender
from remit_server.application.notifications.deliver import Deliver, Receiver
from remit_server.application.notifications.ports import Undelivered
from remit_server.config.approval_settings import Format
from remit_server.domain.notification import Notification, NotificationKind
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.secret import Secret

ASKED = NotificationKind.APPROVAL_ASKED
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class RealTime:
    """The real time, for signatures: the receiver judges them by it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return 0.0


def patient(sender: WebhookSender) -> WebhookSender:
    """Returns a sender that waits for longer than a gateway's: the machine may be busy."""
    return replace(sender, fetch=replace(sender.fetch, deadline_seconds=60.0))


@dataclass
class Telling:
    """People who approve, and a receiver that is told of it."""

    people: Approving
    receiver: WebhookReceiver

    def deliver(self, *changed: dict[str, Any]) -> Deliver:
        """Returns what delivers to receivers of these settings, each of them this one."""
        settings = [self.receiver.settings(**changes) for changes in changed or ({},)]
        store = self.people.gateway.ledger.store
        return Deliver(
            outbox=DatabaseOutbox(store),
            receivers={one.name: Receiver(one.kinds, patient(WebhookSender.of(one, RealTime()))) for one in settings},
            hold=DatabaseHolds(store),
            holder="this one",
            clock=self.people.gateway.clock,
            jitter=lambda: 1.0,
        )


@asynccontextmanager
async def telling(place: Place, folder: Path, *entitlements: Any) -> AsyncIterator[Telling]:
    async with approving(place, *entitlements) as people, webhook_receiver(folder) as receiver:
        yield Telling(people, receiver)


async def test_who_approves_is_told_what_is_asked_with_a_signature(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        pending = await told.people.asked()

        await told.deliver().turn()

        ((headers, body),) = told.receiver.taken
        message = json.loads(body)
        assert is_signed(headers["Remit-Signature"], body)
        assert (message["kind"], message["record"]["approval_id"]) == ("approval_asked", pending.approval.approval_id)
        assert message["record"]["digest"] == pending.approval.digest
        assert message["record"]["purpose"] == "summarise Q3"
        assert message["id"] == headers["Remit-Notification"]
        assert "session_policy" not in message["record"]
        assert set(message["record"]["who"]) == {"subject_issuer", "subject_id", "actor_id"}


async def test_each_event_is_told_once_in_its_order(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        request = told.people.gateway.request()
        await told.people.says(LEA, (await told.people.asked(request)).approval)
        await told.people.collected(request)
        await told.people.asked()
        told.people.gateway.clock.advance(hours=1)
        await told.people.gateway.ledger.sweep(told.people.gateway.clock.now())

        for _ in range(3):
            await told.deliver().turn()

        assert [one["kind"] for one in told.receiver.bodies] == [
            "approval_asked",
            "approval_decided",
            "approval_asked",
            "approval_closed",
        ]


async def test_break_glass_its_outstanding_review_and_what_the_review_revokes_are_told(
    place: Place, tmp_path: Path
) -> None:
    async with telling(place, tmp_path, BREAK_GLASS) as told:
        issued = await told.people.collected(told.people.gateway.request())
        told.people.gateway.clock.advance(days=1)
        await told.people.gateway.ledger.sweep(told.people.gateway.clock.now())
        review = await told.people.show.one(LEO, str(issued.grant.approval_id))
        await told.people.says(LEO, review, yes=False)

        await told.deliver().turn()

        assert [one["kind"] for one in told.receiver.bodies] == [
            "break_glass_issued",
            "review_outstanding",
            "approval_decided",
            "grants_revoked",
        ]


async def test_an_explicit_revoke_is_told_and_the_end_of_a_task_is_not(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        target = Target(TargetKind.SUBJECT, "alice", "https://idp.example")
        order = RevokeOrder("c" * 26, target, RevokeCause.REQUESTED, "corp:sam", "lost laptop")
        await DatabaseRevocations(told.people.gateway.ledger.store).revoke(order)
        pending = await told.people.asked()
        await told.people.gateway.end(told.people.gateway.admitted(), pending.grant.task_id)

        await told.deliver({"kinds": frozenset({NotificationKind.GRANTS_REVOKED})}).turn()

        (message,) = told.receiver.bodies
        assert (message["record"]["target_key"], message["record"]["why"]) == ("alice", "lost laptop")


async def test_a_receiver_hears_of_its_kinds_and_each_receiver_for_itself(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        approval = (await told.people.asked()).approval
        await told.people.says(LEA, approval)

        await told.deliver({"name": "one", "kinds": frozenset({ASKED})}, {"name": "two"}).turn()

        assert sorted(one["kind"] for one in told.receiver.bodies) == [
            "approval_asked",
            "approval_asked",
            "approval_decided",
        ]


async def test_what_nobody_wants_to_hear_of_is_not_kept(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        await told.people.asked()
        deliver = replace(told.deliver(), receivers={})

        await deliver.turn()

        assert look(told.people.gateway.database, "SELECT count(*) FROM notifications") == [(0,)]


@pytest.mark.parametrize("status", [500, 503, 429, 404, 307])
async def test_what_was_not_taken_is_tried_again_later_each_time(place: Place, tmp_path: Path, status: int) -> None:
    async with telling(place, tmp_path) as told:
        told.receiver.answers = [status] * 2
        await told.people.asked()
        pauses = []

        for _ in range(3):
            await told.deliver().turn()
            await told.deliver().turn()  # nothing is due at once
            ((due,),) = look(told.people.gateway.database, "SELECT next_time FROM notifications")
            if due is not None:
                pause = datetime.fromisoformat(due) - told.people.gateway.clock.now()
                pauses.append(pause.total_seconds())
                told.people.gateway.clock.advance(seconds=pause.total_seconds())

        assert pauses == [5, 10]
        assert (told.receiver.refused, len(told.receiver.taken)) == (2, 1)


async def test_after_a_day_it_is_given_up_and_on_record(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        told.receiver.answers = [500] * 100
        await told.people.asked()
        for _ in range(60):
            await told.deliver().turn()
            told.people.gateway.clock.advance(minutes=30)

        events = await told.people.gateway.events()
        given_up = [json.loads(one.body_text) for one in events if one.kind == "notification_given_up"]
        assert [(one["receiver"], one["notified"]) for one in given_up] == [("approvers", "approval_asked")]
        assert told.receiver.refused < 60


async def test_one_that_is_down_is_asked_once_a_turn_and_holds_up_nobody_else(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        for _ in range(3):
            await told.people.asked()
        dead = {"name": "dead", "url": Secret("https://127.0.0.1:1/told")}

        await told.deliver(dead, {"name": "alive"}).turn()

        assert len(told.receiver.taken) == 3
        query = "SELECT sum(attempts) FROM notifications WHERE receiver = 'dead'"
        assert look(told.people.gateway.database, query) == [(1,)]


async def test_a_message_that_is_refused_for_itself_does_not_hold_up_the_next(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        told.receiver.answers = [400]
        await told.people.asked()
        await told.people.asked()

        await told.deliver().turn()

        assert (told.receiver.refused, len(told.receiver.taken)) == (1, 1)


async def test_what_happened_before_a_crash_is_told_after_it(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        await told.people.asked()
        database, clock = told.people.gateway.database, told.people.gateway.clock
        before = told.deliver()
        task = asyncio.create_task(before.outbox.address({"approvers": frozenset(NotificationKind)}))
        await task  # addressed, and then it is gone
        async with open_ledger(database, clock) as another:
            after = replace(before, outbox=DatabaseOutbox(another.store), hold=DatabaseHolds(another.store))

            await after.turn()

        assert [one["kind"] for one in told.receiver.bodies] == ["approval_asked"]


async def test_a_message_whose_taking_was_not_noted_is_told_again_under_the_same_id(
    place: Place, tmp_path: Path
) -> None:
    async with telling(place, tmp_path) as told:
        await told.people.asked()

        class Forgetful(DatabaseOutbox):
            """Crashes before it notes what was taken."""

            async def delivered(self, notification: Notification, /) -> None:
                raise ConnectionAbortedError(notification.number)

        deliver = told.deliver()
        with pytest.raises(ConnectionAbortedError):
            await replace(deliver, outbox=Forgetful(told.people.gateway.ledger.store)).turn()
        await deliver.turn()

        first, second = told.receiver.bodies
        assert first["id"] == second["id"]


async def test_only_the_process_that_holds_the_work_delivers(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        await told.people.asked()
        hold = DatabaseHolds(told.people.gateway.ledger.store)

        first = await hold("notifications", "this one", 60.0)
        second = await hold("notifications", "another", 60.0)

        assert (first, second) == (True, False)


async def test_it_runs_until_it_is_cancelled_also_through_outages(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        await told.people.asked()
        failures = [ConnectionError(), None]
        holds = DatabaseHolds(told.people.gateway.ledger.store)

        async def hold(name: str, holder: str, seconds: float, /) -> bool:
            if failure := failures.pop(0) if failures else None:
                raise failure
            return await holds(name, holder, seconds)

        running = asyncio.create_task(replace(told.deliver(), hold=hold, every=timedelta(0))())
        await asyncio.wait_for(told.receiver.told.wait(), 60)
        running.cancel()

        assert len(told.receiver.taken) == 1


async def test_what_was_told_is_forgotten_after_a_week(place: Place, tmp_path: Path) -> None:
    async with telling(place, tmp_path) as told:
        await told.people.asked()
        await told.deliver().turn()
        told.people.gateway.clock.advance(days=8)

        await told.deliver().turn()

        assert look(told.people.gateway.database, "SELECT count(*) FROM notifications") == [(0,)]


# --- what a receiver can rely on ---


@pytest.mark.parametrize(
    ("seconds", "secret", "changed", "taken"),
    [
        (0, SECRET, b"", True),
        (0, "f" * 32, b"", False),
        (0, SECRET, b" ", False),
        (-301, SECRET, b"", False),
        (301, SECRET, b"", False),
    ],
    ids=["as it was sent", "of another secret", "of another body", "late", "of the future"],
)
async def test_a_forged_or_late_signature_is_not_taken(
    place: Place, tmp_path: Path, seconds: int, secret: str, changed: bytes, *, taken: bool
) -> None:
    async with telling(place, tmp_path) as told:
        await told.people.asked()
        await told.deliver().turn()
        ((headers, body),) = told.receiver.taken
        signed_at = int(headers["Remit-Signature"].split(",")[0].removeprefix("t="))

        is_taken = is_signed(headers["Remit-Signature"], body + changed, secret=secret, now=signed_at - seconds)

        assert is_taken is taken


async def test_an_address_of_a_private_network_is_not_told_unless_that_is_allowed(tmp_path: Path) -> None:
    async with webhook_receiver(tmp_path) as receiver:
        for url in ("https://169.254.169.254/latest", "https://10.0.0.8/told"):
            sender = WebhookSender.of(receiver.settings(url=Secret(url)), RealTime())

            with pytest.raises(Undelivered) as raised:
                await sender(message())

            assert raised.value.is_down


async def test_an_untrusted_certificate_is_not_told(tmp_path: Path) -> None:
    async with webhook_receiver(tmp_path) as receiver:
        sender = WebhookSender.of(receiver.settings(ca_file=None), RealTime())

        with pytest.raises(Undelivered):
            await sender(message())

        assert receiver.taken == []


async def test_slack_needs_no_secret(tmp_path: Path) -> None:
    async with webhook_receiver(tmp_path) as receiver:
        receiver.checks = False

        await WebhookSender.of(receiver.settings(format=Format.SLACK, secret=None), RealTime())(message())

        ((headers, body),) = receiver.taken
        assert "Remit-Signature" not in headers
        assert json.loads(body)["blocks"]


def message(**record: Any) -> Notification:
    """Returns a message about an approval that an agent asked for in these words."""
    told = {
        "approval_id": "a" * 26,
        "purpose": "summarise Q3",
        "who": {"actor_id": "corp:copilot", "subject_id": "alice", "token_fingerprint": "f" * 32, "peer": "127.0.0.1"},
        "session_policy": '{"Statement":[]}',
        "groups": ["leads"],
        **record,
    }
    return Notification(7, "approvers", ASKED, 41, json.dumps(told), NOW)


def test_words_of_agents_are_plain_text_on_one_line_in_slack() -> None:
    hostile = "<!channel> <https://evil.example|approve>\nAgent: corp:nice & *bold*"

    body = json.loads(slack_body(message(purpose=hostile), with_policy=False))

    (section,) = [block["text"] for block in body["blocks"] if block["type"] == "section"]
    assert {block["text"]["type"] for block in body["blocks"]} == {"plain_text"}
    assert [line for line in section["text"].split("\n") if line.startswith("Agent:")] == ["Agent: corp:copilot"]
    assert hostile not in body["text"]


def test_a_long_text_fits_into_slack() -> None:
    body = json.loads(slack_body(message(purpose="x" * 5000, why="y" * 5000), with_policy=True))

    assert all(len(block["text"]["text"]) <= 3000 for block in body["blocks"])


@pytest.mark.parametrize("write", [json_body, slack_body])
def test_no_token_is_hinted_at_and_the_policy_stands_in_it_only_when_wanted(write: Any) -> None:
    without, within = write(message(), with_policy=False), write(message(), with_policy=True)

    assert b"Statement" not in without
    assert b"Statement" in within
    assert b"f" * 32 not in within
