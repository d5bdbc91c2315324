"""A chat model that needs no provider: it does what a sensible one would with what it is told, always the same."""

import json
from typing import Any, Self

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatResult

KEYS = ("2026/q3/summary.md", "2026/q3/revenue.csv")
Calls = list[tuple[str, dict[str, Any]]]


class ScriptedModel(GenericFakeChatModel):
    """LangChain's fake model, whose next message follows from the tools' results so far."""

    def bind_tools(self, tools: Any, **_: Any) -> Self:  # noqa: ARG002 - it knows them by name
        """Returns itself."""
        return self

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **named: Any) -> ChatResult:
        results = [message for message in messages if isinstance(message, ToolMessage)]
        calls = _next(results)
        made = [
            {"name": name, "args": told, "id": f"{len(results)}-{place}"} for place, (name, told) in enumerate(calls)
        ]
        self.messages = iter([AIMessage("" if made else "The draft is in drafts/q3.md.", tool_calls=made)])
        return super()._generate(messages, *arguments, **named)


def _next(results: list[ToolMessage]) -> Calls:
    """Returns the tools to call next; none when the work is done."""
    if not results:
        return _read()
    last = results[-1]
    told = json.loads(last.text) if last.text.startswith("{") else {}
    match told.get("status"):
        case "refused":  # too much was asked for: of what is offered, what this question needs
            assert "s3:GetObject" in told["offer"][0]  # noqa: S101 - the script knows its story
            return [
                ("request_aws_access", {"allow": ["s3:GetObject=arn:aws:s3:::reports/2026/q3/*"], "why": "to read Q3"})
            ]
        case "denied":  # AWS says what is missing, and the run may ask for it
            return [("request_aws_access", {"allow": told["ask_for"], "why": "to keep the draft"})]
        case "granted":
            return _write(results) if _reports(results) else _read()
        case _:
            return [] if last.name == "write_draft" else _write(results)


def _read() -> Calls:
    return [("read_report", {"key": key}) for key in KEYS]


def _reports(results: list[ToolMessage]) -> list[str]:
    """Returns the reports that were read."""
    return [result.text for result in results if result.name == "read_report" and not result.text.startswith("{")]


def _write(results: list[ToolMessage]) -> Calls:
    """Returns the call that keeps the draft, made of what was read."""
    summary = next(text for text in _reports(results) if text.startswith("#"))
    lines = next(text for text in _reports(results) if "region" in text).strip().splitlines()
    best = max(lines[1:], key=lambda line: int(line.partition(",")[2])).partition(",")[0]
    return [("write_draft", {"name": "q3.md", "text": f"{summary.strip().splitlines()[1]}\nBest region: {best}.\n"})]
