"""docs/tasks.md tells agents' authors what the Python client takes, as it takes it."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import remit

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
CALLED: dict[str, Callable[..., object]] = {
    "task": remit.Gateway.task,
    "attenuate": remit.Task.attenuate,
    "delegate": remit.Task.delegate,
}


def arguments(start: str) -> set[str]:
    """Returns the arguments in the first table after these words."""
    table = PAGE.partition(start)[2].partition("\n|---|---|\n")[2].partition("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize(
    ("start", "function"),
    [
        ("Where the gateway is", remit.Gateway),
        ('What it needs, `gateway.task("why", ...)`', remit.Gateway.task),
        ("## For one tool call", remit.Task.attenuate),
    ],
    ids=["gateway", "task", "attenuate"],
)
def test_every_argument_in_a_table_is_one(start: str, function: Callable[..., object]) -> None:
    told = arguments(start)

    assert told
    assert told <= inspect.signature(function).parameters.keys()


def test_each_call_on_the_page_is_one_that_the_client_takes() -> None:
    calls = [
        node
        for block in BLOCKS
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLED
    ]

    assert len(calls) > 4
    for call in calls:
        assert isinstance(call.func, ast.Attribute)
        given = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
        inspect.signature(CALLED[call.func.attr]).bind(None, *(None for _ in call.args), **given)


def test_what_the_page_names_of_the_package_is_there() -> None:
    named = set(re.findall(r"`remit\.([A-Z]\w+)", PAGE))

    assert named
    assert [name for name in named if not hasattr(remit, name)] == []
