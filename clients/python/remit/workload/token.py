"""A platform's token as a function that gives a fresh one: kept until near its end, asked for once by everybody."""

import base64
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from remit.secret import Secret
from remit.workload.failing import NoWorkloadIdentity

PATIENCE = 20.0  # seconds for one answer of a platform, its repeats included
MARGIN = 60.0  # seconds before its end, or half of a shorter life, at which a token is asked for anew
GIVEN_UP = (
    60.0  # seconds after which a question that nobody waits for any more is asked again, beside the one that hangs
)
LONGEST_KEPT = 3600.0  # seconds, whatever a token says of its end
LONGEST_TOKEN = 16 * 1024  # of the 24 KiB that a gateway takes in all
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


class WorkloadToken:
    """A function without arguments that returns this workload's token; give it as `bearer_token`, `subject_token`.

    Two that ask the same platform for the same thing are equal, and a call to the gateway that takes both tokens from
    equal ones sends one token twice: some issuers' one token proves both who works and for whom. Safe to share between
    threads. Calling it raises NoWorkloadIdentity.
    """

    __slots__ = ("_fetch", "_flight", "_keeps", "_kept", "_lock", "_parameters", "_waits", "platform")

    def __init__(
        self,
        platform: str,
        parameters: Mapping[str, str],
        fetch: Callable[[], str],
        *,
        keeps: bool,
        waits: bool = True,
    ) -> None:
        """Takes what fetches a token.

        `keeps` says whether one serves several calls, until near its end; `waits` whether fetching may take its time.
        """
        self.platform = platform
        self._parameters = tuple(sorted(parameters.items()))
        self._fetch = fetch
        self._keeps = keeps
        self._waits = waits
        self._kept: Kept | None = None
        self._flight: _Flight | None = None
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Returns a token that is good for a while; blocks for 20 seconds at most."""
        if not self._waits:
            return self._fetch()
        kept = self._kept
        if self._keeps and kept is not None and kept.is_fresh():
            return kept.token.reveal()
        flight = self._flight_of_all() if self._keeps else _Flight(self._fetch, self.platform)
        try:
            self._kept = found = flight.landed()
        except NoWorkloadIdentity:
            if self._keeps and kept is not None and kept.is_good():
                return kept.token.reveal()  # it outlasts an outage of the platform
            raise
        return found.token.reveal()

    def _flight_of_all(self) -> "_Flight":
        """Returns the flight that is under way, or that has just brought what serves here, too; or starts one."""
        with self._lock:
            if self._flight is None or not self._flight.is_of_use:
                self._flight = _Flight(self._fetch, self.platform)
            return self._flight

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WorkloadToken):
            return NotImplemented
        return (self.platform, self._parameters) == (other.platform, other._parameters)

    def __hash__(self) -> int:
        return hash((self.platform, self._parameters))

    def __repr__(self) -> str:
        parameters = "".join(f" {name}={value!r}" for name, value in self._parameters)
        return f"<WorkloadToken {self.platform}{parameters}>"


class Kept:
    """A token with its times, which are read without verification: they only say when to ask again."""

    __slots__ = ("_end", "_renewal", "token")

    def __init__(self, token: Secret[str], now: float) -> None:
        self.token = token
        end = unverified_end(token)
        self._end = now if end is None else end
        self._renewal = min(self._end - min(MARGIN, max(self._end - now, 0.0) / 2), now + LONGEST_KEPT)

    def is_fresh(self) -> bool:
        """Says whether it need not be asked for anew yet."""
        return time.time() < self._renewal

    def is_good(self) -> bool:
        """Says whether it has not ended."""
        return time.time() < self._end


class _Flight:
    """One question to the platform, in a thread of its own: whatever hangs there, whoever waits here gives up."""

    def __init__(self, fetch: Callable[[], str], platform: str) -> None:
        self._fetch = fetch
        self._platform = platform
        self._process = os.getpid()
        self._done = threading.Event()
        self._deadline = time.monotonic() + PATIENCE
        self._found: Kept | None = None
        self._failure: Exception | None = None
        threading.Thread(target=self._fly, name=f"remit-{platform}-token", daemon=True).start()

    @property
    def is_of_use(self) -> bool:
        """Says whether it has a token that is fresh, or may still get one: a fork has no thread that would."""
        if self._done.is_set():
            return self._found is not None and self._found.is_fresh()
        return self._process == os.getpid() and time.monotonic() < self._deadline + GIVEN_UP

    def landed(self) -> Kept:
        """Waits for the token; raises NoWorkloadIdentity."""
        if not self._done.wait(max(self._deadline - time.monotonic(), 0.0)):
            raise NoWorkloadIdentity(
                f"{self._platform} gave no token within {PATIENCE:.0f} seconds",
                advice="look whether the platform's token endpoint can be reached from here, and try again",
            )
        if self._failure is not None:
            raise self._failure
        if self._found is None:  # pragma: no cover - a flight ends with one of the two
            raise NoWorkloadIdentity(f"{self._platform} gave no token")
        return self._found

    def _fly(self) -> None:
        try:
            self._found = Kept(checked(Secret(self._fetch()), self._platform, is_jwt=True), time.time())
        except NoWorkloadIdentity as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - a library's words may hold anything, so only its kind is told
            self._failure = NoWorkloadIdentity(f"{self._platform} gave no token: {type(error).__name__}")
        finally:
            self._done.set()


def checked(token: Secret[str], platform: str, *, is_jwt: bool) -> Secret[str]:
    """Returns what a platform gave without white space around it; raises NoWorkloadIdentity for what is no token."""
    bare = Secret(token.reveal().strip())
    length = len(bare.reveal())
    if not length or length > LONGEST_TOKEN:
        told = "nothing" if not length else f"{length} characters, which is no token that a gateway takes"
        raise NoWorkloadIdentity(f"{platform} gave {told}")
    if is_jwt and not _JWT.fullmatch(bare.reveal()):
        raise NoWorkloadIdentity(f"{platform} gave something that is no signed JWT")
    return bare


def unverified_end(token: Secret[str]) -> float | None:
    """Returns the `exp` of a JWT, unverified; None where there is none to be read."""
    with suppress(ValueError, IndexError, AttributeError, RecursionError):
        part = token.reveal().split(".")[1]
        end = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("exp")
        return float(end) if isinstance(end, (int, float)) and not isinstance(end, bool) else None
    return None
