"""Runs a scripted agent in the OpenAI Agents SDK, on a model of its own Model interface."""

from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, RunContextWrapper, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from scripted import Scripted

from remit.frameworks import RunTask, tells_refusals
from remit.frameworks.openai_agents import aws_tool, request_aws_access

__all__ = ["aws_tool", "request_aws_access"]
TITLE = "OpenAI Agents SDK"
set_tracing_disabled(disabled=True)  # it would send traces away


class ScriptedModel(Model):
    """A model that says what the script does."""

    def __init__(self, script: Scripted) -> None:
        self.script = script

    async def get_response(  # the interface names the arguments
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 - named by the interface
        model_settings: Any,
        tools: Any,
        *_: Any,
        **__: Any,
    ) -> Any:
        del model_settings
        return ModelResponse(output=self._said(system_instructions, input, tools), usage=Usage(), response_id=None)

    async def stream_response(
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 - named by the interface
        model_settings: Any,
        tools: Any,
        *_: Any,
        **__: Any,
    ) -> AsyncIterator[Any]:
        del model_settings
        response = Response(
            id="r",
            created_at=0,
            model="scripted",
            object="response",
            output=self._said(system_instructions, input, tools),
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
        )
        yield ResponseCompletedEvent(response=response, sequence_number=0, type="response.completed")

    def _said(self, system: Any, shown: Any, tools: Any) -> list[Any]:
        items = shown if isinstance(shown, list) else []
        results = [str(item["output"]) for item in items if item.get("type") == "function_call_output"]
        turn = self.script.turn(repr(system) + repr(shown) + repr([tool.params_json_schema for tool in tools]), results)
        if isinstance(turn, str):
            text = ResponseOutputText(text=turn, type="output_text", annotations=[])
            return [ResponseOutputMessage(id="m", type="message", role="assistant", content=[text], status="completed")]
        return [
            ResponseFunctionToolCall(name=call.tool, arguments=call.json, call_id=call.id, type="function_call")
            for call in turn
        ]


model = ScriptedModel


def build(tools: list[Any], script: Scripted) -> Agent[Any]:
    """Returns an agent."""
    return Agent("scripted", model=ScriptedModel(script), tools=tools)


def run_sync(agent: Agent[Any], question: str, context: Any) -> str:
    return str(Runner.run_sync(agent, question, context=context).final_output)


async def run(agent: Agent[Any], question: str, context: Any) -> str:
    return str((await Runner.run(agent, question, context=context)).final_output)


async def stream(agent: Agent[Any], question: str, context: Any) -> AsyncIterator[Any]:
    async for event in Runner.run_streamed(agent, question, context=context).stream_events():
        yield event


def own_tool(read: Any) -> Any:
    """Returns a tool in the framework's own manner, that reads on the run's session."""

    @function_tool
    @tells_refusals
    def own_read(ctx: RunContextWrapper[RunTask], key: str) -> str:
        """Reads a report."""
        return str(read(ctx.context.boto3_session(), key))

    return own_read
