"""A frozen value with some fields changed, for those that are changed at every call."""

from typing import Any, TypeVar

T = TypeVar("T")
_set = object.__setattr__


def changed(value: T, **fields: Any) -> T:
    """Returns a copy of a frozen dataclass, whose fields all have a place in its `__init__`, with these fields instead.

    It does what `dataclasses.replace` does in a third of the steps, by not going through `__init__`: a class that
    checks its fields in `__post_init__` is not for it. Raises TypeError for a field that there is not.
    """
    kind: Any = type(value)
    copy = object.__new__(kind)
    for name in kind.__match_args__:
        _set(copy, name, fields.pop(name) if name in fields else getattr(value, name))
    if fields:
        raise TypeError(f"{kind.__name__} has no field {', '.join(fields)}")
    return copy  # type: ignore[no-any-return]
