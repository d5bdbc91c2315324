"""Wires what tells people: the outbox, and a sender for each receiver."""

import secrets
from contextlib import AsyncExitStack

from remit_server.adapters.database.approvals.outbox import DatabaseOutbox
from remit_server.adapters.database.lifecycle.holding import DatabaseHolds
from remit_server.adapters.database.writing.store import Store
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.adapters.webhooks.sending import WebhookSender
from remit_server.application.notifications.deliver import Deliver, Receiver
from remit_server.bootstrap.background import in_background
from remit_server.config.approval_settings import NotificationSettings

_RANDOM = secrets.SystemRandom()


async def tell_people(
    stack: AsyncExitStack, receivers: tuple[NotificationSettings, ...], store: Store, clock: SystemClock
) -> None:
    """Starts to deliver notifications, until the stack is left; without receivers what happened is just dropped."""
    deliver = Deliver(
        outbox=DatabaseOutbox(store),
        receivers={one.name: Receiver(one.kinds, WebhookSender.of(one, clock)) for one in receivers},
        hold=DatabaseHolds(store),
        holder=system_entropy(16).hex(),
        clock=clock,
        jitter=_RANDOM.random,
    )
    in_background(stack, deliver(), "notifications")
