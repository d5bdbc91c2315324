"""Says of a user or an agent that no grant is of, whether anybody is known by that name, and who has a name like it.

What is known is what the caller may list: the same call, under the same policy, so that nobody is told of anybody else.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:
    from remit_server.transport.grpc.operator_client import OperatorClient

_LOOKED_AT: Final = 1000
_MOST_NAMED: Final = 3


def told_stranger(client: "OperatorClient", *, user: str = "", actor: str = "") -> Iterator[str]:
    """Yields a line for a name that none of the newest grants has; nothing for one that is known, or where none is."""
    from remit_server.transport.grpc import operator_calls as calls
    from remit_server.transport.grpc.operator_client import CallFailed

    if not user and not actor:
        return
    try:
        grants = list(calls.list_grants(client, "", _LOOKED_AT))
    except CallFailed:
        return
    kind, name = ("user", user) if user else ("agent", actor)
    names = {grant.subject.id if user else grant.actor for grant in grants}
    if name in names:
        return
    near = _near(name, sorted(names))
    meant = f" Did you mean {' or '.join(plain(one) for one in near)}?" if near else " Check it letter by letter."
    newest = f"the newest {_LOOKED_AT} grants" if len(grants) == _LOOKED_AT else "the grants"
    yield f"None of {newest} that you may see is of {kind} {plain(name)}.{meant}"


def _near(name: str, names: Sequence[str]) -> list[str]:
    """Returns the names that are like this one, or whose last part is: `copilot` of `spiffe://.../agent/copilot`."""
    last = {one: re.split("[/:]", one)[-1] for one in names}
    close = difflib.get_close_matches(name, names, _MOST_NAMED)
    parts = difflib.get_close_matches(name, sorted(set(last.values())), _MOST_NAMED)
    return list(dict.fromkeys([*close, *(one for part in parts for one in names if last[one] == part)]))[:_MOST_NAMED]
