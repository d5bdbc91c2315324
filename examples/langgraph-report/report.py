"""An agent that reads a quarter's reports for a user and writes a draft, with AWS access for that run and no longer.

python report.py                        on a scripted model, which needs no provider
python report.py --model PROVIDER:NAME  on a real one, by LangChain's init_chat_model

Who the agent is and whom it works for: REMIT_GATEWAY, REMIT_CA_FILE (a private authority's), REMIT_CERTIFICATE_FILE,
REMIT_KEY_FILE, REMIT_SUBJECT_TOKEN.
"""

# ruff: noqa: T201 - a command-line program prints

import os
import sys
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from scripted_model import ScriptedModel

import remit
from remit.frameworks.langchain import RunTask, aws_tool, request_aws_access

QUESTION = (
    "Write a draft of two lines on the third quarter: reports/2026/q3/summary.md and revenue.csv have the figures."
)


@aws_tool
def read_report(session: Any, key: str) -> str:
    """Reads a report.

    Args:
        key: Its key in the bucket `reports`, such as 2026/q3/summary.md.
    """
    text: str = session.client("s3").get_object(Bucket="reports", Key=key)["Body"].read().decode()
    return text


@aws_tool
def write_draft(session: Any, name: str, text: str) -> str:
    """Keeps a draft.

    Args:
        name: The name of the draft, such as q3.md.
        text: The whole of it.
    """
    session.client("s3").put_object(Bucket="reports", Key=f"drafts/{name}", Body=text.encode())
    return f"written to drafts/{name}"


def main(model: str | None) -> None:
    """Runs the agent once, and shows what the model says and is told."""
    agent = create_agent(
        init_chat_model(model) if model else ScriptedModel(messages=iter(())),
        [read_report, write_draft, request_aws_access],
    )
    gateway = remit.Gateway(
        os.environ["REMIT_GATEWAY"],
        ca_file=os.environ.get("REMIT_CA_FILE"),
        certificate_file=os.environ["REMIT_CERTIFICATE_FILE"],
        key_file=os.environ["REMIT_KEY_FILE"],
    )
    run = RunTask(
        gateway,
        "draft the report on Q3",
        subject_token=os.environ["REMIT_SUBJECT_TOKEN"],
        allow="s3:GetObject=arn:aws:s3:::reports/*",  # more than policy gives anybody: the model has to narrow it
        at_most="s3:PutObject=arn:aws:s3:::reports/drafts/*",  # what the model may ask for on top
        region="eu-central-1",
    )
    with run as aws:
        for update in agent.stream({"messages": [("user", QUESTION)]}, context=aws, stream_mode="updates"):
            for step in update.values():
                for message in step["messages"]:
                    show(message)
    print(f"\nthe run is over: {run!r}")


def show(message: Any) -> None:
    """Prints a message: what the model calls, what it is told, what it says last."""
    for call in getattr(message, "tool_calls", []):
        print(f"\n> {call['name']} {call['args']}")
    if message.content:
        print(message.content)


if __name__ == "__main__":
    main(sys.argv[2] if sys.argv[1:2] == ["--model"] else None)
