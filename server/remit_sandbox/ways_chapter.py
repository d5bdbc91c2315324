"""The chapter of the story on the ways in: an unmodified tool, a part for one call, a sub-agent, a copilot by MCP."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import Client, StdioServerParameters

import remit
from remit.local.telling import Exit
from remit_sandbox.client_lines import write_settings
from remit_sandbox.configuration import AGENTS
from remit_sandbox.private_files import private_folder
from remit_sandbox.sandbox import Sandbox
from remit_sandbox.stage import Stage, expect

PATIENCE = 60
REMIT, REMIT_MCP = (sys.executable, "-m", "remit.cli"), (sys.executable, "-m", "remit.mcp")
PURPOSE, Q3 = "summarise Q3", "read s3://reports/2026/q3/*"
SUMMARY, REVENUE = "2026/q3/summary.md", "2026/q3/revenue.csv"
READS = (
    "import boto3, sys; print(boto3.client('s3').get_object(Bucket='reports', Key=sys.argv[1])['Body'].read().decode())"
)
WRITES = "import boto3; boto3.client('s3').put_object(Bucket='reports', Key='drafts/q3.md', Body=b'# Q3')"
Holder = remit.Task | remit.Attenuated


@dataclass(frozen=True)
class WaysChapter:
    """One telling. `client` gives a boto3 client on what a holder has, `gateway` an agent's own client of Remit."""

    sandbox: Sandbox
    stage: Stage
    client: Callable[[Holder, str], Any]
    gateway: Callable[[str], remit.Gateway]

    def tell(self, copilot: remit.Gateway, title: str) -> None:
        """Tells it; raises CameOutDifferently at the first step that did not come out as told."""
        self.stage.chapter(title, "Tools that know nothing of Remit, one call of a tool, a sub-agent, a copilot.")
        token = self.sandbox.issuer.token("alice", client_id="copilot")
        environ = _environment(self.sandbox, token)
        self._an_unmodified_tool(environ)
        with copilot.task(PURPOSE, subject_token=token, allow=Q3) as task:
            self._one_call(task)
            self._a_sub_agent(task)
        self._a_copilot(environ)

    def _an_unmodified_tool(self, environ: Mapping[str, str]) -> None:
        """`remit run` gives boto3 a task; what AWS denies it, `remit explain` explains."""
        run = [*REMIT, "run", "--quiet", "--purpose", PURPOSE, "--allow", Q3, "--"]
        with self.stage.step(f"remit run --purpose '{PURPOSE}' --allow '{Q3}' -- python read.py {SUMMARY}") as outcome:
            done = _ran([*run, sys.executable, "-c", READS, SUMMARY], environ)
            expect(done.returncode == 0 and done.stdout.startswith("# Q3"), done.stderr)
            outcome.append(f"“{done.stdout.splitlines()[1]}”")
        with self.stage.step("AWS refuses it to write a draft; `remit explain` says how to ask for that") as outcome:
            pipe = '"$0" -c "$1" 2>&1 | "$0" -m remit.cli explain --json'
            told = json.loads(_ran([*run, "/bin/sh", "-c", pipe, sys.executable, WRITES], environ).stdout)
            expect((told["reason"], told["what"]) == ("NOT_ALLOWED", "AWS refused s3:PutObject"), f"it says {told}")
            outcome.append(told["todo"][0])
        with self.stage.step("all of the bucket is refused, and the command is not started") as outcome:
            done = _ran([*REMIT, "run", "--purpose", PURPOSE, "--allow", "read s3://reports/*", "--", "true"], environ)
            expect(done.returncode == Exit.REFUSED, f"it exits with {done.returncode}")
            outcome.append(f"{done.stderr.partition(':')[0]}, exit code {done.returncode}")

    def _one_call(self, task: remit.Task) -> None:
        """A tool gets one object for a minute."""
        part_of = remit.Permission("s3:GetObject", f"arn:aws:s3:::reports/{SUMMARY}")
        with task.attenuate(part_of) as part:
            s3 = self.client(part, "s3")
            with self.stage.step(f"one call of a tool gets {SUMMARY} of the task, for a minute") as outcome:
                s3.get_object(Bucket="reports", Key=SUMMARY)["Body"].read()
                outcome.append(f"until {part.grant.expire_time:%H:%M:%S} UTC")
            self.stage.aws_refuses(
                "the rest of the task, by that call's credentials",
                lambda: s3.get_object(Bucket="reports", Key=REVENUE),
            )

    def _a_sub_agent(self, task: remit.Task) -> None:
        """The copilot hands a part on to the crawler, by an id that is no secret."""
        token = self.sandbox.issuer.token("alice", client_id="crawler")
        revenue = f"s3:GetObject=arn:aws:s3:::reports/{REVENUE}"
        task_id = task.delegate(AGENTS["crawler"], purpose="look at the revenue")
        beyond = "read s3://reports/2026/q2/*"
        with (
            self.gateway("crawler") as crawler,
            crawler.task("look at the revenue", subject_token=token, allow=revenue, task_id=task_id) as under,
        ):
            with self.stage.step(
                "the copilot hands a part on: the crawler reads the revenue, under the copilot's task"
            ):
                self.client(under, "s3").get_object(Bucket="reports", Key=REVENUE)["Body"].read()
            self.stage.remit_refuses(
                "but nothing that the copilot does not hold itself: the second quarter",
                crawler.task("look back", subject_token=token, allow=beyond, task_id=task_id).__enter__,
                "CEILING_EXCEEDED",
            )

    def _a_copilot(self, environ: Mapping[str, str]) -> None:
        """A copilot asks through MCP, and gets the name of a profile."""
        asyncio.run(self._through_mcp(environ))

    async def _through_mcp(self, environ: Mapping[str, str]) -> None:
        command, *arguments = REMIT_MCP
        async with Client(StdioServerParameters(command=command, args=arguments, env=dict(environ))) as client:
            asked = await client.call_tool("request_aws_access", {"purpose": PURPOSE, "allow": [Q3]})
            access: dict[str, Any] = dict(asked.structured_content or {})
            with self.stage.step("a copilot asks by MCP for the same, and is answered with a profile") as outcome:
                expect(access.get("status") == "granted", str(access))
                expect("SecretAccessKey" not in str(asked) and "aws_secret_access_key" not in str(asked), "it has keys")
                outcome.append(f"{access['profile']}, no key")
            with self.stage.step("any AWS tool with that profile reads what the task may") as outcome:
                profiled = {**environ, **access["environment"]}
                done = await asyncio.to_thread(_ran, [sys.executable, "-c", READS, REVENUE], profiled)
                expect(done.returncode == 0, done.stderr)
                outcome.append(f"“{done.stdout.splitlines()[1]}”")
            await client.call_tool("end_task", {"handle": access["handle"]})


def _environment(sandbox: Sandbox, token: str) -> dict[str, str]:
    """Returns what the copilot's programs run in: the user's token, and no AWS credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REMIT_"))}
    return kept | {
        "REMIT_CONFIG": str(write_settings(sandbox)),
        "REMIT_SUBJECT_TOKEN": token,
        "XDG_RUNTIME_DIR": str(private_folder(sandbox.folder / "run")),
        "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url,
        "AWS_REGION": sandbox.aws.region,
        "AWS_DEFAULT_REGION": sandbox.aws.region,
    }


def _ran(command: list[str], environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Runs a program to its end."""
    return subprocess.run(  # noqa: S603 - the story's own command
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
