"""Runs a scripted agent in Google's Agent Development Kit, on a model of its own BaseLlm class."""

import json
from collections.abc import AsyncIterator
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools import ToolContext
from google.genai import types
from scripted import Scripted

from remit.frameworks import tells_refusals
from remit.frameworks.google_adk import aws_tool, request_aws_access, run_config, run_task

__all__ = ["aws_tool", "request_aws_access"]
TITLE = "Google ADK"


class ScriptedModel(BaseLlm):
    """A model that says what the script does."""

    script: Any

    async def generate_content_async(self, llm_request: LlmRequest, stream: bool = False) -> Any:
        del stream  # every answer is whole
        parts = [part for content in llm_request.contents for part in content.parts or []]
        responses = [part.function_response.response or {} for part in parts if part.function_response]
        results = [one["result"] if isinstance(one.get("result"), str) else json.dumps(one) for one in responses]
        turn = self.script.turn(llm_request.model_dump_json(fallback=repr), results)
        said = (
            [types.Part(text=turn)]
            if isinstance(turn, str)
            else [
                types.Part(function_call=types.FunctionCall(id=call.id, name=call.tool, args=call.arguments))
                for call in turn
            ]
        )
        yield LlmResponse(content=types.Content(role="model", parts=said))


def model(script: Scripted) -> ScriptedModel:
    """Returns the scripted model."""
    return ScriptedModel(model="scripted", script=script)


def build(tools: list[Any], script: Scripted) -> Runner:
    """Returns a runner of an agent, with sessions in memory."""
    agent = LlmAgent(name="scripted", model=model(script), tools=tools)
    return Runner(app_name="reports", agent=agent, session_service=InMemorySessionService(), auto_create_session=True)


def _said(events: list[Any]) -> str:
    parts = events[-1].content.parts if events and events[-1].content else []
    return "".join(part.text or "" for part in parts)


def _asked(question: str, context: Any) -> dict[str, Any]:
    return {
        "user_id": "alice",
        "session_id": f"s{id(context)}",
        "new_message": types.Content(role="user", parts=[types.Part(text=question)]),
        "run_config": None if context is None else run_config(context),
    }


def run_sync(agent: Runner, question: str, context: Any) -> str:
    return _said(list(agent.run(**_asked(question, context))))


async def run(agent: Runner, question: str, context: Any) -> str:
    return _said([event async for event in agent.run_async(**_asked(question, context))])


async def stream(agent: Runner, question: str, context: Any) -> AsyncIterator[Any]:
    async for event in agent.run_async(**_asked(question, context)):
        yield event


def own_tool(read: Any) -> Any:
    """Returns a tool in the framework's own manner, that reads on the run's session."""

    @tells_refusals
    def own_read(key: str, tool_context: ToolContext) -> str:
        """Reads a report."""
        return str(read(run_task(tool_context).boto3_session(), key))

    return own_read
