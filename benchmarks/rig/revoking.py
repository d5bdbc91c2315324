"""A writer of revocations between a real ledger and a local AWS, and somebody who goes on using what was revoked."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from benchmarks.rig import ledgers

from remit_sandbox.local_aws import LocalAws
from remit_sandbox.sample_account import SampleAccount, role_policies
from remit_server.adapters.aws.revoking.canary import AwsCanary, probe_policy
from remit_server.adapters.aws.revoking.iam_policies import IamRevocationPolicies
from remit_server.adapters.aws.revoking.query import CallFailed, QueryCalls, Service, ec2_of
from remit_server.adapters.aws.revoking.revoker import RevocationNames, RevokerKeys, account_places
from remit_server.adapters.aws.sigv4 import AwsKeys as SigningKeys
from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.revoking.denies import DatabaseDenies
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.revocation.account_writer import Parts
from remit_server.application.revocation.canaries import Canaries
from remit_server.application.revocation.write_denies import WriteDenies
from remit_server.config.settings import AwsSettings
from remit_server.domain.entitlement import Role
from remit_server.domain.secret import Secret
from remit_server.domain.session_names import subject_part
from remit_server.iam import Document

ROLE = "remit-reports"
PATIENCE = 60.0


class Watched(DatabaseDenies):
    """The ledger's outbox; notes when what was observed is on record."""

    def __init__(self, ledger: DatabaseLedger) -> None:
        super().__init__(ledger.store)
        self.observed_at: dict[int, float] = {}
        self.written_at: dict[int, float] = {}

    async def denied(
        self, account: str, holder: str, numbers: Sequence[int], write_time: datetime, assumed_by: datetime
    ) -> None:
        """Records and notes."""
        await super().denied(account, holder, numbers, write_time, assumed_by)
        self.written_at.update(dict.fromkeys(numbers, time.perf_counter()))

    async def observed(self, account: str, holder: str, numbers: Sequence[int], effective_time: datetime) -> None:
        """Records and notes."""
        await super().observed(account, holder, numbers, effective_time)
        self.observed_at.update(dict.fromkeys(numbers, time.perf_counter()))


@dataclass
class Writer:
    """The running writer: what wakes it, and its outbox."""

    wake: Callable[[], None]
    outbox: Watched
    writes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CountedPolicies:
    """The policies at AWS, and how long each version was that was written."""

    inner: IamRevocationPolicies
    written: list[int] = field(default_factory=list)

    def name(self, account: str, place: int, /) -> str:
        """Names."""
        return self.inner.name(account, place)

    async def read(self, account: str, /, *, deadline: float) -> tuple[str | None, ...]:
        """Reads."""
        return await self.inner.read(account, deadline=deadline)

    async def write(self, account: str, place: int, text: str, /, *, deadline: float) -> None:
        """Writes and counts."""
        await self.inner.write(account, place, text, deadline=deadline)
        self.written.append(len(text))

    async def tidy(self, account: str, place: int, /, *, deadline: float) -> None:
        """Tidies."""
        await self.inner.tidy(account, place, deadline=deadline)


@asynccontextmanager
async def running_writer(aws: LocalAws, account: SampleAccount, ledger: DatabaseLedger) -> AsyncIterator[Writer]:
    """Runs a writer as a gateway does, until the block ends."""
    clock, keys = SystemClock(), account.gateway_keys
    settings = AwsSettings(
        region=account.region,
        endpoint_url=aws.endpoint_url,
        access_key_id=keys.access_key_id,
        secret_access_key=Secret(keys.secret_access_key),
    )
    roles = [
        Role(arn, account.region, Document.parse(role_policies()[name]), timedelta(hours=1))
        for name, arn in account.role_arns.items()
    ]
    places = account_places(roles, RevocationNames())
    sts = AwsSts(settings, [*roles, *(place.revoker for place in places.values())], clock=clock)
    calls, outbox, holder = QueryCalls(clock), Watched(ledger), system_entropy(16).hex()
    iam = IamRevocationPolicies(places, calls, RevokerKeys(places, sts, clock), aws.endpoint_url)
    policies = CountedPolicies(iam)
    canaries = Canaries(AwsCanary(roles, sts, calls, clock, aws.endpoint_url), outbox, clock, system_entropy, holder)
    parts, wake = Parts(outbox, policies, canaries, clock, holder), asyncio.Event()
    writing = asyncio.create_task(WriteDenies(parts, wake, random.random)())
    try:
        yield Writer(wake.set, outbox, policies.written)
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await calls.close()
        await sts.close()


@dataclass
class Street:
    """Where holders of credentials use them: one client to open their sessions, one to make their calls.

    They ask which regions there are: nothing lighter can be refused.
    """

    sts: Any
    calls: QueryCalls
    service: Service
    role: str

    @classmethod
    def of(cls, aws: LocalAws, account: SampleAccount) -> "Street":
        """Returns that of a local AWS."""
        sts = aws.client("sts", account.gateway_keys)
        service = ec2_of(account.region, aws.endpoint_url)
        return cls(sts, QueryCalls(SystemClock()), service, account.role_arns[ROLE])

    def holder(self, number: int) -> "Holder":
        """Opens the session of a grant of the filled ledger; blocks."""
        task, subject = ledgers.base32(number), subject_part(ledgers.ISSUER, "alice")
        answer = self.sts.assume_role(
            RoleArn=self.role,
            RoleSessionName=task,
            DurationSeconds=900,
            Tags=[
                {"Key": "remit:grant", "Value": f"{subject}.{task}.{task}"},
                {"Key": "remit:by", "Value": "actor.revision"},
            ],
            Policy=probe_policy(),
        )["Credentials"]
        secret, token = Secret(answer["SecretAccessKey"]), Secret(answer["SessionToken"])
        return Holder(self, task, SigningKeys(answer["AccessKeyId"], secret, token))


@dataclass
class Holder:
    """Somebody with the credentials of a task, who does not stop using them."""

    street: Street
    task: str
    keys: SigningKeys

    async def works(self) -> bool:
        """Says whether AWS lets a call through."""
        deadline = self.street.calls.clock.monotonic() + PATIENCE
        try:
            await self.street.calls(self.street.service, "DescribeRegions", {}, self.keys, deadline=deadline)
        except CallFailed as refused:
            if refused.code != "UnauthorizedOperation":
                raise
            return False
        return True

    async def until_refused(self) -> float:
        """Uses the credentials until AWS refuses them; returns when that was."""
        deadline = time.perf_counter() + PATIENCE
        while await self.works():
            if time.perf_counter() > deadline:
                raise RuntimeError("the credentials still work")
            await asyncio.sleep(0.01)
        return time.perf_counter()
