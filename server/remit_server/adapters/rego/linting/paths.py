"""Follows what a rule reads of `input`: through imports, assignments, iteration, `object.get` and functions' arguments.

A path is a tuple of steps below input; `ANY` stands for a step that only the evaluation knows. What cannot be followed
has no path, and no lint says anything of it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.adapters.rego.linting.definitions import resolved
from remit_server.adapters.rego.linting.modules import Definition, Module, opened
from remit_server.adapters.rego.linting.walking import walk
from remit_server.adapters.rego.syntax import Node, dotted, source_of

ANY: Final = "*"
_ROUNDS: Final = 6  # so deep do functions hand input on to functions, before it is followed no further
_MOST_PATHS: Final = 32

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One place where a rule reads a part of input.

    `certain` says that the name can mean nothing else there; `whole` that the value as such is used, and not only
    members of it that are read by name elsewhere. `through` is how the text calls it.
    """

    path: Path
    file: str
    line: int
    package: str
    certain: bool
    whole: bool
    through: str


@dataclass(slots=True)
class Names:
    """What names stand for in one definition: paths below input, and whether they can stand for something else."""

    paths: dict[str, set[Path]] = field(default_factory=lambda: defaultdict(set))
    otherwise: set[str] = field(default_factory=set)

    def bind(self, name: str, found: "set[Path] | None") -> bool:
        """Adds what a name may stand for; says whether that was news."""
        if not found:
            news = name not in self.otherwise
            self.otherwise.add(name)
            return news
        known = self.paths[name]
        before = len(known)
        if before < _MOST_PATHS:
            known |= found
        return len(known) != before


class Follower:
    """Follows input through the modules of a bundle."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self._modules = modules
        self._functions: dict[str, list[Definition]] = defaultdict(list)
        for module in modules:
            for definition in module.definitions:
                if definition.kind == "function":
                    self._functions[definition.path].append(definition)
        self._names: dict[int, Names] = {}

    def reads(self) -> Iterator[Read]:
        """Yields every read of input in every rule."""
        for _ in range(_ROUNDS):
            if not self._settle():
                break
        for module in self._modules:
            for definition in module.definitions:
                yield from self._reads_of(module, definition)

    def _settle(self) -> bool:
        """Binds names once more in every rule; says whether anything was news."""
        news = False
        for module in self._modules:
            for definition in module.definitions:
                names = self._names.setdefault(id(definition), _own_names(module))
                for walked in walk(definition.text):
                    news |= self._bind(walked.node, names, module)
        return news

    def _bind(self, node: Node, names: Names, module: Module) -> bool:
        """Binds what one node of a rule binds."""
        kind, body = opened(node)
        if kind == "AssignExpr":
            there = self._assign(body["lhs"], body["rhs"], names)
            back = body["op"] != "ColEq" and self._assign(body["rhs"], body["lhs"], names)
            return there or back
        if kind == "SomeIn":
            value = _bind_plain(body["value"], _below(_paths(body["collection"], names)), names)
            return _bind_plain(body["key"], None, names) or value
        if kind == "Call":
            return self._pass_on(body, names, module)
        return _declare(kind, body, names, module.contents)

    def _assign(self, target: Node, value: Node, names: Names) -> bool:
        """Binds a variable that is assigned."""
        return _bind_plain(target, _paths(value, names) or None, names)

    def _pass_on(self, call: Node, names: Names, module: Module) -> bool:
        """Binds the arguments of a function of the bundle to what it is called with."""
        news = False
        for definition in self._functions.get(resolved(dotted(call["fcn"])[0], module, self._functions), ()):
            theirs = self._names.setdefault(id(definition), _own_names(self._module_of(definition)))
            for argument, given in zip(definition.arguments, call["params"], strict=False):
                news |= _bind_plain(argument, _paths(given, names) or None, theirs)
        return news

    def _module_of(self, definition: Definition) -> Module:
        """Returns the module that a definition stands in."""
        return next(module for module in self._modules if module.file == definition.file)

    def _reads_of(self, module: Module, definition: Definition) -> Iterator[Read]:
        """Yields what one definition reads of input."""
        names = self._names.setdefault(id(definition), _own_names(module))
        for walked in walk(definition.text):
            found, sure = _resolved(walked.node, names)
            if not found:
                continue
            followed = walked.followed or self._is_followed(walked.call, module)
            for path in sorted(found):
                yield Read(
                    path=path,
                    file=module.file,
                    line=walked.line,
                    package=module.package,
                    certain=sure,
                    whole=not followed,
                    through=dotted(walked.node)[0] or "object.get(...)",
                )

    def _is_followed(self, call: str, module: Module) -> bool:
        """Says whether an argument goes to a function of the bundle, where it is followed further."""
        return bool(call) and resolved(call, module, self._functions) in self._functions


def _declare(kind: str, body: Any, names: Names, contents: bytes) -> bool:
    """Binds what `every` and `some` declare by spans of text."""
    spans: list[tuple[Any, set[Path] | None]]
    if kind == "SomeVars":
        spans = [(span, None) for span in body.get("vars", [])]
    elif kind == "Every":
        spans = [(body["value"], _below(_paths(body["domain"], names))), (body["key"], None)]
    else:
        return False
    return sum(names.bind(source_of(contents, span), found) for span, found in spans if span) > 0


def _own_names(module: Module) -> Names:
    """Returns what the imports of a file name of input."""
    names = Names()
    for item in module.imports:
        first, _, rest = item.path.partition(".")
        if first == "input":
            names.paths[item.alias].add(tuple(rest.split(".")) if rest else ())
    return names


def _bind_plain(target: Any, found: set[Path] | None, names: Names) -> bool:
    """Binds a target that is one variable."""
    if isinstance(target, dict) and "Var" in target and target["Var"]["value"] != "_":
        return names.bind(str(target["Var"]["value"]), found)
    return False


def _below(paths: set[Path]) -> set[Path] | None:
    """Returns the paths of a collection's elements."""
    return {(*path, ANY) for path in paths} or None


def _paths(node: Any, names: Names) -> set[Path]:
    """Returns the paths below input that an expression may stand for."""
    return _resolved(node, names)[0] if isinstance(node, dict) else set()


def _resolved(node: Node, names: Names) -> tuple[set[Path], bool]:
    """Returns the paths that an expression may stand for, and whether it can stand for nothing else."""
    steps: list[str] = []
    while True:
        kind, body = opened(node)
        if kind == "Var":
            found, sure = _named(str(body["value"]), names)
            return {(*path, *reversed(steps)) for path in found}, sure
        if kind == "RefDot":
            steps.append(str(body["field"][1]))
        elif kind == "RefBrack":
            steps.append(_literal(body["index"]) or ANY)
        elif kind == "Call" and dotted(body["fcn"])[0] == "object.get":
            steps.extend(reversed(_keys(body["params"][1])))
            node = body["params"][0]
            continue
        else:
            return set(), False
        node = body["refr"]


def _named(name: str, names: Names) -> tuple[set[Path], bool]:
    """Returns what a variable may stand for."""
    if name == "input":
        return {()}, True
    found = names.paths.get(name, set())
    return found, len(found) == 1 and name not in names.otherwise


def _literal(node: Node) -> str | None:
    """Returns a literal string."""
    kind, body = next(iter(node.items()))
    return str(body["value"]) if kind in {"String", "RawString"} else None


def _keys(node: Node) -> list[str]:
    """Returns the steps that the second argument of object.get names."""
    if "Array" in node:
        return [_literal(item) or ANY for item in node["Array"]["items"]]
    return [_literal(node) or ANY]
