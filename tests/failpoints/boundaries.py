"""Makes a point before and after every coroutine of the application, so that an await that need not wait is one too."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.failpoints.points import Points

import remit_server.application


@contextmanager
def boundaries(points: Points) -> Iterator[None]:
    """Holds them for the block; a method that somebody adds to a use case is one without a word here."""
    kept = []
    for owner, name, call in list(_coroutines()):
        kept.append((owner, name, call))
        setattr(owner, name, _stepped(call, f"{owner.__name__}.{name}", points))
    try:
        yield
    finally:
        for owner, name, call in kept:
            setattr(owner, name, call)


def _coroutines() -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """Yields every method of a class of the application that is a coroutine function.

    But for `__aenter__` and `__aexit__`: nothing can come between them and their block.
    """
    package = remit_server.application
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for _, owner in inspect.getmembers(module, inspect.isclass):
            if owner.__module__ == module.__name__ and not getattr(owner, "_is_protocol", False):
                for name, call in vars(owner).items():
                    if inspect.iscoroutinefunction(call) and name not in {"__aenter__", "__aexit__"}:
                        yield owner, name, call


def _stepped(call: Callable[..., Any], name: str, points: Points) -> Callable[..., Any]:
    @functools.wraps(call)
    async def stepped(*values: Any, **more: Any) -> Any:
        if not points.is_swept():
            return await call(*values, **more)
        try:
            points(f"before {name}")
        except BaseException:
            for work in filter(inspect.iscoroutine, values):
                work.close()  # nobody will await it
            raise
        answer = await call(*values, **more)
        points(f"after {name}")
        return answer

    return stepped
