"""Reads the engine's syntax tree into what the safety rules ask about: rules, and the names their text refers to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Node = Mapping[str, Any]

_REFERENCES: Final = frozenset({"RefDot", "RefBrack", "Var"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted name in a rule's text, imports written out, up to its first index that is no literal string."""

    name: str
    line: int
    called: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its path (`data.remit.issue.decision`), its package, where it stands, and what it refers to.

    `bound` are the variables it declares itself (arguments, `:=`, `some`, `every`): such a name is not a rule's.
    """

    path: str
    package: str
    file: str
    line: int
    references: tuple[Reference, ...]
    bound: frozenset[str]


def rules_of(module: Node) -> Iterator[Rule]:
    """Yields the rules of one module of the engine's syntax tree."""
    tree = module["ast"]
    contents = str(module["source"]["contents"]).encode("utf-8")
    package = f"data.{dotted(tree['package']['refr'])[0]}"
    aliases = dict(imports_of(tree, contents))
    for rule in tree["rules"]:
        kind, body = next(iter(rule.items()))
        head = body if kind == "Default" else next(iter(body["head"].values()))
        text = [
            list(_indexes(head["refr"])),
            [value for key, value in head.items() if key != "refr"],
            body.get("bodies", []),
        ]
        references = tuple(_reference(node, called, aliases) for node, called in _references(text))
        yield Rule(
            path=f"{package}.{dotted(head['refr'])[0]}",
            package=package,
            file=str(module["source"]["file"]),
            line=int(body["span"]["line"]),
            references=references,
            bound=frozenset(_bound(text, head.get("args") or [], contents)),
        )


def imports_of(tree: Node, contents: bytes) -> Iterator[tuple[str, str]]:
    """Yields (alias, path) for each import."""
    for item in tree["imports"]:
        path, _ = dotted(item["refr"])
        alias = item.get("as")
        yield (source_of(contents, alias) if alias else path.rpartition(".")[2]), path


def _reference(node: Node, called: bool, aliases: Mapping[str, str]) -> Reference:
    """Returns a reference with its import written out."""
    path, line = dotted(node)
    first, dot, rest = path.partition(".")
    return Reference(f"{aliases.get(first, first)}{dot}{rest}", line, called)


def nodes(root: Any) -> Iterator[Node]:
    """Yields every object below a node, without recursion: the tree is as deep as its author liked."""
    waiting: list[Any] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            yield item
            waiting.extend(value for value in item.values() if isinstance(value, dict | list))


def _references(root: Any) -> Iterator[tuple[Node, bool]]:
    """Yields every outermost reference below a node, and whether it is called."""
    inner: set[int] = set()
    called: set[int] = set()
    for node in nodes(root):
        if "Call" in node:
            called.add(id(node["Call"]["fcn"]))
        if _REFERENCES & node.keys() and id(node) not in inner:
            yield node, id(node) in called
        for kind in ("RefDot", "RefBrack"):
            if kind in node:
                inner.add(id(node[kind]["refr"]))


def _bound(root: Any, arguments: Any, contents: bytes) -> Iterator[str]:
    """Yields the names that a rule declares itself."""
    yield from variables(arguments)
    for node in nodes(root):
        if "AssignExpr" in node and node["AssignExpr"]["op"] == "ColEq":
            yield from variables(node["AssignExpr"]["lhs"])
        if "SomeIn" in node:
            yield from variables([node["SomeIn"]["key"], node["SomeIn"]["value"]])
        if "SomeVars" in node:
            yield from (source_of(contents, span) for span in node["SomeVars"].get("vars", []))
        if "Every" in node:
            spans = (node["Every"]["key"], node["Every"]["value"])
            yield from (source_of(contents, span) for span in spans if span)


def variables(root: Any) -> Iterator[str]:
    """Yields the names of the plain variables below a node."""
    yield from (str(node["Var"]["value"]) for node in nodes(root) if "Var" in node)


def _indexes(reference: Node) -> Iterator[Any]:
    """Yields what stands in the brackets of a reference."""
    while "Var" not in reference:
        kind, body = next(iter(reference.items()))
        if kind not in _REFERENCES:
            yield reference
            return
        if kind == "RefBrack":
            yield body["index"]
        reference = body["refr"]


def dotted(reference: Node) -> tuple[str, int]:
    """Returns a reference as a dotted path up to its first index that is no literal string, and its line.

    What begins with neither a variable nor a rule, such as a call's outcome, has the empty path.
    """
    steps: list[str] = []
    while True:
        kind, body = next(iter(reference.items()))
        line = int(body["span"]["line"])
        if kind == "Var":
            return ".".join([str(body["value"]), *reversed(steps)]), line
        if kind not in _REFERENCES:
            return "", line
        if kind == "RefDot":
            steps.append(str(body["field"][1]))
        elif "String" in body["index"]:
            steps.append(str(body["index"]["String"]["value"]))
        else:
            steps.clear()
        reference = body["refr"]


def source_of(contents: bytes, span: Node) -> str:
    """Returns the source text of a span, whose bounds count bytes."""
    return contents[span["start"] : span["end"]].decode("utf-8")
