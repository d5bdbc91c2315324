"""Runs a scripted agent in Strands, on a model of its own Model class."""

from collections.abc import AsyncIterator
from typing import Any

from scripted import Scripted
from strands import Agent, ToolContext, tool
from strands.models import Model

from remit.frameworks import tells_refusals
from remit.frameworks.strands import aws_tool, request_aws_access

__all__ = ["aws_tool", "request_aws_access"]
TITLE = "Strands"


class ScriptedModel(Model):
    """A model that says what the script does."""

    def __init__(self, script: Scripted) -> None:
        self.script = script

    def update_config(self, **_: Any) -> None:
        """There is nothing to set."""

    def get_config(self) -> Any:
        return {}

    def structured_output(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream(self, messages: Any, tool_specs: Any = None, system_prompt: Any = None, **_: Any) -> Any:
        blocks = [block["toolResult"] for message in messages for block in message["content"] if "toolResult" in block]
        results = ["".join(part["text"] for part in block["content"]) for block in blocks]
        turn = self.script.turn(repr(messages) + repr(tool_specs) + repr(system_prompt), results)
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(turn, str):
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": turn}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}
            return
        for call in turn:
            yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": call.id, "name": call.tool}}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": call.json}}}}
            yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use"}}


model = ScriptedModel


def build(tools: list[Any], script: Scripted) -> Agent:
    """Returns an agent that prints nothing."""
    return Agent(model=ScriptedModel(script), tools=tools, callback_handler=None)


def run_sync(agent: Agent, question: str, context: Any) -> str:
    return str(agent(question, invocation_state={"aws": context})).strip()


async def run(agent: Agent, question: str, context: Any) -> str:
    return str(await agent.invoke_async(question, invocation_state={"aws": context})).strip()


async def stream(agent: Agent, question: str, context: Any) -> AsyncIterator[Any]:
    async for event in agent.stream_async(question, invocation_state={"aws": context}):
        yield event


def own_tool(read: Any) -> Any:
    """Returns a tool in the framework's own manner, that reads on the run's session."""

    @tool(context=True)
    @tells_refusals
    def own_read(key: str, tool_context: ToolContext) -> str:
        """Reads a report."""
        return str(read(tool_context.invocation_state["aws"].boto3_session(), key))

    return own_read
