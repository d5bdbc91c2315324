"""Where the gateway's own AWS credentials come from: its configuration, or what its platform gives it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from remit_server.adapters.aws.sigv4 import AwsKeys
from remit_server.config.settings import AwsSettings
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.secret import Secret

REFRESH_EARLY_SECONDS: Final = 600
REFRESH_NOW_SECONDS: Final = 60
COOL_DOWN_SECONDS: Final = 10.0
TOLD_EVERY_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)
_NO_KEYS = (
    "The gateway has no AWS credentials of its own. Its operator must give its platform a role (task role, pod "
    "identity, instance profile), or set aws.access_key_id with aws.secret_access_key_file."
)


class NoKeys(Exception):  # noqa: N818 - named for what it says
    """The cause behind an Outage, for the log: the kind of botocore's failure, never what it said."""


class KeySource(Protocol):
    """Gives the keys that sign a call."""

    async def __call__(self) -> AwsKeys:
        """Returns keys that are valid now; raises Outage(STS_UNAVAILABLE) when there are none."""
        ...

    def at_hand(self) -> AwsKeys | None:
        """Returns keys that need not be waited for, or None."""
        ...

    def distrust(self, keys: AwsKeys, /) -> bool:
        """Is told that AWS called these keys expired or unknown; returns whether asking again may give others."""
        ...


class FixedKeys:
    """The keys of the configuration."""

    def __init__(self, keys: AwsKeys) -> None:
        self._keys = keys

    async def __call__(self) -> AwsKeys:
        """Returns the configured keys."""
        return self._keys

    def at_hand(self) -> AwsKeys:
        """Returns the configured keys."""
        return self._keys

    def distrust(self, keys: AwsKeys, /) -> bool:
        """Returns False: there are no others."""
        del keys
        return False


class AmbientKeys:
    """The keys of botocore's own chain (environment, profile, web identity, container, instance), kept fresh.

    `resolve` returns botocore's credentials object, or None; it and every refresh block, and so run in an executor,
    one at a time. Ten minutes before the end they are refreshed behind the callers' backs, in the last minute callers
    wait for it.
    """

    def __init__(self, *, monotonic: Callable[[], float], resolve: Callable[[], Any] | None = None) -> None:
        self._resolve = resolve or _resolve_with_botocore
        self._monotonic = monotonic
        self._source: Any = None
        self._keys: AwsKeys | None = None
        self._refreshing: asyncio.Task[AwsKeys] | None = None
        self._quiet_until = float("-inf")
        self._untold_until = float("-inf")

    async def __call__(self) -> AwsKeys:
        """Returns keys that are good for another minute; raises Outage(STS_UNAVAILABLE) when there are none."""
        if (keys := self.at_hand()) is not None:
            return keys
        # Shielded: a caller that gives up does not take the refresh away from the others.
        return await asyncio.shield(self._refresh())

    def at_hand(self) -> AwsKeys | None:
        """Returns keys that are good for another minute, None where a refresh has to be waited for."""
        keys = self._keys
        if keys is None or self._ends_within(REFRESH_NOW_SECONDS):
            return None
        if self._ends_within(REFRESH_EARLY_SECONDS) and self._monotonic() >= self._quiet_until:
            self._refresh()
        return keys

    def distrust(self, keys: AwsKeys, /) -> bool:
        """Forgets these keys, at most once in ten seconds, so that the next caller resolves anew."""
        if self._keys is not keys:
            return True  # somebody was faster
        if self._monotonic() < self._quiet_until:
            return False
        self._keys = self._source = None
        return True

    def _ends_within(self, seconds: int) -> bool:
        """Says whether the keys end that soon; keys without an end never do."""
        refresh_needed = getattr(self._source, "refresh_needed", None)
        return refresh_needed is not None and bool(refresh_needed(seconds))

    def _refresh(self) -> "asyncio.Task[AwsKeys]":
        """Returns the one refresh that runs, started if there is none."""
        if self._refreshing is None or self._refreshing.done():
            self._quiet_until = self._monotonic() + COOL_DOWN_SECONDS
            self._refreshing = asyncio.create_task(self._fresh(), name="refresh of the gateway's AWS keys")
            self._refreshing.add_done_callback(_look_at_outcome)
        return self._refreshing

    async def _fresh(self) -> AwsKeys:
        """Resolves or refreshes in an executor, and remembers the outcome."""
        try:
            source, frozen = await asyncio.get_running_loop().run_in_executor(None, self._resolve_frozen, self._source)
        except Exception as failed:  # noqa: BLE001 - botocore's chain raises what it likes
            # NOTE: its texts may quote what a provider printed: only the kind of failure goes on, here and as the cause
            # that is logged later.
            kind = type(failed).__name__
            self._tell(kind)
            raise Outage(Reason.STS_UNAVAILABLE, _NO_KEYS) from NoKeys(kind)
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            self._tell("nothing on this platform gives any")
            raise Outage(Reason.STS_UNAVAILABLE, _NO_KEYS)
        token = Secret(frozen.token) if frozen.token else None
        self._source, self._keys = source, AwsKeys(frozen.access_key, Secret(frozen.secret_key), token)
        return self._keys

    def _tell(self, why: str) -> None:
        """Writes to the log that there are no keys, at most once a minute: nothing is issued meanwhile."""
        if self._monotonic() >= self._untold_until:
            self._untold_until = self._monotonic() + TOLD_EVERY_SECONDS
            _log.error("No credentials can be issued (%s). %s", why, _NO_KEYS)

    def _resolve_frozen(self, source: Any) -> tuple[Any, Any]:
        """Returns botocore's credentials object and its values; blocks."""
        source = source or self._resolve()
        return source, None if source is None else source.get_frozen_credentials()


def keys_from(settings: AwsSettings, *, monotonic: Callable[[], float]) -> KeySource:
    """Returns the configured keys, or the ambient chain when none are configured."""
    if settings.access_key_id is not None and settings.secret_access_key is not None:
        return FixedKeys(AwsKeys(settings.access_key_id, settings.secret_access_key, settings.session_token))
    return AmbientKeys(monotonic=monotonic)


def _resolve_with_botocore() -> Any:
    """Returns what botocore's chain finds; the import alone takes a tenth of a second, so it happens here."""
    import botocore.session  # noqa: PLC0415 - see above

    return botocore.session.Session().get_credentials()


def _look_at_outcome(task: "asyncio.Task[AwsKeys]") -> None:
    """Takes note of a background refresh's failure: those who need the keys will meet it themselves."""
    if not task.cancelled():
        task.exception()
