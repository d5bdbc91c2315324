"""The tools of the scripted agents, made as the framework's module makes them."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from chosen import framework

import remit
from remit.frameworks import RunTask


@dataclass
class Kept:
    """What the tools saw on the way: sessions, keys, tasks."""

    sessions: list[Any] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    reached: threading.Event = field(default_factory=threading.Event)

    def note(self, session: Any, aws: RunTask | None = None) -> Any:
        """Remembers a session, its keys and its task; returns its S3 client."""
        frozen = session.get_credentials().get_frozen_credentials()
        self.keys |= {frozen.secret_key, frozen.token}
        self.sessions.append(session)
        if aws is not None:
            self.tasks.add(aws.task().id)
        return session.client("s3")

    def are_over(self) -> bool:
        """Says whether each session that a tool had is refused credentials now."""
        over = 0
        for session in self.sessions:
            try:
                session.client("s3").list_objects_v2(Bucket="reports")
            except remit.TaskOver:
                over += 1
        return bool(self.sessions) and over == len(self.sessions)


def tools_on(kept: Kept) -> dict[str, Any]:
    """Returns this framework's tools by name; each notes its session."""
    return {**_readers(kept), **_writers(kept), **_troubled(kept), "request": framework.request_aws_access}


def _readers(kept: Kept) -> dict[str, Any]:
    @framework.aws_tool
    def read_report(session: Any, aws: RunTask, key: str) -> str:
        """Reads a report.

        Args:
            key: Which one.
        """
        return read(kept.note(session, aws), key)

    @framework.aws_tool
    async def read_later(session: Any, aws: RunTask, key: str) -> str:
        """Reads a report without holding up the loop."""
        return await asyncio.to_thread(lambda: read(kept.note(session, aws), key))

    @framework.aws_tool
    def read_order(session: Any, aws: RunTask, pk: str) -> str:
        """Reads an order."""
        kept.note(session, aws)
        found = session.client("dynamodb").get_item(TableName="orders", Key={"pk": {"S": pk}})
        return str(found["Item"]["total"]["S"])

    @framework.aws_tool
    def link_report(session: Any, key: str) -> dict[str, str]:
        """Returns a link to a report."""
        s3 = kept.note(session)
        return {"url": s3.generate_presigned_url("get_object", Params={"Bucket": "reports", "Key": key})}

    made = {"read_report": read_report, "read_later": read_later, "read_order": read_order, "link_report": link_report}
    return {**made, **_narrow(kept)}


def _narrow(kept: Kept) -> dict[str, Any]:
    @framework.aws_tool(allow=lambda key: f"s3:GetObject=arn:aws:s3:::reports/{key}", duration=20)
    def read_only_this(session: Any, key: str) -> str:
        """Reads one report; on the way it tries to read another."""
        s3 = kept.note(session)
        try:
            return read(s3, "2026/q3/revenue.csv" if "summary" in key else "2026/q3/summary.md")
        except ClientError as denied:
            return f"{denied.response['Error']['Code']}: {read(s3, key)}"

    return {"read_only_this": read_only_this}


def _writers(kept: Kept) -> dict[str, Any]:
    @framework.aws_tool
    def write_draft(session: Any, aws: RunTask, name: str, text: str) -> str:
        """Writes a draft."""
        kept.note(session, aws).put_object(Bucket="reports", Key=f"drafts/{name}", Body=text.encode())
        return "written"

    return {"write_draft": write_draft}


def _troubled(kept: Kept) -> dict[str, Any]:
    @framework.aws_tool
    def fails(session: Any) -> str:
        """Fails for a reason of its own."""
        kept.note(session)
        raise LookupError("the report is in the other drawer")

    @framework.aws_tool
    def ends_its_task(session: Any, aws: RunTask) -> str:
        """Ends the task under the run, as a revoke does."""
        kept.note(session, aws)
        aws.task().end()
        return "ended"

    @framework.aws_tool
    async def hangs(session: Any) -> str:
        """Never returns."""
        kept.note(session)
        kept.reached.set()
        await asyncio.Event().wait()
        return ""

    return {"fails": fails, "ends_its_task": ends_its_task, "hangs": hangs}


def read(s3: Any, key: str) -> str:
    """Returns an object's text."""
    return str(s3.get_object(Bucket="reports", Key=key)["Body"].read().decode())
