"""Where credentials may be used from when several entitlements each say where."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from remit_server.domain.entitlement import Bind
from remit_server.domain.errors import Denied, Reason


def joined(binds: Sequence[Bind]) -> Bind:
    """Returns where the credentials may be used when every bind has to hold; raises Denied when that is nowhere."""
    cidrs = _common_networks([bind.source_cidrs for bind in binds if bind.source_cidrs])
    vpcs = [frozenset(bind.vpc_ids) for bind in binds if bind.vpc_ids]
    common = tuple(sorted(frozenset.intersection(*vpcs))) if vpcs else ()
    if (vpcs and not common) or (cidrs is not None and not cidrs):
        raise Denied(Reason.CEILING_EXCEEDED, "the entitlements' networks have no address in common: ask in parts")
    return Bind(cidrs or (), common)


def _common_networks(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Returns the networks that lie in every list, or None when there is no list."""
    if not lists:
        return None
    common: list[IPv4Network | IPv6Network] = [ip_network(text) for text in lists[0]]
    for texts in lists[1:]:
        others = [ip_network(text) for text in texts]
        pairs = [(one, other) for one in common for other in others if one.version == other.version]
        common = [max(one, other, key=lambda net: net.prefixlen) for one, other in pairs if one.overlaps(other)]
    return tuple(sorted({str(network) for network in common}))
