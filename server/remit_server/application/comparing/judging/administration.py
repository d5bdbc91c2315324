"""Who may call the security side, before and after: each group and caller, each call, and what is visible by it."""

from collections.abc import Iterator
from typing import Final

from remit_server.application.comparing.values import Change, Direction, What
from remit_server.domain.administration import AdminAllow, AdminDecision, Scope, Visible

_LISTS: Final = ("accounts", "roles", "actors", "subject_issuers")


def admin_changes(who: str, rpc: str, before: AdminDecision, after: AdminDecision) -> Iterator[Change]:
    """Yields how the answer to one caller changed."""
    then, now = _sight(before), _sight(after)
    if then == now:
        return
    if then is None or now is None:
        way = Direction.WIDENING if then is None else Direction.NARROWING
    else:
        wider, narrower = _holds(now, then), _holds(then, now)
        way = {(True, False): Direction.WIDENING, (False, True): Direction.NARROWING}.get(
            (wider, narrower), Direction.NEUTRAL if wider else Direction.BOTH
        )
    yield Change(way, What.ADMINISTRATION, who, action=rpc, before=sight_words(then), after=sight_words(now))


def sight_words(visible: Visible | None) -> str:
    """Returns which grants are seen, in words."""
    if visible is None:
        return "refused"
    if visible.everything:
        return "sees all grants"
    scopes = [
        " and ".join(f"{name} {', '.join(sorted(getattr(scope, name)))}" for name in _LISTS if getattr(scope, name))
        for scope in visible.scopes
    ]
    return f"sees {'; '.join([*(['its own grants'] if visible.own else []), *sorted(scopes)])}"


def _sight(decision: AdminDecision) -> Visible | None:
    return decision.visible if isinstance(decision, AdminAllow) else None


def _holds(outer: Visible, inner: Visible) -> bool:
    """Says whether whatever the inner lets one see, the outer does."""
    if outer.everything:
        return True
    if inner.everything or (inner.own and not outer.own):
        return False
    return all(any(_covers(wide, narrow) for wide in outer.scopes) for narrow in inner.scopes)


def _covers(outer: Scope, inner: Scope) -> bool:
    """Says whether every grant of the inner scope lies in the outer: each list either binds no grant or no fewer."""
    for name in _LISTS:
        wide, narrow = getattr(outer, name), getattr(inner, name)
        if wide and not (narrow and narrow <= wide):
            return False
    return True
