"""The story of `make demo`: what Remit promises, shown on real parts, each step held to how it was told."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

import remit
from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.policy_chapter import PolicyChapter
from remit_sandbox.sandbox import Sandbox
from remit_sandbox.stage import Stage, expect
from remit_sandbox.ways_chapter import Holder, WaysChapter
from remit_sandbox.wording import policy_in_words, record_in_words
from remit_server.adapters.database.engine import open_for_reading
from remit_server.adapters.database.trail.audit_log import AuditLog, verify
from remit_server.domain.audit import ChainBroken, ChainedEvent, ChainIntact

SHORT_TASK_SECONDS = 20
DENIED_WITHIN_SECONDS = 60
Q3 = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")
LIST_Q3 = remit.Capability("s3.list_prefix", bucket="reports", prefix="2026/q3/")
OFFERED = ("arn:aws:s3:::reports/2026/*", "arn:aws:s3:::reports/drafts/*")
ALL_REPORTS = remit.Permission(["s3:GetObject"], ["arn:aws:s3:::reports/*"])


@dataclass(frozen=True)
class Story:
    """One telling, on a running sandbox. `name_session` lets a bucket policy name a session, as its owner would."""

    sandbox: Sandbox
    stage: Stage
    name_session: Callable[[str], None]

    def tell(self) -> None:
        """Tells everything in order; raises CameOutDifferently at the first step that did not come out as told."""
        with self._gateway("copilot") as copilot:
            self._credentials_for_one_task(copilot)
            self._too_much(copilot)
            self._never(copilot)
            self._over_in_seconds(copilot)
            self._ended(copilot)
            PolicyChapter(self.sandbox, self.stage, self._stolen).tell(copilot, "7. A policy that lets too much")
            WaysChapter(self.sandbox, self.stage, self._client, self._gateway).tell(copilot, "8. Every way in")
        self._the_trail()

    def _gateway(self, agent: str) -> remit.Gateway:
        """Returns the real client of an agent, with the agent's own certificate."""
        pair = self.sandbox.agents[agent]
        return remit.Gateway(
            self.sandbox.mtls,
            ca_file=self.sandbox.authority.bundle_path,
            certificate_file=pair.certificate_path,
            key_file=pair.key_path,
        )

    def _token(self, user: str, client_id: str) -> str:
        """Returns what the identity provider gives a user who signs in to an agent."""
        return self.sandbox.issuer.token(user, client_id=client_id)

    def _client(self, task: Holder, service: str) -> Any:
        """Returns a real boto3 client on the task's credentials, pointed at the local AWS."""
        return task.boto3_session().client(
            service,
            endpoint_url=self.sandbox.aws.endpoint_url,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def _stolen(self, credentials: remit.Credentials) -> Any:
        """Returns a boto3 client on the bare keys, as a thief would use them: no client of ours stops it."""
        keys = AwsKeys(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        return self.sandbox.aws.client("s3", keys)

    def _credentials_for_one_task(self, copilot: remit.Gateway) -> None:
        """A copilot reads one prefix for alice, and AWS refuses everything else."""
        stage = self.stage
        stage.chapter(
            "1. A copilot works for alice: “summarise Q3”",
            "It presents her token and its own certificate, and asks to read s3://reports/2026/q3/*.",
        )
        token = self._token("alice", "copilot")
        with copilot.task("summarise Q3", subject_token=token, allow=[Q3, LIST_Q3]) as task:
            s3 = self._client(task, "s3")
            grant = task.grant
            with stage.step("policy decides, containment is proven, it is recorded, and AWS STS gives credentials"):
                expect(grant.entitlements == ("reports-reader",), f"entitlements {grant.entitlements}")
            stage.say(
                f"entitlement {grant.entitlements[0]}, until {grant.expire_time:%H:%M:%S} UTC, under this "
                f"session policy ({len(grant.session_policy)} of 2,048 characters):",
                *(f"· {line}" for line in policy_in_words(grant.session_policy)),
            )
            with stage.step("boto3 reads s3://reports/2026/q3/summary.md with them") as outcome:
                text = s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read().decode()
                expect(text.startswith("# Q3"), "the object is not the one that was asked for")
                outcome.append(f"“{text.splitlines()[1]}”")
            self._aws_says_no(task, s3)

    def _aws_says_no(self, task: remit.Task, s3: Any) -> None:
        """With the very same credentials, AWS itself refuses what the task did not ask for."""
        stage = self.stage
        stage.chapter(
            "2. The same credentials, beyond the task", "Nothing of Remit's stands in between: AWS itself refuses."
        )
        stage.aws_refuses(
            "another prefix: s3://reports/2026/q2/summary.md",
            lambda: s3.get_object(Bucket="reports", Key="2026/q2/summary.md"),
        )
        stage.aws_refuses(
            "deleting what it may read", lambda: s3.delete_object(Bucket="reports", Key="2026/q3/summary.md")
        )
        iam = self._client(task, "iam")
        stage.aws_refuses("iam:CreateAccessKey", lambda: iam.create_access_key(UserName="remit-gateway"))
        sts = self._client(task, "sts")
        role = self.sandbox.account.role_arns["remit-data"]
        stage.aws_refuses("sts:AssumeRole", lambda: sts.assume_role(RoleArn=role, RoleSessionName="another"))
        self.name_session(self.sandbox.account.session_arn("remit-reports", task.id))
        stage.aws_refuses(
            "a partner's bucket whose policy names this very session (Allows alone would not stop it)",
            lambda: s3.get_object(Bucket="partner-drop", Key="inbox/price-list.csv"),
        )

    def _too_much(self, copilot: remit.Gateway) -> None:
        """All of the bucket is refused, with what could be had; narrow gets exactly that."""
        stage = self.stage
        stage.chapter("3. It asks for the whole bucket", "A refusal says what to ask for instead.")
        token = self._token("alice", "copilot")
        error = stage.remit_refuses(
            "s3:GetObject on s3://reports/*",
            lambda: copilot.task("summarise Q3", subject_token=token, allow=ALL_REPORTS).__enter__(),
            "CEILING_EXCEEDED",
        )
        with stage.step("it names the failing permission, the rule, the remedy, and the part that could be had"):
            expect(isinstance(error, remit.Refused), "it is no refusal")
            assert isinstance(error, remit.Refused)  # noqa: S101 - for the type checker: `expect` has raised
            expect(error.failures and error.failures[0].rule == "entitlements", "the rule is not named")
            expect(error.remedy is remit.Remedy.NARROW, f"the remedy is {error.remedy}")
            expect([item.resources for item in error.offer] == [OFFERED], f"the offer is {error.offer}")
        stage.say(
            # Each role has failed for itself: said once.
            *dict.fromkeys(f"failed: {item.action} on {item.resource}, by {item.rule}" for item in error.failures),
            *(f"remedy: {error.remedy}, to {item}" for item in error.offer),
        )
        with copilot.task("summarise 2026", subject_token=token, allow=ALL_REPORTS, narrow=True) as task:
            s3 = self._client(task, "s3")
            with stage.step("narrow=True gets exactly that part"):
                expect(_allowed(task.grant.session_policy) == OFFERED, "it got something else")
            with stage.step("the second quarter, which it had no access to before, can now be read"):
                s3.get_object(Bucket="reports", Key="2026/q2/summary.md")["Body"].read()
            stage.aws_refuses("the salaries still", lambda: s3.get_object(Bucket="reports", Key="hr/salaries.csv"))

    def _never(self, copilot: remit.Gateway) -> None:
        """What no way of asking leads to."""
        stage = self.stage
        stage.chapter("4. What is never handed over", "Each is refused before AWS is asked, and each is on record.")
        token = self._token("alice", "copilot")

        def ask(allow: remit.Permission | remit.Capability, *, by: remit.Gateway = copilot, of: str = token) -> None:
            by.task("tidy up", subject_token=of, allow=allow).__enter__()

        stage.remit_refuses(
            "deleting on production",
            lambda: ask(remit.Capability("s3.delete_object", bucket="production", key="orders/2026-11-23.parquet")),
            "POLICY_DENIED",
        )
        stage.remit_refuses("iam:*", lambda: ask(remit.Permission("iam:*", "*")), "NEVER_ISSUABLE")
        stage.remit_refuses(
            "a wildcard in a capability's bucket name",
            lambda: ask(remit.Capability("s3.read_prefix", bucket="*", prefix="2026/q3/")),
            "INVALID_REQUEST",
        )
        with self._gateway("crawler") as crawler:
            stage.remit_refuses(
                "alice's token, stolen and presented by another agent", lambda: ask(Q3, by=crawler), "TOKEN_NOT_BOUND"
            )
        stage.remit_refuses(
            "an agent without a user: its own token in the user's place",
            lambda: ask(Q3, of=self.sandbox.issuer.agent_token("copilot")),
            "SUBJECT_TOKEN_REJECTED",
        )

    def _over_in_seconds(self, copilot: remit.Gateway) -> None:
        """Credentials end to the second, although STS gives none for less than fifteen minutes."""
        stage = self.stage
        stage.chapter(
            f"5. A task of {SHORT_TASK_SECONDS} seconds",
            "STS gives nothing under 900 s: the session policy itself ends these credentials.",
        )
        token = self._token("alice", "copilot")
        with copilot.task("one quick look", subject_token=token, allow=Q3, duration=SHORT_TASK_SECONDS) as task:
            s3 = self._stolen(task.credentials())
            with stage.step(f"until {task.grant.expire_time:%H:%M:%S} UTC they read"):
                s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()
            left = (task.grant.expire_time - datetime.now(UTC)).total_seconds()
            with stage.console.status(f"waiting {left:.0f} s for the end of the task …"):
                time.sleep(max(left, 0) + 1)
            stage.aws_refuses(
                f"at {datetime.now(UTC):%H:%M:%S} UTC the same keys, the same call",
                lambda: s3.get_object(Bucket="reports", Key="2026/q3/summary.md"),
            )

    def _ended(self, copilot: remit.Gateway) -> None:
        """A task that is over takes its credentials with it, and those of no other task."""
        stage = self.stage
        stage.chapter(
            "6. One of two tasks is over",
            "Both hold keys for a quarter of an hour. Leaving a `with` block ends its task, and AWS is told.",
        )
        token = self._token("alice", "copilot")
        with copilot.task("a second pair of eyes", subject_token=token, allow=Q3) as other:
            with copilot.task("a last look", subject_token=token, allow=Q3) as task:
                task_id, thief, other_s3 = task.id, self._stolen(task.credentials()), self._client(other, "s3")
                with stage.step("both read, and a thief has copied the keys of the second one"):
                    _read(thief)
                    _read(other_s3)
            ended = time.monotonic()
            with stage.step("the answer says that AWS is being told, and until when the keys work at the longest"):
                expect(task.end().denying, "it says that they run into their time guard")
            with stage.step("the second one is over: AWS refuses the thief, long before the keys would end") as outcome:
                took = _seconds_until_refused(thief, since=ended)
                expect(took is not None, f"after {DENIED_WITHIN_SECONDS} s AWS still does what the thief asks")
                outcome.append(f"{took:.1f} s after the end")
            with stage.step("the first one reads on, with its own keys"):
                _read(other_s3)
            stage.remit_refuses(
                "new credentials for the task that is over",
                lambda: copilot.task("again", subject_token=token, allow=Q3, task_id=task_id).__enter__(),
                "GRANT_NOT_LIVE",
            )

    def _the_trail(self) -> None:
        """Everything is on record, and a changed record is found."""
        stage = self.stage
        stage.chapter("9. The audit trail", "One hash chain; each record was on disk before its answer was given.")
        events = asyncio.run(_events(self.sandbox.database))
        stage.table("#", "time", "what", "for whom", "and", rows=[record_in_words(event) for event in events])
        with stage.step(f"the chain of {len(events)} records verifies"):
            expect(isinstance(verify(self.sandbox.database), ChainIntact), "it does not")
        place = next(event.sequence for event in events if event.kind == "grant_authorized")
        copy = _copy_with_one_byte_changed(self.sandbox.database, place)
        with stage.step(f"one byte of record {place} is changed in a copy: verifying names it") as outcome:
            verdict = verify(copy)
            expect(isinstance(verdict, ChainBroken) and verdict.sequence == place, f"it says {verdict}")
            assert isinstance(verdict, ChainBroken)  # noqa: S101 - for the type checker: `expect` has raised
            outcome.append(f"record {verdict.sequence}: {verdict.what}")


def _allowed(session_policy: str) -> tuple[str, ...]:
    """Returns the resources that a session policy's Allows name."""
    allows = [item["Resource"] for item in json.loads(session_policy)["Statement"] if item["Effect"] == "Allow"]
    return tuple(name for item in allows for name in ([item] if isinstance(item, str) else item))


def _read(s3: Any) -> None:
    """Reads the summary of the third quarter; raises ClientError when AWS refuses."""
    s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()


def _seconds_until_refused(s3: Any, *, since: float) -> float | None:
    """Returns how long after `since` AWS refuses what it did before; None when it does not."""
    while (took := time.monotonic() - since) < DENIED_WITHIN_SECONDS:
        try:
            _read(s3)
        except ClientError as refused:
            expect(refused.response["Error"]["Code"] == "AccessDenied", f"AWS says {refused}")
            return took
        time.sleep(0.05)
    return None


async def _events(database: Path) -> list[ChainedEvent]:
    """Reads the trail."""
    opened = open_for_reading(database)
    try:
        return [event async for event in AuditLog(opened).events()]
    finally:
        await opened.close()


def _copy_with_one_byte_changed(database: Path, sequence: int) -> Path:
    """Copies the database and changes one byte of one record in the copy."""
    copy = database.with_name("tampered.sqlite3")
    copy.unlink(missing_ok=True)
    with sqlite3.connect(database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        (body,) = target.execute("SELECT body FROM audit_events WHERE sequence = ?", (sequence,)).fetchone()
        changed = body.replace("reports-reader", "reports-reaper", 1)
        target.execute("UPDATE audit_events SET body = ? WHERE sequence = ?", (changed, sequence))
    source.close()
    target.close()
    return copy
