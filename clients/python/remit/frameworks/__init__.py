"""A task for each run of an agent in a framework: `remit.frameworks.langchain`, `.pydantic_ai`, `.openai_agents`, ...

    with RunTask(gateway, "summarise Q3", subject_token=token, allow=[reports]) as aws:
        graph.invoke({"messages": [question]}, context=aws)

The framework carries the RunTask to the tools in its own context; `aws_tool` of the framework's module makes the tools.
"""

from remit.frameworks.core.answers import answer_to, tells_refusals
from remit.frameworks.core.run_task import RunTask

__all__ = ["RunTask", "answer_to", "tells_refusals"]
