"""Walks the text of a rule node by node, and says of each whether its value is only given another name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remit_server.adapters.rego.linting.modules import opened
from remit_server.adapters.rego.syntax import Node, dotted


@dataclass(frozen=True, slots=True)
class Walked:
    """One node of a rule, its line, whether its value is only given another name, and the call it is an argument of."""

    node: Node
    line: int
    followed: bool = False
    call: str = ""


def walk(root: Any) -> Iterator[Walked]:
    """Yields every node but the insides of references (of their indexes alone), and what `with` replaces.

    Without recursion: the tree is as deep as its author liked.
    """
    waiting: list[tuple[Any, bool, str]] = [(root, False, "")]
    while waiting:
        item, followed, call = waiting.pop()
        if isinstance(item, list):
            waiting.extend((one, followed, call) for one in item)
        elif isinstance(item, dict):
            yield Walked(item, _line(item), followed, call)
            waiting.extend(_parts(item))


def _parts(node: Node) -> Iterator[tuple[Any, bool, str]]:
    """Yields the parts of a node that are to be walked."""
    kind, body = opened(node)
    if kind == "AssignExpr":
        plain = "Var" in body["lhs"]
        yield body["rhs"], plain, ""
        if not plain:
            yield body["lhs"], False, ""
    elif kind in {"SomeIn", "Every"}:
        yield body["collection" if kind == "SomeIn" else "domain"], kind == "Every" or "Var" in body["value"], ""
        yield body.get("query"), False, ""
    elif kind == "Call":
        name = dotted(body["fcn"])[0]
        get = name == "object.get"
        yield body["params"][1:] if get else body["params"], False, "" if get else name
    elif kind in {"RefDot", "RefBrack"}:
        yield from ((index, False, "") for index in _indexes(node))
    else:
        yield from ((part, False, "") for part in _other_parts(node))


def _other_parts(node: Node) -> Iterator[Any]:
    """Yields all parts of a node, and of `with` what is put in the place of something."""
    for key, value in node.items():
        if key == "with_mods":
            yield [one["as"] for one in value]
        elif isinstance(value, dict | list) and key != "span":
            yield value


def _indexes(reference: Node) -> Iterator[Any]:
    """Yields what stands in the brackets of a reference, and what it begins with when that is no name."""
    while True:
        kind, body = next(iter(reference.items()))
        if kind == "RefBrack":
            yield body["index"]
        if kind not in {"RefBrack", "RefDot"}:
            if kind != "Var":
                yield reference
            return
        reference = body["refr"]


def _line(node: Node) -> int:
    """Returns the line on which a node begins, 0 where it has none."""
    for body in node.values():
        if isinstance(body, Mapping) and isinstance(body.get("span"), Mapping):
            return int(body["span"]["line"])
    return 0
