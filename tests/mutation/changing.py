"""Puts a mutant in the place of the code: into the functions that live already, or by importing everything anew."""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from tests.mutation.checks import TARGETS, forget_answers
from tests.mutation.operators import Mutant, mutants_of

ANEW: Final = (TARGETS, "tests.unit.", "tests.property.", "tests.golden.", "tests.mutation.widening")


def source_of(module: str) -> Path:
    """Finds the file of a module without importing it anew."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module {module}")
    return Path(spec.origin)


def all_of(module: str) -> tuple[ast.Module, list[Mutant]]:
    """Returns the tree of a module, which the mutants' edits change, and its mutants."""
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    return tree, mutants_of(module, tree)


def compiled(tree: ast.Module, mutant: Mutant) -> CodeType:
    """Compiles a module with the mutant in it; raises SyntaxError where it makes no sense as Python."""
    undo = mutant.edit.swap()
    try:
        return compile(ast.fix_missing_locations(tree), str(source_of(mutant.module)), "exec", dont_inherit=True)
    finally:
        undo.swap()


def put_in_place(tree: ast.Module, mutant: Mutant) -> None:
    """Changes one live function; everyone who imported it has the mutant at once."""
    changed = next(each for each in _codes(compiled(tree, mutant)) if each.co_qualname == mutant.function)
    _live(sys.modules[mutant.module], mutant.function).__code__ = changed
    forget_answers()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _live(module: ModuleType, name: str) -> FunctionType:
    """Finds the function below what decorates it."""
    *classes, last = name.split(".")
    owner: Any = reduce(getattr, classes, module)
    found: Any = vars(owner)[last]
    while not isinstance(found, FunctionType):
        found = next(
            inner
            for attribute in ("fget", "__func__", "__wrapped__")
            if (inner := getattr(found, attribute, None)) is not None
        )
    return found


def import_anew(tree: ast.Module, mutant: Mutant) -> None:
    """Forgets the algebra and its tests, so that they are imported again with the mutant in its module."""
    code = compiled(tree, mutant)
    for name in [name for name in sys.modules if name.startswith(ANEW)]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Finder(mutant.module, code))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from changed code."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module = module
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Knows the one module."""
        del path, target
        return importlib.machinery.ModuleSpec(fullname, self) if fullname == self._module else None

    def exec_module(self, module: ModuleType) -> None:
        """Runs the changed code."""
        exec(self._code, vars(module))  # noqa: S102 - our own source, changed by our own hand
