"""The policy port on an OPA server: the gateway gives it the bundle, and takes no answer by any other."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from remit_server.adapters.opa.answer import Answer, Unanswered, answer_of
from remit_server.adapters.opa.archive import archive_of
from remit_server.adapters.opa.breaker import Breaker
from remit_server.adapters.opa.bundle_server import BundleServer
from remit_server.adapters.opa.client import OpaClient
from remit_server.adapters.opa.nonce import new_nonce, served_revision
from remit_server.adapters.opa.signing import BundleSigner
from remit_server.adapters.policy.answers.admin_decision import NOBODY, admin_decision_in
from remit_server.adapters.policy.answers.decision import PolicyBusy, PolicyUnavailable, decision_in
from remit_server.adapters.policy.answers.stranger import STRANGER, refuses_a_strange_operator, refuses_a_stranger
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.rego.checks import ADMIN_ENTRYPOINT, ENTRYPOINT
from remit_server.adapters.rego.embedded import MAX_QUESTION, check_bundle
from remit_server.application.ports import Revision
from remit_server.config.settings import OpaSettings
from remit_server.domain.administration import AdminDecision
from remit_server.domain.decision import Decision, DecisionInput

_log: Final = logging.getLogger(__name__)
_SAMPLE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.02


class OpaRefused(RuntimeError):  # noqa: N818 - named for what it says
    """This OPA cannot decide for the gateway; says why, and what to do."""


@dataclass(frozen=True, slots=True)
class OpaLimits:
    """How long a decision may take, how many may wait and for how long, and when OPA is left alone.

    `decision_seconds` bounds one question from connecting to the last byte of the answer. After `outages` in a row
    nobody is asked for `pause_seconds`.
    """

    decision_seconds: float = 0.25
    wait_seconds: float = 1.0
    most_waiting: int = 256
    outages: int = 5
    pause_seconds: float = 1.0


class OpaServer:
    """Decides through an OPA server by the bundle that it serves to it; another OPA or revision is an outage."""

    def __init__(
        self,
        settings: OpaSettings,
        limits: OpaLimits,
        client: OpaClient,
        bundles: BundleServer,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._client = client
        self._bundles = bundles
        self._breaker = Breaker(outages=limits.outages, pause_seconds=limits.pause_seconds, monotonic=monotonic)
        self._free = asyncio.Semaphore(settings.connections)
        self._waiting = 0
        self._active = Revision("", {})
        self._administers = False
        self._signer: BundleSigner | None = None
        self._nonce = ""
        self._open = AsyncExitStack()
        self.bundle_address = ""

    @classmethod
    async def start(
        cls,
        bundle: Bundle,
        settings: OpaSettings,
        limits: OpaLimits | None = None,
        *,
        nonce: str | None = None,
        share_port: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> "OpaServer":
        """Returns the engine once OPA decides by this bundle and has refused a stranger.

        `nonce` names this start of the gateway (`new_nonce`), the same in all of its workers; without one it is made
        here. With `share_port` several processes serve the same bundle at one address (SO_REUSEPORT).
        Raises BundleRefused for a bundle that may not decide, OpaRefused for an OPA that is missing, too old, or holds
        another bundle when the time for starting is over, RuntimeError when the bundle cannot be served.
        """
        await check_bundle(bundle)
        signer = BundleSigner.of(settings.bundle_signing_key) if settings.bundle_signing_key is not None else None
        nonce = nonce or new_nonce()
        archive = await asyncio.to_thread(archive_of, bundle, nonce, signer)
        bundles = BundleServer(settings, archive)
        engine = cls(settings, limits or OpaLimits(), OpaClient(settings), bundles, monotonic)
        engine._signer, engine._nonce = signer, nonce
        async with AsyncExitStack() as stack:
            engine.bundle_address = await bundles.start(share_port=share_port)
            stack.push_async_callback(bundles.close)
            await stack.enter_async_context(engine._client)
            await engine._follow(bundle)
            engine._open = stack.pop_all()
        return engine

    @property
    def active(self) -> Revision:
        """The revision that decides now."""
        return self._active

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        """Returns the complete decision of that revision.

        Raises Outage(POLICY_UNAVAILABLE) for anything else, Outage(OVERLOADED) when too many questions wait.
        """
        return decision_in(_value_of(await self._decided(revision, question, ENTRYPOINT)))

    async def follow(self, activation: int, /) -> None:
        """Raises Outage: an engine by itself knows of no activations; `ActivePolicy` turns it."""
        raise PolicyUnavailable(f"activation {activation} is not followed by an engine alone")

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        """Returns that revision's complete decision on the security side; it fails as `decide` does."""
        if revision.digest == self._active.digest and not self._administers:
            return NOBODY
        return admin_decision_in(_value_of(await self._decided(revision, question, ADMIN_ENTRYPOINT)))

    async def _decided(self, revision: Revision, question: DecisionInput, entrypoint: str) -> Answer:
        """Returns OPA's answer by that revision, which is the active one; raises PolicyUnavailable and PolicyBusy."""
        if revision.digest != self._active.digest:
            raise PolicyUnavailable("the revision asked for is not the active one")
        if len(question.text) > MAX_QUESTION:
            raise PolicyUnavailable("the question is too long")
        async with self._place():
            if not self._breaker.admits():
                raise PolicyUnavailable("OPA failed several times in a row and is asked again in a moment")
            return await self._counted(question, revision.digest, entrypoint)

    async def activate(self, bundle: Bundle) -> None:
        """Gives OPA another bundle and decides by it once OPA does; until then there are outages, a moment long.

        Raises BundleRefused or OpaRefused, and serves the bundle again that was active before.
        """
        await check_bundle(bundle)
        before = self._bundles.archive
        self._bundles.serve(await asyncio.to_thread(archive_of, bundle, self._nonce, self._signer))
        try:
            await self._follow(bundle)
        except BaseException:
            self._bundles.serve(before)
            raise

    async def close(self) -> None:
        """Stops serving the bundle and closes every connection."""
        await self._open.aclose()

    async def _follow(self, bundle: Bundle) -> None:
        """Makes a bundle the active one after OPA has pulled it and has refused a stranger by it."""
        await self._pulled(bundle.revision)

        async def value_of(sample: DecisionInput, entrypoint: str) -> Any:
            try:
                return _value_of(await self._asked(sample, bundle.revision, entrypoint, seconds=_SAMPLE_SECONDS))
            except Unanswered as failed:
                raise PolicyUnavailable(failed.why) from failed

        async def decide(sample: DecisionInput) -> Decision:
            return decision_in(await value_of(sample, ENTRYPOINT))

        async def administer(sample: DecisionInput) -> AdminDecision:
            return admin_decision_in(await value_of(sample, ADMIN_ENTRYPOINT))

        await refuses_a_stranger(decide)
        if bundle.administers:
            await refuses_a_strange_operator(administer)
        self._administers = bundle.administers
        self._active = Revision(bundle.revision, bundle.capabilities)
        self._breaker.succeeded()

    async def _pulled(self, revision: str) -> None:
        """Returns once OPA decides by this revision; raises OpaRefused when it never will, or not in time."""
        seconds = self._settings.start_timeout.total_seconds()
        last = Unanswered("it did not answer")
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await self._asked(STRANGER, revision, ENTRYPOINT, seconds=_SAMPLE_SECONDS)
                    except Unanswered as failed:
                        last = failed
                        if failed.hopeless:
                            break
                        await asyncio.sleep(_PAUSE_SECONDS)
                    else:
                        return
        except TimeoutError:
            pass
        waited = "" if last.hopeless else f", {seconds:g} s after the bundle was offered to it at {self.bundle_address}"
        raise OpaRefused(f"OPA at {self._settings.url} cannot decide: {last.why}{waited}. {last.mend or _SEE}.")

    async def _counted(self, question: DecisionInput, revision: str, entrypoint: str) -> Answer:
        """Returns OPA's answer, and lets the breaker know how it went; raises PolicyUnavailable."""
        try:
            answer = await self._asked(question, revision, entrypoint, seconds=self._limits.decision_seconds)
        except Unanswered as failed:
            _log.warning("opa gave no answer that may be used", extra={"cause": failed.why, "mend": failed.mend})
            if not failed.opa_is_ill:
                self._breaker.succeeded()
            elif self._breaker.failed():
                _log.error("opa is left alone for a moment: too many outages in a row", extra={"cause": failed.why})
            raise PolicyUnavailable(failed.why) from failed
        except BaseException:
            self._breaker.abandoned()
            raise
        if self._breaker.is_open:
            _log.info("opa is back")
        self._breaker.succeeded()
        return answer

    async def _asked(self, question: DecisionInput, revision: str, entrypoint: str, *, seconds: float) -> Answer:
        """Returns OPA's answer by this revision; raises Unanswered for everything else, also when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                body = await self._client.decision(question, entrypoint)
        except TimeoutError as late:
            raise Unanswered(f"it did not answer within {seconds:g} s") from late
        # ValueError is what aiohttp raises for some of what is no HTTP; RuntimeError, for a session that is closed.
        except (aiohttp.ClientError, OSError, EOFError, ValueError, RuntimeError) as wrong:
            # NOTE: aiohttp quotes what it could not read, and whoever answers in OPA's place would write into our log.
            raise Unanswered(f"it cannot be asked ({type(wrong).__name__})") from None
        answer = answer_of(body)
        if answer.revision != served_revision(revision, self._nonce):
            raise Unanswered(_other(answer.revision, revision), _PULL)
        return answer

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Gives one of the connections, in the order of asking; raises PolicyBusy over the bounds of the queue."""
        if self._waiting >= self._limits.most_waiting:
            raise PolicyBusy
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise PolicyBusy from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


_SEE: Final = "See that it runs, that policy.opa.url is its address, and what its log says (docs/policy-engines.md)"
_PULL: Final = "See in OPA's log whether it can pull the bundle from the gateway (docs/policy-engines.md)"


def _other(held: str, revision: str) -> str:
    """Says which revision OPA decides by instead of the gateway's own."""
    if not held:
        return "it decides by no revision of the bundle"
    if held.startswith(revision):
        return f"it decides by revision {revision[:12]}... as another start of a gateway served it"
    return f"it decides by revision {held[:12]}..., not by {revision[:12]}..."


def _value_of(answer: Answer) -> Any:
    """Returns the value of the rule that was asked for; raises PolicyUnavailable where it has none."""
    if not answer.is_defined:
        raise PolicyUnavailable("the decision is undefined")
    return answer.value
