"""Whether one rule about packets leaves another one nothing to decide. It says so only where that is sure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policies.acl import Acl, AddressList, Mode, Peer, PortRange, Service
from policies.rules import Network, Verdict
from topology.model import Inventory


def covers(first: Acl, second: Acl, inventory: Inventory, lists: Mapping[str, AddressList]) -> bool:
    """Does `first`, if it is asked before, decide every packet that `second` matches?"""
    return (
        first.mode is Mode.ENFORCE
        and first.unless is None
        and peer_covers(first.source, second.source, inventory, lists)
        and peer_covers(first.destination, second.destination, inventory, lists)
        and _services_cover(first.services, second.services)
    )


def decided_before(
    acl: Acl, others: Iterable[Acl], inventory: Inventory, lists: Mapping[str, AddressList]
) -> Acl | None:
    """One that is asked before a rule, and leaves it nothing to decide."""
    own = order(acl)
    return next((one for one in others if order(one) < own and covers(one, acl, inventory, lists)), None)


def order(acl: Acl) -> tuple[int, int, bool]:
    """The lowest is asked first."""
    return -acl.tier, -acl.rank, acl.verdict is not Verdict.DROP


def peer_covers(wide: Peer, narrow: Peer, inventory: Inventory, lists: Mapping[str, AddressList]) -> bool:
    """Is whoever one end means among those that the other does?"""
    if wide.vm is not None:
        return narrow.vm == wide.vm
    if wide.segment is not None:
        return segment_of(narrow, inventory) == wide.segment
    if wide.not_segment is not None:
        segment = segment_of(narrow, inventory)
        return narrow.not_segment == wide.not_segment or (segment is not None and segment != wide.not_segment)
    nets = _nets(wide, lists)
    if wide.list is None and not nets:
        return True  # it means anybody
    within = _nets(narrow, lists)
    return bool(within) and all(any(_inside(net, one) for one in nets) for net in within)


def segment_of(peer: Peer, inventory: Inventory) -> str | None:
    """The one segment that a peer is of; None: that cannot be said."""
    if peer.vm is not None:
        return inventory.vms[peer.vm].segment
    return peer.segment


def _nets(peer: Peer, lists: Mapping[str, AddressList]) -> tuple[Network, ...]:
    return peer.nets if peer.list is None else lists[peer.list].nets


def _inside(net: Network, wide: Network) -> bool:
    return net.version == wide.version and net.subnet_of(wide)  # type: ignore[arg-type]  # of one version, both


def _services_cover(wide: tuple[Service, ...], narrow: tuple[Service, ...]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(any(_service_covers(one, service) for one in wide) for service in narrow)


def _service_covers(wide: Service, narrow: Service) -> bool:
    return (
        wide.protocol is narrow.protocol
        and _ports_cover(wide.ports, narrow.ports)
        and _ports_cover(wide.source_ports, narrow.source_ports)
    )


def _ports_cover(wide: tuple[PortRange, ...], narrow: tuple[PortRange, ...]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(any(low <= first and last <= high for low, high in wide) for first, last in narrow)
