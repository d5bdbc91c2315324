"""Small mistakes in a module's code, each one edit of its syntax tree: what a tired hand could have written."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias

_COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE,),
    ast.LtE: (ast.Lt,),
    ast.Gt: (ast.GtE,),
    ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ORDERS: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_BOTH_WAYS: Final = (
    ("any", "all"),
    ("min", "max"),
    ("startswith", "endswith"),
    ("find", "rfind"),
    ("partition", "rpartition"),
    ("removeprefix", "removesuffix"),
    ("issubset", "issuperset"),
    ("includes", "overlaps"),
    ("embeds", "meets"),
    ("holds_action", "touches_action"),
    ("holds_resource", "touches_resource"),
    ("head", "tail"),
    ("lead", "trail"),
    ("meets_by_segment", "meets_across_colons"),
    ("stars", "slack"),
    ("of_ceiling", "gives"),
    ("allows", "denies"),
    ("ALLOW", "DENY"),
)
_RENAMED: Final = {**dict(_BOTH_WAYS), **{later: first for first, later in _BOTH_WAYS}}
# Texts for people, and what a checker cannot notice: who is told what is held by other tests.
_WORDS: Final = frozenset(
    {"BudgetError", "MalformedCondition", "MalformedPattern", "MalformedPolicy", "PatternTooComplex", "Undecided"}
    | {"ValueError", "Steps", "TypeVar", "compile"}
)
_QUIET: Final = frozenset({"repr", "init", "strict", "compare"})

Replaced: TypeAlias = ast.AST


@dataclass(frozen=True, slots=True)
class Edit:
    """Puts one node in the place of another."""

    owner: ast.AST
    field: str
    at: int | None
    new: ast.AST

    def swap(self) -> "Edit":
        """Makes the edit, and returns the one that undoes it."""
        if self.at is None:
            old = getattr(self.owner, self.field)
            setattr(self.owner, self.field, self.new)
        else:
            listed = getattr(self.owner, self.field)
            old, listed[self.at] = listed[self.at], self.new
        return Edit(self.owner, self.field, self.at, old)


@dataclass(frozen=True, slots=True)
class Mutant:
    """Names one edit by what a reader sees: the function, the line, and the statement before and after.

    `function` is empty for what is run when the module is imported. `number` tells equal changes of one function apart.
    """

    module: str
    function: str
    line: int
    change: str
    number: int
    edit: Edit

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What stays the same while the lines above move."""
        return self.module, self.function, self.change, self.number


def mutants_of(module: str, tree: ast.Module) -> list[Mutant]:
    """Lists every mutant of a module in the order of its text."""
    found: list[Mutant] = []
    counted: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, int, str]] = set()
    for place in _places(tree):
        before = _headline(place.statement)
        for edit in place.edits:
            undo = edit.swap()
            after = "pass" if isinstance(edit.new, ast.Pass) else _headline(place.statement)
            undo.swap()
            line = getattr(undo.new, "lineno", place.statement.lineno)
            if after == before or (place.function, place.statement.lineno, after) in seen:
                continue
            seen.add((place.function, place.statement.lineno, after))
            change = f"{before} -> {after}"
            number = counted[place.function, change] = counted.get((place.function, change), 0) + 1
            found.append(Mutant(module, place.function, line, change, number, edit))
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    function: str
    statement: ast.stmt
    edits: list[Edit]


@dataclass(frozen=True, slots=True)
class _Context:
    """Says where the walk stands: in which function, whether that answers yes or no, and in which statement."""

    names: tuple[str, ...] = ()
    in_function: bool = False
    answers: bool = False
    statement: ast.stmt | None = None

    @property
    def function(self) -> str:
        return ".".join(self.names) if self.in_function else ""


def _places(tree: ast.Module) -> Iterator[_Place]:
    yield from _within(tree, _Context())


def _within(owner: ast.AST, context: _Context) -> Iterator[_Place]:
    for field, value in ast.iter_fields(owner):
        if field in ("decorator_list", "annotation", "returns", "bases", "type_comment"):
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for at, child in children:
            if isinstance(child, ast.AST) and not _untouched(owner, child):
                yield from _at(owner, field, at, child, context)


def _at(owner: ast.AST, field: str, at: int | None, node: ast.AST, context: _Context) -> Iterator[_Place]:
    context = _entered(node, context)
    if context.statement is not None:
        edits = [Edit(owner, field, at, new) for new in _instead(node, owner, field, context)]
        if edits:
            yield _Place(context.function, context.statement, edits)
    if isinstance(node, ast.FunctionDef):
        outside = _Context(context.names[:-1], in_function=False, answers=False, statement=node)
        yield from _within(node.args, outside)
        for number, statement in enumerate(node.body):
            if not _is_docstring(statement):
                yield from _at(node, "body", number, statement, context)
        return
    yield from _within(node, context)


def _entered(node: ast.AST, context: _Context) -> _Context:
    if isinstance(node, ast.ClassDef) or (isinstance(node, ast.FunctionDef) and not context.in_function):
        function = isinstance(node, ast.FunctionDef)
        answers = isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or ast.Constant(None)) == "bool"
        return _Context((*context.names, node.name), in_function=function, answers=answers, statement=node)
    if isinstance(node, ast.stmt):
        return _Context(context.names, context.in_function, context.answers, node)
    return context


def _untouched(owner: ast.AST, node: ast.AST) -> bool:
    """Tells what stays as it is: imports, docstrings, texts for people, how a dataclass prints."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr) or _is_docstring(node):
        return True
    if isinstance(node, ast.keyword):
        return node.arg in _QUIET
    return isinstance(owner, ast.Call) and isinstance(node, ast.Constant) and _called(owner) in _WORDS


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _instead(node: ast.AST, owner: ast.AST, field: str, context: _Context) -> Iterator[ast.AST]:
    """Yields what could stand in the place of a node.

    Where yes and no are tried as they are, the opposite of the question tells no more.
    """
    asks = isinstance(owner, ast.If | ast.comprehension) and field in ("test", "ifs")
    asks = asks or (isinstance(owner, ast.Return) and context.answers)
    if asks and not isinstance(node, ast.Constant):
        yield from (ast.Constant(value=True), ast.Constant(value=False))
    if not asks or not _is_opposable(node):
        yield from chain.from_iterable(operator(node) for operator in _OPERATORS)


def _is_opposable(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn | ast.Is | ast.IsNot)
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _comparisons(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            # a bound that is a number is moved by one on each side, see _constants
            others = (
                ()
                if isinstance(node.comparators[at], ast.Constant) and isinstance(operator, _ORDERS)
                else _COMPARED.get(type(operator), ())
            )
            for other in others:
                yield ast.Compare(node.left, [*node.ops[:at], other(), *node.ops[at + 1 :]], node.comparators)


def _connections(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        for at in range(len(node.values)):
            rest = [*node.values[:at], *node.values[at + 1 :]]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _negations(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield node.operand


def _arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            yield from (node.left, node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _COMPUTED:
        yield ast.AugAssign(node.target, _COMPUTED[type(node.op)](), node.value)
        yield ast.Assign([node.target], node.value, lineno=node.lineno)


def _constants(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Constant):
        return
    match node.value:
        case bool(value):
            yield ast.Constant(not value)
        case int(value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case str(value):
            yield ast.Constant(value + "~" if value else "~")
        case _:
            return


def _names(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _RENAMED:
        yield ast.Name(_RENAMED[node.id], ast.Load())
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in _RENAMED:
        yield ast.Attribute(node.value, _RENAMED[node.attr], ast.Load())


def _calls(node: ast.AST) -> Iterator[ast.AST]:
    """Takes away a call that only arranges, and the bound of a slice."""
    if isinstance(node, ast.Call) and _called(node) in ("sorted", "reversed", "lower", "widened") and node.args:
        yield ast.Call(ast.Name("list", ast.Load()), node.args[:1], [])
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("lower", "widened"):
        yield node.func.value
    elif isinstance(node, ast.Slice):
        if node.lower is not None:
            yield ast.Slice(None, node.upper, node.step)
        if node.upper is not None:
            yield ast.Slice(node.lower, None, node.step)


def _left_out(node: ast.AST) -> Iterator[ast.AST]:
    """Leaves a step out, or an early answer."""
    is_step = isinstance(node, ast.Expr) and not _is_docstring(node) and not isinstance(node.value, ast.Yield)
    if is_step or isinstance(node, ast.Continue | ast.Break | ast.Raise):
        yield ast.Pass()


def _other_arms(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)


_OPERATORS: Final[tuple[Callable[[ast.AST], Iterator[ast.AST]], ...]] = (
    _comparisons,
    _connections,
    _negations,
    _arithmetic,
    _constants,
    _names,
    _calls,
    _left_out,
    _other_arms,
)


def _headline(statement: ast.stmt) -> str:
    """Writes a statement without what stands indented below it."""
    match statement:
        case ast.If() | ast.While():
            return f"{'if' if isinstance(statement, ast.If) else 'while'} {ast.unparse(statement.test)}:"
        case ast.For():
            return f"for {ast.unparse(statement.target)} in {ast.unparse(statement.iter)}:"
        case ast.FunctionDef():
            return f"def {statement.name}({ast.unparse(statement.args)}):"
        case ast.ClassDef():
            return f"class {statement.name}:"
        case ast.Match():
            return f"match {ast.unparse(statement.subject)}:"
        case _:
            return ast.unparse(ast.fix_missing_locations(statement))
