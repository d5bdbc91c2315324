"""Runs a scripted agent in Pydantic AI, on its own FunctionModel."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from scripted import Scripted, Turn

from remit.frameworks import RunTask, tells_refusals
from remit.frameworks.pydantic_ai import aws_tool, request_aws_access

__all__ = ["aws_tool", "request_aws_access"]
TITLE = "Pydantic AI"


def model(script: Scripted) -> FunctionModel:
    """Returns the scripted model."""

    def said(messages: list[ModelMessage], info: AgentInfo) -> Turn:
        parts = [part for message in messages for part in message.parts]
        results = [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]
        return script.turn(repr(messages) + repr(info), results)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = said(messages, info)
        if isinstance(turn, str):
            return ModelResponse(parts=[TextPart(turn)])
        return ModelResponse(parts=[ToolCallPart(call.tool, call.arguments, tool_call_id=call.id) for call in turn])

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        turn = said(messages, info)
        if isinstance(turn, str):
            yield turn
            return
        yield {n: DeltaToolCall(call.tool, call.json, tool_call_id=call.id) for n, call in enumerate(turn)}

    return FunctionModel(answer, stream_function=stream)


def build(tools: list[Any], script: Scripted) -> Agent[Any, str]:
    """Returns an agent."""
    return Agent(model(script), deps_type=object, tools=tools)


def run_sync(agent: Agent[Any, str], question: str, context: Any) -> str:
    return agent.run_sync(question, deps=context).output


async def run(agent: Agent[Any, str], question: str, context: Any) -> str:
    return (await agent.run(question, deps=context)).output


async def stream(agent: Agent[Any, str], question: str, context: Any) -> AsyncIterator[Any]:
    async with agent.run_stream_events(question, deps=context) as events:
        async for event in events:
            yield event


def own_tool(read: Any) -> Any:
    """Returns a tool in the framework's own manner, that reads on the run's session."""

    @tells_refusals
    def own_read(ctx: RunContext[RunTask], key: str) -> str:
        """Reads a report."""
        return str(read(ctx.deps.boto3_session(), key))

    return own_read
