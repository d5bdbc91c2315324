"""The chapter of the story on policies: one that lets too much is published, activated, and gone back from."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

import remit
from remit_sandbox.configuration import sample_policies
from remit_sandbox.sandbox import Sandbox
from remit_sandbox.stage import Stage, expect
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.operator_client import Connection, OperatorClient
from remit_server.transport.grpc.policy import calls

SALARIES = remit.Permission(["s3:GetObject"], ["arn:aws:s3:::reports/hr/salaries.csv"])
REFUSED_WITHIN_SECONDS = 60
_CATALOGUE = "remit/catalog/entitlements/data.yaml"
_BEFORE, _AFTER = b'"arn:aws:s3:::reports/2026/*"', b'"arn:aws:s3:::reports/*"'
_SHORT = 12


@dataclass(frozen=True)
class PolicyChapter:
    """One telling. `stolen` gives a client of S3 on a task's bare keys."""

    sandbox: Sandbox
    stage: Stage
    stolen: Callable[[remit.Credentials], Any]

    def tell(self, copilot: remit.Gateway, title: str) -> None:
        """Tells it; raises CameOutDifferently at the first step that did not come out as told."""
        stage = self.stage
        stage.chapter(title, "One line of the catalogue was meant well: analysts may delegate all of reports/*.")
        token = self.sandbox.issuer.token("alice", client_id="copilot")

        def ask() -> AbstractContextManager[remit.Task]:
            return copilot.task("look around", subject_token=token, allow=SALARIES)

        with self._security_team() as team:
            with stage.step("bob publishes it: checked, kept, known to every replica") as outcome:
                published = calls.publish(team, candidate())
                expect(published.created, "it had been published before")
                bad = published.revision.revision
                outcome.append(f"revision {bad[:_SHORT]}")
            stage.say(*(_told(one) for one in calls.list_revisions(team, 10)))
            stage.remit_refuses("it decides nothing yet: the salaries", ask().__enter__, "CEILING_EXCEEDED")
            with stage.step("he activates it: so much for the salaries"):
                activated = calls.activate(team, bad[:8], "quicker reports")
                expect(activated.activation.revision == bad, "another one was activated")
            with ask() as task:
                self._go_back(team, bad, task)
            with stage.step("the salaries, asked for again") as outcome:
                outcome.append(_refusal(ask()))

    def _go_back(self, team: OperatorClient, bad: str, task: remit.Task) -> None:
        """Goes back from a revision that has issued credentials, and ends them."""
        s3 = self.stolen(task.credentials())
        with self.stage.step("the copilot reads them, and nobody meant that"):
            _read(s3)
        with self.stage.step("he goes back, and ends what it issued: no replica decides by it any more") as outcome:
            began = time.monotonic()
            back = calls.activate(team, "", "it lets too much", revoke_issued=True, rollback=True)
            took = time.monotonic() - began
            expect(back.previous_revision == bad, "another one was gone back from")
            expect(back.revoked_grants == 1, f"{back.revoked_grants} grants were ended")
            outcome.append(f"{took:.2f} s, 1 grant ended")
        with self.stage.step("AWS refuses the keys that it issued") as outcome:
            outcome.append(f"{_seconds_until_refused(s3, since=began):.1f} s after the rollback")

    @contextmanager
    def _security_team(self) -> Iterator[OperatorClient]:
        """Gives what the commands of `remit-server policy` call by, with bob's token."""

        def token() -> Secret:
            return Secret(self.sandbox.issuer.operator_token("bob"))

        connection = Connection(self.sandbox.bearer, self.sandbox.authority.bundle_path, token=token)
        with OperatorClient(connection) as client:
            yield client


def candidate() -> bytes:
    """Returns the sample policy, with one line of its catalogue changed, as it is sent."""
    files = read_files(sample_policies())
    changed = files[_CATALOGUE].replace(_BEFORE, _AFTER, 1)
    expect(changed != files[_CATALOGUE], "the sample policy has no such line")
    return archive_of_files({**files, _CATALOGUE: changed, ".manifest": b'{"roots": ["remit"], "rego_version": 1}'})


def _refusal(asked: AbstractContextManager[remit.Task]) -> str:
    """Returns the reason of a task that is refused; raises CameOutDifferently for one that is not."""
    try:
        asked.__enter__()
    except remit.Refused as refused:
        expect(refused.reason == "CEILING_EXCEEDED", f"the gateway's reason was {refused.reason}")
        return refused.reason
    expect(None, "the gateway said yes")
    return ""


def _told(revision: calls.PolicyRevision) -> str:
    """Returns a published revision in a line."""
    mark = "*" if revision.active else "·"
    return f"{mark} {revision.revision[:_SHORT]}  published by {revision.publisher}"


def _read(s3: Any) -> None:
    """Reads the salaries; raises ClientError when AWS refuses."""
    s3.get_object(Bucket="reports", Key="hr/salaries.csv")["Body"].read()


def _seconds_until_refused(s3: Any, *, since: float) -> float:
    """Returns how long after `since` AWS refuses what it did before; raises CameOutDifferently when it does not."""
    while (took := time.monotonic() - since) < REFUSED_WITHIN_SECONDS:
        try:
            _read(s3)
        except ClientError as refused:
            expect(refused.response["Error"]["Code"] == "AccessDenied", f"AWS says {refused}")
            return took
        time.sleep(0.05)
    expect(took < REFUSED_WITHIN_SECONDS, f"after {REFUSED_WITHIN_SECONDS} s AWS still does what they ask")
    return took
