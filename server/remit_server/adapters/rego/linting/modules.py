"""The syntax tree of a bundle, arranged for the lints: per definition its name, kind, arguments and text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remit_server.adapters.rego.syntax import Node, dotted, imports_of


@dataclass(frozen=True, slots=True)
class Import:
    """One import: its path, the name it has in the file, and its line."""

    path: str
    alias: str
    line: int


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition of a rule, or its default.

    `kind` is value, set, function or default. `arguments` are a function's; `head` and `bodies` its text. `is_indexed`
    says that its name goes on in brackets, so that another definition of the path may be about other members.
    """

    path: str
    package: str
    file: str
    line: int
    kind: str
    arguments: tuple[Node, ...]
    head: Sequence[Any]
    bodies: Sequence[Any]
    is_conditional: bool
    is_indexed: bool = False

    @property
    def text(self) -> list[Any]:
        """Everything in it that can be evaluated."""
        return [self.head, self.bodies]


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its package, what it imports, its definitions, and the bytes that spans count in."""

    file: str
    package: str
    imports: tuple[Import, ...]
    definitions: tuple[Definition, ...]
    contents: bytes

    @property
    def aliases(self) -> dict[str, str]:
        """What each imported name stands for."""
        return {item.alias: item.path for item in self.imports}


def opened(node: Node) -> tuple[str, Any]:
    """Returns the kind of a node and what is in it."""
    first: tuple[str, Any] = next(iter(node.items()), ("", None))
    return first


def modules_of(trees: Iterable[Node]) -> tuple[Module, ...]:
    """Returns the modules of the engine's syntax trees."""
    return tuple(_module(tree) for tree in trees)


def _module(module: Node) -> Module:
    """Returns one module."""
    tree = module["ast"]
    contents = str(module["source"]["contents"]).encode("utf-8")
    file = str(module["source"]["file"])
    package = f"data.{dotted(tree['package']['refr'])[0]}"
    lines = [int(item["span"]["line"]) for item in tree["imports"]]
    imports = tuple(
        Import(path, alias, line) for (alias, path), line in zip(imports_of(tree, contents), lines, strict=True)
    )
    definitions = tuple(_definition(rule, package, file) for rule in tree["rules"])
    return Module(file, package, imports, definitions, contents)


def _definition(rule: Node, package: str, file: str) -> Definition:
    """Returns one definition."""
    kind, body = next(iter(rule.items()))
    if kind == "Default":
        head, shape = body, "default"
    else:
        shape, head = next(iter(body["head"].items()))
    bodies = body.get("bodies") or []
    return Definition(
        path=f"{package}.{dotted(head['refr'])[0]}",
        package=package,
        file=file,
        line=int(body["span"]["line"]),
        kind={"Compr": "value", "Set": "set", "Func": "function"}.get(shape, shape),
        arguments=tuple(head.get("args") or ()),
        head=[*_indexes(head["refr"]), *(value for key, value in head.items() if key not in {"refr", "args"})],
        bodies=bodies,
        is_conditional=any(one["query"]["stmts"] for one in bodies),
        is_indexed=bool(_indexes(head["refr"])),
    )


def _indexes(reference: Node) -> list[Any]:
    """Returns what stands in the brackets of a rule's name: for a partial object its key."""
    found: list[Any] = []
    while "Var" not in reference:
        kind, body = next(iter(reference.items()))
        if kind == "RefBrack":
            found.append(body["index"])
        if not isinstance(body, Mapping) or "refr" not in body:
            break
        reference = body["refr"]
    return found
