"""docs/capabilities.md says of each capability of the default catalogue what the catalogue says."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.policy_bundles import DEFAULT_POLICIES

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.bundles.capability_json import capability
from remit_server.adapters.strict_yaml import strict_yaml
from remit_server.domain.capability import ParameterKind, expand
from remit_server.domain.task import Capability

PAGE = (Path(__file__).parents[2] / "docs" / "capabilities.md").read_text(encoding="utf-8")
CATALOGUE = read_bundle(DEFAULT_POLICIES).capabilities
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@cache
def section(name: str) -> str:
    found = re.search(rf"^### {re.escape(name)}\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    return found.group(1) if found else ""


def asked_for(example: str) -> Iterator[Capability]:
    """Yields the capabilities that a piece of Python asks for."""
    for node in ast.walk(ast.parse(example)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "remit.Capability":
            parameters = {str(item.arg): str(ast.literal_eval(item.value)) for item in node.keywords}
            yield Capability(str(ast.literal_eval(node.args[0])), parameters)


def test_the_page_has_the_capabilities_there_are_in_their_order() -> None:
    headings = re.findall(r"^### (\S+)$", PAGE, re.MULTILINE)

    assert headings == list(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_capability_is_described_as_the_catalogue_has_it(name: str) -> None:
    template = CATALOGUE[name]
    said = section(name)

    rows = [
        f"| `{parameter}` | `{kind.label}` | {'optional' if parameter in template.optional else 'required'} |"
        for parameter, kind in template.parameters.items()
    ]
    texts = [
        text
        for permission in template.permissions
        for text in (
            *permission.actions,
            *permission.resources,
            *(text for condition in permission.conditions for text in (condition.key, *condition.values)),
        )
    ]
    assert f"{template.description}." in said
    assert [row for row in rows if row not in said] == []
    assert len(re.findall(r"^\| `", said, re.MULTILINE)) == len(rows)
    assert [text for text in texts if f"`{text}`" not in said] == []
    assert re.search(r"^Does not give: .{20,}", said, re.MULTILINE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_example_of_a_capability_can_be_asked_for(name: str) -> None:
    (example,) = EXAMPLE.findall(section(name))

    (asked,) = asked_for(example)

    assert asked.name == name
    assert expand(asked, CATALOGUE, path="c")


def test_the_example_of_a_task_can_be_asked_for() -> None:
    asked = list(asked_for(EXAMPLE.findall(PAGE)[0]))

    assert [item.name for item in asked] == ["s3.read_prefix", "s3.list_prefix"]
    assert all(expand(item, CATALOGUE, path="c") for item in asked)


@pytest.mark.parametrize("kind", ParameterKind)
def test_every_type_of_a_parameter_is_explained_in_its_own_words(kind: ParameterKind) -> None:
    assert f"| `{kind.label}` | {kind.meaning} |" in PAGE


def test_the_capability_that_the_page_adds_is_sound() -> None:
    text = "\n".join(
        line.removeprefix("   ") for line in PAGE.partition("```yaml\n")[2].partition("```")[0].splitlines()
    )
    ((name, value),) = strict_yaml(text)[0].items()

    template = capability(name, value)

    assert template.name not in CATALOGUE
