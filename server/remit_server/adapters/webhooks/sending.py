"""Sends messages by https, signed, to where the configuration says and nowhere else."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from remit_server.adapters.identity.https_fetch import FetchFailed, HttpsFetch
from remit_server.adapters.security_events.webhook import signature
from remit_server.adapters.webhooks.bodies import json_body, slack_body
from remit_server.application.notifications.ports import Undelivered
from remit_server.application.ports import Clock
from remit_server.config.approval_settings import Format, NotificationSettings
from remit_server.domain.notification import Notification

MAX_ANSWER_BYTES: Final = 64 * 1024
DEADLINE_SECONDS: Final = 5.0
_TAKEN: Final = range(200, 300)
_COME_BACK: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_SERVERS_FAULT: Final = 500


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """Sends to one receiver (implements `Send`); a redirect, like anything but 2xx, is no delivery."""

    settings: NotificationSettings
    clock: Clock
    fetch: HttpsFetch

    @classmethod
    def of(cls, settings: NotificationSettings, clock: Clock) -> "WebhookSender":
        """Returns the sender of a configured receiver."""
        fetch = HttpsFetch(
            hosts=[urlsplit(settings.url.reveal()).hostname or ""],
            ca_file=settings.ca_file,
            private_network=settings.private_network,
            deadline_seconds=DEADLINE_SECONDS,
            max_bytes=MAX_ANSWER_BYTES,
        )
        return cls(settings, clock, fetch)

    async def __call__(self, notification: Notification, /) -> None:
        """Returns once the receiver took it; raises Undelivered for every other outcome."""
        write = slack_body if self.settings.format is Format.SLACK else json_body
        body = write(notification, with_policy=self.settings.with_session_policy)
        headers = {"Content-Type": "application/json", "Remit-Notification": str(notification.sequence)}
        if self.settings.secret is not None:
            seconds = int(self.clock.now().timestamp())
            headers["Remit-Signature"] = f"t={seconds},v1={signature(self.settings.secret, seconds, body)}"
        try:
            answer = await self.fetch.exchange("POST", self.settings.url.reveal(), body=body, headers=headers)
        except FetchFailed as failed:
            raise Undelivered(str(failed), is_down=True) from None
        if answer.status not in _TAKEN:
            is_down = answer.status >= _SERVERS_FAULT or answer.status in _COME_BACK
            raise Undelivered(f"it answered with HTTP status {answer.status}", is_down=is_down)
