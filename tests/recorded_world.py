"""A gateway that decides by the default policy on a real engine, and what agents do at it, for who reads it later."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.approval_world import Approving, approving, person
from tests.databases import Place
from tests.fakes import ACCOUNT, DATA_ROLE, NOON, REPORTS_ROLE, World, permission, role
from tests.policy_bundles import DEFAULT_POLICIES

from remit_server.adapters.database.engine import open_for_reading
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.trail.audit_log import events
from remit_server.adapters.database.trail.decisions import archives_of, decisions_among
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import Bundle, bundle_of
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.rego.again import decided_again
from remit_server.application.approvals.ask_approval import Pending
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.planning.ceilings import kept_ceilings
from remit_server.application.policy.deciding.time_travel import Again, OnRecord
from remit_server.application.policy.ports import NewRevision
from remit_server.domain.audit import GatewayStarted
from remit_server.domain.errors import RemitError
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Actor, ActorKind, Delegation, Principal
from remit_server.domain.permission import Permission
from remit_server.domain.policy_revision import BundleFacts, RevisionSource
from remit_server.domain.secret import Secret
from remit_server.domain.task import Capability

ROLES = (
    role(REPORTS_ROLE, actions=["s3:*"], resources=["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]),
    role(
        DATA_ROLE,
        actions=["dynamodb:*", "secretsmanager:GetSecretValue"],
        resources=[f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/*", f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:*"],
    ),
)
KEPT = kept_ceilings(ROLES, ())
PEOPLE: Mapping[str, tuple[str, ...]] = {
    "alice": ("analysts",),
    "eve": ("analysts", "engineers"),
    "gus": ("gardeners",),
}
SECURITY = person("sam", "security")
ORDERS = f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/orders"
INTENTS: Mapping[str, tuple[Permission | Capability, ...]] = {
    "reads": (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),),
    "reads two": (
        permission(["s3:GetObject", "s3:ListBucket"], ["arn:aws:s3:::reports/2026/*", "arn:aws:s3:::reports"]),
    ),
    "by name": (Capability("s3.read_prefix", {"bucket": "reports", "prefix": "2026/q3/"}),),
    "too much": (permission("s3:*", "arn:aws:s3:::reports/2026/*"),),
    "elsewhere": (permission("s3:GetObject", "arn:aws:s3:::payroll/*"),),
    "never": (permission("iam:CreateUser", "*"),),
    "publishes": (permission("s3:PutObject", "arn:aws:s3:::reports/2026/q3/summary.csv"),),
    "orders": (permission(["dynamodb:GetItem", "dynamodb:Query"], ORDERS),),
    "both roles": (
        permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/a"),
        permission("dynamodb:GetItem", ORDERS),
    ),
    "too long": tuple(
        permission("s3:GetObject", f"arn:aws:s3:::reports/2026/{place:02d}-{'x' * 60}") for place in range(40)
    ),
}


@dataclass
class Recorded:
    """The world, and what was issued in it so far."""

    people: Approving
    grants: list[Grant] = field(default_factory=list)

    @property
    def gateway(self) -> World:
        """The use cases."""
        return self.people.gateway

    async def issues(self, user: str, intent: str, **more: Any) -> RemitError | Issued | Pending:
        """Asks for credentials; a no is an outcome like any other."""
        labels = more.pop("labels", None)
        request = self.gateway.request(*_permissions(intent), user=user, **more, **_capabilities(intent))
        if labels:
            request = replace(request, ask=replace(request.ask, intent=replace(request.ask.intent, labels=labels)))
        try:
            outcome = await self.gateway.issue(request)
        except RemitError as refused:
            return refused
        self.grants.append(outcome.grant)
        if isinstance(outcome, Pending):
            await self.people.says(SECURITY, outcome.approval)
            with suppress(RemitError):
                return await self.gateway.issue(request)
        return outcome

    async def asks(self, user: str, *permissions: Permission) -> None:
        """Asks for permissions; a no is an outcome like any other."""
        with suppress(RemitError):
            await self.gateway.issue(self.gateway.request(*permissions, user=user))

    async def previews(self, user: str, intent: str, **more: Any) -> None:
        """Asks what would happen."""
        with suppress(RemitError):
            await self.gateway.preview(
                self.gateway.ask(*_permissions(intent), user=user, **more, **_capabilities(intent))
            )

    async def renews(self, place: int, **more: Any) -> None:
        """Renews a grant that was issued before."""
        if self.grants:
            grant = self.grants[place % len(self.grants)]
            with suppress(RemitError):
                await self.gateway.renew(self.gateway.renewal(grant, user=grant.subject_id, **more))

    async def ends(self, place: int) -> None:
        """Ends the task of a grant that was issued before."""
        if self.grants:
            with suppress(RemitError):
                await self.gateway.end(self.gateway.admitted(), self.grants[place % len(self.grants)].task_id)

    def waits(self, seconds: int) -> None:
        """Lets time pass."""
        self.gateway.clock.advance(seconds=seconds)


def _permissions(intent: str) -> list[Permission]:
    return [part for part in INTENTS[intent] if isinstance(part, Permission)]


def _capabilities(intent: str) -> Mapping[str, Any]:
    found = tuple(part for part in INTENTS[intent] if isinstance(part, Capability))
    return {"capabilities": found} if found else {}


def default_bundle() -> tuple[Bundle, bytes]:
    """Returns the default policy and its archive."""
    files = read_files(DEFAULT_POLICIES)
    return bundle_of(files), archive_of_files(files)


@asynccontextmanager
async def recorded(place: Place, engine: Any, *, publish: bool = True) -> AsyncIterator[Recorded]:
    """Builds it on a database; its revision is published and its ceilings are kept, as a gateway's start does both."""
    bundle, archive = default_bundle()
    async with approving(place, roles=ROLES, engine=engine, ceilings_digest=KEPT.digest) as people:
        gateway = people.gateway
        agent = Actor("spiffe://remit.sandbox/agent/copilot", ActorKind.SPIFFE, "spiffe://remit.sandbox", "copilot")
        gateway.identity.actors["copilot"] = agent
        for name, groups in PEOPLE.items():
            token = Secret(f"{name}@copilot")
            subject = Principal("https://idp.example", "corp", name, name, groups=groups)
            gateway.identity.subjects[token.reveal()] = Delegation(
                subject, agent, token.fingerprint, NOON, NOON + timedelta(hours=9)
            )
        if publish:
            entitlements = len(json.loads(bundle.data_json)["remit"]["catalog"]["entitlements"]["entitlements"])
            counts = (len(bundle.rules), len(bundle.capabilities), entitlements)
            facts = BundleFacts(bundle.revision, len(archive), None, "", *counts)
            await DatabaseRevisions(gateway.ledger.store).publish(
                NewRevision(facts, archive), by="corp:ada", source=RevisionSource.OFFLINE
            )
        started = GatewayStarted("0", "0" * 64, KEPT.digest, bundle.revision)
        await gateway.ledger.record(started, kept=[KEPT])
        yield Recorded(people)


def on_record(place: Place) -> tuple[OnRecord, ...]:
    """Returns every decision that a database has on record."""
    database = open_for_reading(place)
    try:
        found = list(events(place))
        return database.read_now(lambda connection: decisions_among(found, connection))
    finally:
        database.close_now()


def again(place: Place) -> tuple[Again, ...]:
    """Returns what comes of every decision of a database."""
    decisions = on_record(place)
    database = open_for_reading(place)
    try:
        archives = database.read_now(lambda connection: archives_of([one.revision for one in decisions], connection))
    finally:
        database.close_now()
    return asyncio.run(decided_again(decisions, archives))
