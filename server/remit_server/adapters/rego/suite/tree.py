"""The engine's syntax tree with the places of its parts, for who rewrites a module's text and keeps its lines.

Spans count bytes. The engine leaves the quotes of a string out of its span, and so out of the span of whatever a string
begins or ends: `place` puts them back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

Node = Mapping[str, Any]
_QUOTED: Final = ("String", "RawString")
_STEPS: Final = ("RefDot", "RefBrack")
_COMPREHENSIONS: Final = frozenset({"ArrayCompr", "SetCompr", "ObjectCompr"})
_UNCOUNTED: Final = frozenset({"span", "with_mods"})


class Place(NamedTuple):
    """Where a part of a module stands: its first byte, the byte after its last."""

    start: int
    end: int


class Edit(NamedTuple):
    """One change to a module's text."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a module: its first name, its head, its bodies (the `else` ones too), and where it stands.

    `bound` are the names that it declares itself, `uses` its references outside of its name with whether they are
    called, `replacements` what its `with` replace and by what.
    """

    name: str
    head: Node
    bodies: Sequence[Node]
    line: int
    end: int
    is_default: bool
    arguments: int | None
    bound: frozenset[str]
    uses: tuple[tuple[Node, bool], ...]
    replacements: tuple[tuple[Node, Node], ...]

    @property
    def name_place(self) -> Place:
        """Where its first name stands in its head."""
        span = root_of(self.head["refr"])["span"]
        return Place(span["start"], span["end"])


@dataclass(frozen=True, slots=True)
class Module:
    """One file of rules: its text, its package (`data.remit.issue`), its imports by the names they go by."""

    path: str
    contents: bytes
    package: str
    imports: Mapping[str, str]
    rules: tuple[Rule, ...]

    def text(self, place: Place) -> str:
        """Returns what stands at a place."""
        return self.contents[place.start : place.end].decode("utf-8")

    def line_of(self, offset: int) -> int:
        """Returns the line of a byte."""
        return self.contents.count(b"\n", 0, offset) + 1


def module_of(tree: Node) -> Module:
    """Returns one module of the engine's syntax tree."""
    ast = tree["ast"]
    contents = str(tree["source"]["contents"]).encode("utf-8")
    imports = {}
    for item in ast["imports"]:
        path = dotted(item["refr"])
        alias = item.get("as")
        name = contents[alias["start"] : alias["end"]].decode("utf-8") if alias else path.rpartition(".")[2]
        imports[name] = path
    rules = tuple(_rule(rule, contents) for rule in ast["rules"])
    return Module(str(tree["source"]["file"]), contents, f"data.{dotted(ast['package']['refr'])}", imports, rules)


def edited(contents: bytes, edits: Sequence[Edit]) -> str:
    """Returns a text with all edits made; they must not overlap, and each is made once however often it is given."""
    parts: list[bytes] = []
    end = 0
    for edit in sorted(set(edits)):
        parts += [contents[end : edit.place.start], edit.text.encode("utf-8")]
        end = edit.place.end
    return b"".join([*parts, contents[end:]]).decode("utf-8")


def nodes(root: Any) -> Iterator[Node]:
    """Yields every object below a node, without recursion: the tree is as deep as its author liked."""
    waiting: list[Any] = [root]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            yield item
            waiting.extend(value for value in item.values() if type(value) is dict or type(value) is list)
        elif type(item) is list:
            waiting.extend(item)


def place(node: Any) -> Place:
    """Returns where a node stands, with the quotes that its span leaves out."""
    start, end = 1 << 62, 0
    for inner in nodes(node):
        if isinstance(inner.get("start"), int) and "line" in inner:
            start, end = min(start, inner["start"]), max(end, inner["end"])
        for kind in _QUOTED:
            if kind in inner:
                span = inner[kind]["span"]
                start, end = min(start, span["start"] - 1), max(end, span["end"] + 1)
    return Place(start, end)


def root_of(reference: Node) -> Any:
    """Returns what a reference begins with: the body of its first variable, or of what else stands there."""
    while True:
        kind, body = next(iter(reference.items()))
        if kind not in _STEPS:
            return body
        reference = body["refr"]


def dotted(reference: Node) -> str:
    """Returns a reference as a dotted path up to its first index that is no literal string; empty for any other."""
    steps: list[str] = []
    while True:
        kind, body = next(iter(reference.items()))
        if kind == "Var":
            return ".".join([str(body["value"]), *reversed(steps)])
        if kind == "RefDot":
            steps.append(str(body["field"][1]))
        elif kind == "RefBrack" and "String" in body["index"]:
            steps.append(str(body["index"]["String"]["value"]))
        elif kind == "RefBrack":
            steps.clear()
        else:
            return ""
        reference = body["refr"]


def indexes(reference: Node) -> list[Node]:
    """Returns what stands in the brackets of a reference, from left to right."""
    found: list[Node] = []
    while True:
        kind, body = next(iter(reference.items()))
        if kind not in _STEPS:
            return found[::-1]
        if kind == "RefBrack":
            found.append(body["index"])
        reference = body["refr"]


def references(root: Any) -> Iterator[tuple[Node, bool]]:
    """Yields every outermost reference below a node, and whether it is called."""
    inner: set[int] = set()
    called: set[int] = set()
    for node in nodes(root):
        if "Call" in node:
            called.add(id(node["Call"]["fcn"]))
        if ("Var" in node or any(step in node for step in _STEPS)) and id(node) not in inner:
            yield node, id(node) in called
        for kind in _STEPS:
            if kind in node:
                inner.add(id(node[kind]["refr"]))


def variables(root: Any) -> set[str]:
    """Returns the names of the plain variables below a node."""
    return {str(node["Var"]["value"]) for node in nodes(root) if "Var" in node}


def lines_of(module: Module) -> set[int]:
    """Returns the lines of a module that the engine counts: those on which an expression that it evaluates begins."""
    lines: set[int] = set()
    for rule in module.rules:
        head = [value for key, value in rule.head.items() if key not in {"refr", "args"}]
        waiting: list[Any] = [*head, *indexes(rule.head["refr"]), *rule.bodies]
        while waiting:
            item = waiting.pop()
            if isinstance(item, list):
                waiting.extend(item)
            elif isinstance(item, Mapping):
                waiting.extend(
                    value["query"] if key in _COMPREHENSIONS else value
                    for key, value in item.items()
                    if key not in _UNCOUNTED
                )
                lines.update(_counted(item))
    return lines


def _counted(node: Node) -> Iterator[int]:
    """Yields the lines on which the expressions that a node holds begin."""
    for kind, body in node.items():
        if isinstance(body, Mapping) and "eidx" in body and kind not in _COMPREHENSIONS:
            yield int(body["span"]["line"])


def _rule(node: Node, contents: bytes) -> Rule:
    """Returns one rule of the tree."""
    kind, body = next(iter(node.items()))
    is_default = kind == "Default"
    form, head = ("Func" if body.get("args") else "Compr", body) if is_default else next(iter(body["head"].items()))
    bodies = body.get("bodies", [])
    beside = [value for key, value in head.items() if key != "refr"]
    text = [*indexes(head["refr"]), *beside, *bodies]
    return Rule(
        name=str(root_of(head["refr"]).get("value", "")),
        head=head,
        bodies=bodies,
        line=int(body["span"]["line"]),
        end=int(body["span"]["end"]),
        is_default=is_default,
        arguments=len(head.get("args") or []) if form == "Func" else None,
        bound=frozenset(_bound(text, head.get("args") or [], contents)),
        uses=tuple(references(text)),
        replacements=tuple(
            (modifier["refr"], modifier["as"]) for one in nodes(text) for modifier in one.get("with_mods") or []
        ),
    )


def _bound(text: Any, arguments: Any, contents: bytes) -> set[str]:
    """Returns the names that a rule declares itself: its arguments, and by `:=`, `some` and `every`."""
    names = variables(arguments)
    spans: list[Node] = []
    for node in nodes(text):
        if "AssignExpr" in node and node["AssignExpr"]["op"] == "ColEq":
            names |= variables(node["AssignExpr"]["lhs"])
        elif "SomeIn" in node:
            names |= variables([node["SomeIn"]["key"], node["SomeIn"]["value"]])
        elif "SomeVars" in node:
            spans += node["SomeVars"].get("vars", [])
        elif "Every" in node:
            spans += [span for span in (node["Every"]["key"], node["Every"]["value"]) if span]
    return names | {contents[span["start"] : span["end"]].decode("utf-8") for span in spans}
