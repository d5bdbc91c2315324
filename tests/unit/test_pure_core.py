"""The core, iam, domain and application, is made of the standard library alone."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path(__file__).resolve().parents[2] / "server" / "remit_server"
ALLOWED = {
    "iam": ("remit_server.iam",),
    "domain": ("remit_server.domain", "remit_server.iam"),
    "application": ("remit_server.application", "remit_server.domain", "remit_server.iam"),
}


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_of_the_core_imports_the_standard_library_and_downwards_only(layer: str) -> None:
    modules = sorted((GATEWAY / layer).rglob("*.py"))

    foreign = {
        f"{module.relative_to(GATEWAY)}: {name}"
        for module in modules
        for name in imported(module)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith(ALLOWED[layer])
    }

    assert modules
    assert foreign == set()


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
