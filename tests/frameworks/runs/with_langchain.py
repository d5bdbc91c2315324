"""Runs a scripted agent in LangGraph, on LangChain's own fake chat model."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, message_to_dict
from langchain_core.tools import BaseTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime, tools_condition
from scripted import Scripted

from remit.frameworks import RunTask, tells_refusals
from remit.frameworks.langchain import aws_tool, request_aws_access

__all__ = ["aws_tool", "request_aws_access"]
TITLE = "LangChain and LangGraph"


class Model(GenericFakeChatModel):
    """LangChain's fake model, whose next message is the script's."""

    script: Any
    tools: tuple[Any, ...] = ()

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self.model_copy(update={"tools": tuple(tools)})

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **named: Any) -> Any:
        schemas = [json.dumps(one.tool_call_schema.model_json_schema()) for one in self.tools]
        shown = json.dumps([message_to_dict(message) for message in messages], default=repr)
        results = [str(message.content) for message in messages if isinstance(message, ToolMessage)]
        said = self.script.turn(shown + "".join(schemas), results)
        message = AIMessage(
            said if isinstance(said, str) else "",
            tool_calls=[]
            if isinstance(said, str)
            else [{"name": c.tool, "args": c.arguments, "id": c.id} for c in said],
        )
        self.messages = iter([message])
        return super()._generate(messages, *arguments, **named)


def model(script: Scripted) -> Model:
    """Returns the scripted model."""
    return Model(messages=iter(()), script=script)


def build(tools: list[BaseTool], script: Scripted) -> Any:
    """Returns the usual loop of a model and its tools."""
    bound = model(script).bind_tools(tools)

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", ask)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()


def run_sync(agent: Any, question: str, context: Any) -> str:
    return str(agent.invoke({"messages": [HumanMessage(question)]}, context=context)["messages"][-1].content)


async def run(agent: Any, question: str, context: Any) -> str:
    done = await agent.ainvoke({"messages": [HumanMessage(question)]}, context=context)
    return str(done["messages"][-1].content)


async def stream(agent: Any, question: str, context: Any) -> AsyncIterator[Any]:
    async for event in agent.astream({"messages": [HumanMessage(question)]}, context=context, stream_mode="updates"):
        yield event


def own_tool(read: Any) -> BaseTool:
    """Returns a tool in the framework's own manner, that reads on the run's session."""

    @tool
    @tells_refusals
    def own_read(key: str, runtime: ToolRuntime[RunTask]) -> str:
        """Reads a report."""
        return str(read(runtime.context.boto3_session(), key))

    return own_read


def without_a_graph(tool: BaseTool, arguments: dict[str, Any], context: Any) -> Iterator[str]:
    """Calls a tool as a chain does."""
    yield str(tool.invoke(arguments, config={"configurable": {"aws": context}}))
