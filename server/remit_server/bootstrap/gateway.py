"""Builds a whole gateway out of its settings, by hand, and starts and stops its parts in order."""

import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from importlib.metadata import version

from aiohttp import web

from remit_server.adapters.database.approvals.approvals import DatabaseApprovals
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.lifecycle.renewals import DatabaseRenewals
from remit_server.adapters.database.revoking.denies import DatabaseDenies
from remit_server.adapters.database.trail.erasing import DatabaseErasing
from remit_server.adapters.identity import steady_clock
from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.identity.oidc import OidcVerifier, TrustedIssuer
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.adapters.metrics.cells import Cells
from remit_server.adapters.own_files import room_for
from remit_server.adapters.own_memory import keep_memory_private
from remit_server.adapters.policy.activation.active import ActivePolicy
from remit_server.adapters.policy.sources.choosing import FirstOffer
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.admission import Admission, Budget, Places, Rejections, SubjectBudget
from remit_server.application.approvals.ask_approval import AskApproval
from remit_server.application.attenuation import attenuate_credentials
from remit_server.application.attenuation.attenuate_credentials import AttenuateCredentials
from remit_server.application.caller import identify_caller, recall_decision
from remit_server.application.caller.identify_caller import IdentifyCaller
from remit_server.application.caller.recall_decision import RecallDecision
from remit_server.application.delegating import delegate_task
from remit_server.application.issuing import end_task, issue_credentials, preview_credentials
from remit_server.application.issuing.end_task import EndTask
from remit_server.application.issuing.hearing import Hearing
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.application.issuing.preview_credentials import PreviewCredentials
from remit_server.application.lifecycle import renew_credentials, watch_task
from remit_server.application.lifecycle.renew_credentials import RenewCredentials
from remit_server.application.planning.ceilings import Ceilings, kept_ceilings
from remit_server.application.ports import AssumeRole, Revision
from remit_server.application.sweep import Sweep
from remit_server.bootstrap.approvals import let_people_decide
from remit_server.bootstrap.background import in_background
from remit_server.bootstrap.checkpoints import keep_checkpoints
from remit_server.bootstrap.delegating import let_agents_delegate
from remit_server.bootstrap.events import hear_events
from remit_server.bootstrap.notices import tell_people
from remit_server.bootstrap.oversight import Oversight, oversee
from remit_server.bootstrap.policies import let_authors_publish
from remit_server.bootstrap.policy import PolicyParts, follow_policy
from remit_server.bootstrap.revocation import write_revocations
from remit_server.bootstrap.shadow import decide_in_shadow
from remit_server.bootstrap.starting import on_record
from remit_server.bootstrap.sts import follow_own_issuer, reach_sts
from remit_server.bootstrap.tasks import REVOKING, sweep_of, watch_tasks
from remit_server.bootstrap.telemetry import Telemetry, look_on
from remit_server.config.settings import Settings
from remit_server.domain.audit import GatewayStarted
from remit_server.domain.decision import KeptText
from remit_server.domain.errors import RemitError
from remit_server.domain.policy_records import RevisionActivated, RevisionPublished
from remit_server.transport.grpc.credential_service import CredentialService
from remit_server.transport.grpc.server import GrpcServer
from remit_server.transport.http.server import HttpServer
from remit_server.transport.http.well_known import well_known_routes

_log = logging.getLogger(__name__)
# A thread of the ledger asks for the interpreter after each statement. Where it waits Python's usual 5 ms for the loop
# each time, one transaction takes as long as twenty calls.
THREADS_TAKE_TURNS = timedelta(milliseconds=0.5)
GRACE = timedelta(seconds=25)  # longer than what follows AUTHORIZED may take: no half-issued grant at a stop


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is serving: the addresses where agents call, as `host:port` in the order of the settings."""

    addresses: tuple[str, ...]
    policy_revision: str
    http_address: str | None = None
    metrics_address: str | None = None

    @property
    def where(self) -> str:
        """Every address, for a log."""
        http = [] if self.http_address is None else [f"{self.http_address} (HTTP)"]
        metrics = [] if self.metrics_address is None else [f"{self.metrics_address} (metrics)"]
        return ", ".join([*self.addresses, *http, *metrics])


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of a gateway's worker processes this one is; one that is alone is the first of one.

    `nonce` names the start of the gateway, the same in all of its workers; one that is alone makes its own. `cells` are
    where all of them count.
    """

    number: int = 1
    of: int = 1
    nonce: str | None = None
    cells: Cells | None = None


ALONE = Seat()


@asynccontextmanager
async def running_gateway(
    settings: Settings, *, first: FirstOffer | None = None, seat: Seat = ALONE
) -> AsyncIterator[Gateway]:
    """Starts a gateway and stops it at the end of the block, letting running calls end first.

    Nothing is served before the policy has refused a known-bad sample and the start is on record. `first` is what the
    policy's source offered where it was asked already, for all workers once; a worker shares the ports with the others
    of its gateway.
    Raises BundleRefused, DatabaseRefused, RemitError or RuntimeError when it cannot start.
    """
    keep_memory_private()
    sys.setswitchinterval(THREADS_TAKE_TURNS.total_seconds())
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        telemetry = look_on(stack, settings, seat.number, seat.cells)
        ledger = await stack.enter_async_context(
            open_ledger(
                settings.database_url,
                clock,
                password_file=settings.database_password_file,
                denying=settings.revocation is not None,
                observer=telemetry.records,
                commits=telemetry.commits,
            )
        )
        policy = await follow_policy(stack, settings, ledger, clock, first, nonce=seat.nonce)
        rejections = Rejections(ledger, clock)
        issuer = await follow_own_issuer(stack, settings.own_issuer)
        sts = reach_sts(stack, settings, clock, issuer, looks_for_keys=True)
        issuers = _issuers(stack, settings, clock)
        # NOTE: on a budget of its own: however much agents ask for, AWS is told who is revoked.
        revoking = reach_sts(stack, settings, clock, issuer)
        wake = await write_revocations(stack, settings, DatabaseDenies(ledger.store), clock, revoking)
        service = await _service(
            stack,
            settings,
            clock=clock,
            ledger=ledger,
            policy=policy,
            rejections=rejections,
            sts=sts,
            issuers=issuers,
            wake=wake,
            telemetry=telemetry,
        )
        oversight = Oversight(settings, clock, ledger, rejections, issuers, policy.decides)
        doors = oversight.doors()
        overseen = await oversee(stack, oversight, doors, wake=wake)
        overseen = [*overseen, let_people_decide(oversight, doors, wake=wake)]
        overseen.append(await let_authors_publish(stack, oversight, doors, policy, wake=wake))
        await keep_checkpoints(stack, settings.checkpoints, ledger.store, clock, counted=telemetry.checkpoints)
        await tell_people(stack, settings.notifications, ledger.store, clock)
        erasing = DatabaseErasing(ledger.store, settings.audit_keep, _kept_ceilings(settings))
        _sweeping(stack, sweep_of(ledger, rejections, clock, erasing))
        server = GrpcServer(
            [service.offered, *overseen],
            concurrent_calls=settings.limits.concurrent_calls,
            streams=settings.limits.streams,
            connections=room_for(settings.limits.connections, listeners=len(settings.listeners)),
            with_reflection=settings.reflection,
            observer=telemetry.calls,
        )
        # At a stop: first the server with its calls, then what goes on after callers have hung up.
        stack.push_async_callback(service.issue.to_the_end.settled)
        stack.push_async_callback(server.stop, GRACE)
        addresses = tuple(server.listen(listener) for listener in settings.listeners)
        started, kept = _started(settings, policy.active.active, seat), [_kept_ceilings(settings)]
        await on_record(partial(ledger.record, started, kept=kept))
        await server.start()
        routes = [
            *await hear_events(stack, settings.events, ledger, clock, wake=wake),
            *([] if issuer is None else well_known_routes(issuer)),
        ]
        http = await _http(stack, settings, routes)
        metrics = await telemetry.tell(stack, settings, ledger, policy.active, clock)
        yield Gateway(addresses, policy.active.active.digest, http, metrics)


async def _http(stack: AsyncExitStack, settings: Settings, routes: Sequence[web.RouteDef]) -> str | None:
    """Starts the HTTP listener, where there is one, and returns its address."""
    if settings.http is None:
        return None
    http = HttpServer(settings.http, routes)
    address = await http.start()
    stack.push_async_callback(http.stop, GRACE)
    return address


def _started(settings: Settings, revision: Revision, seat: Seat) -> GatewayStarted:
    """Returns the record of this process's start."""
    return GatewayStarted(
        version=version("remit"),
        configuration_digest=settings.digest,
        ceilings_digest=settings.ceilings_digest,
        policy_revision=revision.digest,
        worker=seat.number,
        workers=seat.of,
    )


def _kept_ceilings(settings: Settings) -> KeptText:
    """Returns the ceilings as records name them, so that what was decided under them can be decided again."""
    return kept_ceilings(settings.roles, [str(action) for action in settings.forbidden_extra])


def _issuers(stack: AsyncExitStack, settings: Settings, clock: SystemClock) -> Sequence[TrustedIssuer]:
    """Returns the issuers with their keys, which begin to be fetched."""
    keys = [IssuerKeys.over_https(item, clock) for item in settings.issuers]
    for held in keys:
        held.begin()
        stack.push_async_callback(held.close)
    return [TrustedIssuer(item.settings, item) for item in keys]


async def _service(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    clock: SystemClock,
    ledger: DatabaseLedger,
    policy: PolicyParts,
    rejections: Rejections,
    sts: AssumeRole,
    issuers: Sequence[TrustedIssuer],
    wake: Callable[[], None],
    telemetry: Telemetry,
) -> CredentialService:
    """Wires the use cases to what they need."""
    verifier, sts = OidcVerifier(issuers, clock), telemetry.sts(sts)
    forbidden = tuple(str(action) for action in settings.forbidden_extra)
    deliberate = telemetry.deliberation(Ceilings.of(settings.roles, forbidden, settings.ceilings_digest))
    stack.callback(deliberate.close)
    delegation = DelegationVerification(settings.agents, verifier)
    accepts = steady_clock.AcceptsWhileClockIsSteady(delegation.accepts_offline, clock)
    limits = settings.limits
    watch = await watch_tasks(stack, settings, ledger, clock, wakes=_wakes(wake, policy.active))
    hearing = Hearing(
        telemetry.verification(steady_clock.WhileClockIsSteady(delegation, clock)),
        telemetry.policy(policy.decides),
        ledger,
        deliberate,
        clock,
        watch.watching.called_for,
        await decide_in_shadow(stack, settings, ledger),
        SubjectBudget(Budget(clock, limits.requests_per_minute_per_subject, "agent, for this user,")),
    )
    previews = Budget(clock, limits.previews_per_minute)
    budgets = {
        issue_credentials.METHOD: Budget(clock, limits.requests_per_minute),
        **dict.fromkeys((preview_credentials.METHOD, identify_caller.METHOD, recall_decision.METHOD), previews),
        attenuate_credentials.METHOD: Budget(clock, limits.requests_per_minute),
        end_task.METHOD: Budget(clock, limits.requests_per_minute),
        delegate_task.METHOD: Budget(clock, limits.requests_per_minute),
        renew_credentials.METHOD: Budget(clock, limits.requests_per_minute),
        # After a restart all of an agent's streams are opened again at once.
        watch_task.METHOD: Budget(clock, limits.requests_per_minute + limits.streams_per_actor),
    }
    agents = ActorAuthentication(settings.agents, SpiffeVerifier(settings.spiffe_trust_domains, clock), verifier)
    authenticate = steady_clock.ProvesWhileClockIsSteady(agents, clock)
    admit = Admission(authenticate, rejections, ledger, budgets, Places(limits.concurrent_calls_per_actor))
    ask = AskApproval(DatabaseApprovals(ledger.store), system_entropy, settings.approvals.lapse)
    issue = IssueCredentials(hearing, ledger, sts, clock, system_entropy, ask)
    renewals = DatabaseRenewals(ledger.store)
    return CredentialService(
        admit=admit,
        admit_streams=replace(admit, places=Places(limits.streams_per_actor, "streams")),
        issue=issue,
        preview=PreviewCredentials(hearing, ledger, clock),
        renew=RenewCredentials(hearing, ledger, renewals, accepts, sts, clock, ask, issue.to_the_end),
        end=EndTask(ledger, clock, clock.unsettled_for),
        watch=watch,
        attenuate=AttenuateCredentials(
            hearing, ledger, renewals, sts, clock, system_entropy, clock.unsettled_for, issue.to_the_end
        ),
        identify=IdentifyCaller(hearing, ledger, clock),
        recall=RecallDecision(ledger),
        delegate=let_agents_delegate(settings, ledger, clock, watch.watching.called_for),
    )


def _wakes(wake: Callable[[], None], policy: ActivePolicy) -> Mapping[str, Callable[[], None]]:
    """Returns what has work to do after which records: the writer of revocations, and the policy."""
    policies = {RevisionActivated.kind: policy.look, RevisionPublished.kind: policy.published}
    return {**dict.fromkeys(REVOKING, wake), **policies}


def _sweeping(stack: AsyncExitStack, sweep: Sweep) -> None:
    """Sweeps in the background until the gateway stops, then writes what was counted."""

    async def write() -> None:
        try:
            await sweep.rejections.write()
        except RemitError:
            _log.exception("callers that were rejected lately could not be recorded")

    stack.push_async_callback(write)  # once nothing sweeps any more
    in_background(stack, sweep(), "sweep")
