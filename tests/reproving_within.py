"""Proves again, from two texts alone, that one session policy lies within another: the law of attenuation.

As with invariant I3 (`tests/reproving.py`) nothing of the gateway's own proof is used: a walk over the wildcards lists
one request for each way in which both texts can match, and plain evaluation decides.
"""

import re
from datetime import UTC, datetime

from tests.concrete_world import escape
from tests.reproving import NotProved, strictly_parsed

_GUARD = re.compile(r'"DateGreaterThanEquals":\{"aws:CurrentTime":"([^"]*)"\}')
_ALIKE = '"DateGreaterThanEquals":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}'


def reprove_within(inner: str, outer: str) -> None:
    """Raises NotProved unless the inner policy ends no later than the outer one and allows nothing else until then."""
    if _end(inner) > _end(outer):
        raise NotProved(f"it ends at {_end(inner)}, and what it must lie within at {_end(outer)}")
    issued, around = (strictly_parsed(_GUARD.sub(_ALIKE, text)) for text in (inner, outer))
    found = escape(issued, around)
    if found is not None:
        raise NotProved(f"it allows {found[0]} on {found[1]}, and what it must lie within does not")


def _end(text: str) -> datetime:
    """Returns when a session policy ends; raises NotProved for one that has no end, or several."""
    ends = _GUARD.findall(text)
    if len(ends) != 1:
        raise NotProved("it does not say once when it ends")
    return datetime.strptime(ends[0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
