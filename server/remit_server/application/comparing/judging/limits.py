"""What an entitlement says beside its permissions, compared part by part: which of two is laxer, and in what."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from remit_server.application.comparing.values import Direction, What
from remit_server.domain.entitlement import ApprovalRule, ApprovedBy, Bind, Entitlement


@dataclass(frozen=True, slots=True)
class Aspect:
    """One part in which two entitlements differ, in words, and the direction from the first to the second."""

    what: What
    direction: Direction
    before: str
    after: str


def aspects(before: Entitlement, after: Entitlement) -> Iterator[Aspect]:
    """Yields every part in which the second differs from the first."""
    yield from _lifetime(What.MAX_CREDENTIAL, before.max_credential, after.max_credential)
    yield from _lifetime(What.MAX_TASK, before.max_task, after.max_task)
    if before.approval != after.approval:
        way = _way(_approves_less(before.approval, after.approval), _approves_less(after.approval, before.approval))
        yield Aspect(What.APPROVAL, way, approval_words(before.approval), approval_words(after.approval))
    if before.kind is not after.kind:
        way = Direction.WIDENING if after.is_break_glass else Direction.NARROWING
        yield Aspect(What.KIND, way, before.kind.value, after.kind.value)
    if before.bind != after.bind:
        way = _way(_holds(after.bind, before.bind), _holds(before.bind, after.bind))
        yield Aspect(What.BIND, way, bind_words(before.bind), bind_words(after.bind))
    if before.offline_renewal is not after.offline_renewal:
        way = Direction.WIDENING if after.offline_renewal else Direction.NARROWING
        words = {True: "without the user", False: "with a live token only"}
        yield Aspect(What.OFFLINE_RENEWAL, way, words[before.offline_renewal], words[after.offline_renewal])


def is_as_lax(one: Entitlement, other: Entitlement) -> bool:
    """Says whether the first grants what it grants under no stricter terms than the second."""
    return not any(aspect.direction.widens for aspect in aspects(one, other))


def approval_words(rule: ApprovalRule | None) -> str:
    """Returns who has to say yes, in words."""
    if rule is None:
        return "no approval"
    valid = f"valid for {_seconds(rule.valid)}"
    if rule.by is ApprovedBy.SUBJECT:
        return f"a yes of the user in person, {valid}"
    return f"{rule.min_approvers} of {', '.join(sorted(rule.groups))}, {valid}"


def bind_words(bind: Bind | None) -> str:
    """Returns where credentials may be used from, in words."""
    return "anywhere" if bind is None else ", ".join((*sorted(bind.source_cidrs), *sorted(bind.vpc_ids)))


def _lifetime(what: What, before: timedelta, after: timedelta) -> Iterator[Aspect]:
    if before != after:
        way = Direction.WIDENING if after > before else Direction.NARROWING
        yield Aspect(what, way, _seconds(before), _seconds(after))


def _seconds(lifetime: timedelta) -> str:
    return f"{int(lifetime.total_seconds())} s"


def _way(is_wider: bool, is_narrower: bool) -> Direction:
    """Returns the direction of a change to what is at least as wide, at least as narrow, both (the same) or neither."""
    if is_wider and is_narrower:
        return Direction.NEUTRAL
    if is_wider:
        return Direction.WIDENING
    return Direction.NARROWING if is_narrower else Direction.BOTH


def _approves_less(before: ApprovalRule | None, after: ApprovalRule | None) -> bool:
    """Says whether whatever got a yes before gets one after: by no more, no other people, for no shorter.

    The user's own yes counts as laxer than any of others: nobody else need be convinced.
    """
    if after is None:
        return True
    if before is None or after.valid < before.valid:
        return False
    if after.by is ApprovedBy.SUBJECT:
        return True
    return (
        before.by is ApprovedBy.OTHERS
        and set(before.groups) <= set(after.groups)
        and after.min_approvers <= before.min_approvers
    )


def _holds(outer: Bind | None, inner: Bind | None) -> bool:
    """Says whether every place of the inner bind is one of the outer."""
    if outer is None:
        return True
    if inner is None:
        return False
    networks = _merged(outer.source_cidrs)
    return set(inner.vpc_ids) <= set(outer.vpc_ids) and all(
        any(_is_in(network, other) for other in networks) for network in _merged(inner.source_cidrs)
    )


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _merged(cidrs: tuple[str, ...]) -> list[_Network]:
    """Returns the networks, adjacent ones put together."""
    parsed = [ipaddress.ip_network(cidr) for cidr in cidrs]
    four = [network for network in parsed if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in parsed if isinstance(network, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]


def _is_in(inner: _Network, outer: _Network) -> bool:
    """Says whether one network lies in the other."""
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
