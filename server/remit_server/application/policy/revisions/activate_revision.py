"""Makes a published revision the one that decides, or goes back to one that was active before."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from remit_server.application.oversight.authorizing import NOT_BY_POLICY, Authorize
from remit_server.application.oversight.revoke import REVOKE
from remit_server.application.policy.going_back import nowhere, one_before
from remit_server.application.policy.ports import Activated, ActivationOrder, Prepare, Revisions
from remit_server.application.policy.revisions.naming_revisions import found, told
from remit_server.domain.administration import Visibility
from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest, Outage, Reason, RemitError, told_of
from remit_server.domain.operator import Operator
from remit_server.domain.policy_revision import PublishedRevision
from remit_server.domain.revocation import Target, TargetKind

ACTIVATE: Final = "PolicyService.ActivateRevision"
# Returns once this process decides by an activation, or a later one; raises Outage when it does not in time.
Follow = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ActivationRequest:
    """What an operator wants to decide, by the first digits of its digest.

    With `back` only what was active before; for no digits the one that `going_back` finds.
    """

    operator: Operator
    digits: str
    why: str
    revoke_issued: bool = False
    expected_active: str = ""
    back: bool = False


@dataclass(frozen=True, slots=True)
class ActivateRevision:
    """Activates at an operator's word: whom the active policy lets, and administrators who go back.

    NOTE: the second is what a bad revision cannot forbid (4-policy.md): its own rollback.
    """

    authorize: Authorize
    revisions: Revisions
    prepare: Prepare
    follow: Follow
    wake: Callable[[], None]

    async def __call__(self, request: ActivationRequest) -> Activated:
        """Returns once no replica issues by another revision.

        Raises Denied(NOT_FOUND), Denied(REVISION_REFUSED) for what this gateway cannot load or what was never active
        where only that is allowed, and Denied(REVISION_CHANGED) when another than `expected_active` is active.
        """
        decides = await self._decides(request)
        meant, request = await self._meant(request)
        only_back = await self._allow(request, meant)
        assert isinstance(meant, PublishedRevision)  # noqa: S101 - for the type checker: `_allow` has raised
        if not only_back:
            request = _bound(request, decides, meant.revision)
        if request.revoke_issued:
            request = await self._allow_revoke(request, meant)
        await self.prepare(meant.revision)
        done = await self.revisions.activate(
            ActivationOrder(
                revision=meant.revision,
                by=request.operator.name,
                why=request.why,
                revoke_issued=request.revoke_issued,
                expected_active=request.expected_active,
                only_back=request.back or only_back,
            )
        )
        if request.revoke_issued:
            self.wake()
        # It holds already, on every replica; this one does not even refuse by the revision before, if it can help it.
        with suppress(Outage):
            await self.follow(done.activation.number)
        return done

    async def _decides(self, request: ActivationRequest) -> str:
        """Returns the active revision, once this process decides by it if it can; empty when there is none."""
        active = await self.revisions.active()
        if active is None:
            return ""
        # NOTE: an administrator who goes back needs nobody's yes, and waits for no revision that is being loaded.
        if not (request.back and request.operator.name in self.authorize.administrators):
            with suppress(Outage):
                await self.follow(active.number)
        return active.revision

    async def _meant(self, request: ActivationRequest) -> tuple[PublishedRevision | RemitError, ActivationRequest]:
        """Returns the revision that is meant, and the request as it says so."""
        if request.digits:
            return await found(self.revisions, request.digits), request
        if not request.back:
            return InvalidRequest([FieldViolation("revision", "is required, unless it goes back")]), request
        active, before = await one_before(self.revisions)
        # NOTE: "the one before" is of the moment: another activation meanwhile is told, and not gone back from.
        request = replace(request, expected_active=request.expected_active or active)
        return (await found(self.revisions, before) if before else nowhere()), request

    async def _allow(self, request: ActivationRequest, meant: PublishedRevision | RemitError) -> bool:
        """Returns once the call is allowed and on record; True for an administrator, who may only go back."""
        about = f"{told(meant, request.digits)}{', going back' if request.back else ''}: {request.why}"

        async def check(_: Visibility) -> None:
            if isinstance(meant, RemitError):
                raise meant

        try:
            await self.authorize(request.operator, ACTIVATE, about=about, check=check)
        except Exception as no:
            if isinstance(meant, RemitError) or told_of(no).reason not in NOT_BY_POLICY:
                raise
            if not await self.authorize.as_administrator(request.operator, ACTIVATE, about=about):
                raise
            return True
        return False

    async def _allow_revoke(self, request: ActivationRequest, meant: PublishedRevision) -> ActivationRequest:
        """Returns the request once its revoke is allowed, which is a right of its own, and bound to what it is for."""
        active = await self.revisions.active()
        if active is None or active.revision == meant.revision:
            return request
        target = Target(TargetKind.REVISION, active.revision)
        await self.authorize(
            request.operator, REVOKE, target=target, block=True, about=f"{target}, blocked: {request.why}", whole=True
        )
        return replace(request, expected_active=request.expected_active or active.revision)


def _bound(request: ActivationRequest, decides: str, meant: str) -> ActivationRequest:
    """Returns the request for as long as the revision is active that let it; raises Denied(REVISION_CHANGED).

    NOTE: to load what is meant takes its time. Whom a bad revision lets could else hold calls ready with which to undo
    its rollback.
    """
    if decides not in {"", meant, request.expected_active or decides}:
        message = "another revision is active than was expected. Look again, and decide by what is active now"
        raise Denied(Reason.REVISION_CHANGED, message)
    return replace(request, expected_active=request.expected_active or decides)
