"""What a VFN needs of a network: which rules can matter there, and which segments' VMs it must know.

A packet is judged where it enters the network and where it leaves it. A rule stands at every VFN where one of its ends
can be, an open end anywhere; so both VFNs of a packet between VMs hold every rule about it and about its answers. There
is one exception: drops between addresses outside and anybody stand only where the outside begins. Such a packet passes
there, and a VFN without them is never stricter for it. (A VM may still send what has such a destination to another VM's
MAC.)

Whom a VFN knows is told by `policies.pipeline.exchange`: the VMs of those segments that its own may exchange packets
with. To a VM that it does not know, it sends nothing. VFNs between others know whoever is behind them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from policies.acl import Acl, AddressList, Peer
from policies.rules import Network, Verdict
from topology.addresses import addresses_of
from topology.model import OUTSIDE, Inventory, Vm


def _range(net: Network) -> tuple[int, int]:
    """The first and the last address."""
    first = int(net.network_address)
    return first, first + (1 << net.max_prefixlen - net.prefixlen) - 1


_ANYBODYS = {
    4: [_range(ip_network(net)) for net in ("0.0.0.0/32", "224.0.0.0/4", "255.255.255.255/32")],
    6: [_range(ip_network(net)) for net in ("::/128", "ff00::/8")],
}
"""What VMs send from that have no address yet, and what they send to when they mean many."""


@dataclass(frozen=True)
class Reach:
    """Where one end of a rule can be."""

    everywhere: bool = False
    segments: frozenset[str] = frozenset()
    """Any VM of these; `outside` is one."""
    vms: frozenset[str] = frozenset()

    @property
    def outside(self) -> bool:
        """Can it be no VM?"""
        return self.everywhere or OUTSIDE in self.segments

    @property
    def outside_only(self) -> bool:
        """Is it no VM?"""
        return not self.everywhere and not self.vms and self.segments == {OUTSIDE}


_EVERYWHERE = Reach(everywhere=True)


class Addresses:
    """Whose addresses lie in a network."""

    def __init__(self, vms: Iterable[Vm], many: int) -> None:
        """Args: many: a network with addresses of more VMs than this is taken to be everywhere."""
        self._many = many
        owned = sorted((a.version, int(a), vm.name) for vm in vms for a in addresses_of(vm))
        self._keys = {version: [key for v, key, _ in owned if v == version] for version in (4, 6)}
        self._names = {version: [name for v, _, name in owned if v == version] for version in (4, 6)}

    def reach(self, nets: Iterable[Network]) -> Reach:
        """Where packets with one of these addresses can enter or leave."""
        vms: set[str] = set()
        for net in nets:
            first, last = _range(net)
            if any(low <= last and first <= high for low, high in _ANYBODYS[net.version]):
                return _EVERYWHERE
            keys = self._keys[net.version]
            vms.update(self._names[net.version][bisect_left(keys, first) : bisect_right(keys, last)])
            if len(vms) > self._many:
                return _EVERYWHERE
        return Reach(segments=frozenset({OUTSIDE}), vms=frozenset(vms))


def reach_of(peer: Peer, lists: Mapping[str, AddressList], addresses: Addresses) -> Reach:
    """Where an end of a rule can be."""
    if peer.vm is not None:
        return Reach(vms=frozenset({peer.vm}))
    if peer.segment is not None:
        return Reach(segments=frozenset({peer.segment}))
    if peer.nets:
        return addresses.reach(peer.nets)
    if peer.list is not None:
        return addresses.reach(lists[peer.list].nets)
    return _EVERYWHERE


def standing(acl: Acl, source: Reach, destination: Reach, *, observing: bool = False) -> Reach:
    """Where a rule stands, from where its ends can be.

    Args:
        observing: may a rule in observe be about packets of VMs to the outside? What it counts is settled where they
            enter, by all rules about them.
    """
    if acl.verdict is Verdict.DROP and not observing:
        for one, other in ((source, destination), (destination, source)):
            if one.outside_only and other.everywhere:
                return one
    everywhere = source.everywhere or destination.everywhere
    return Reach(everywhere, source.segments | destination.segments, source.vms | destination.vms)


def segments_of(reach: Reach, inventory: Inventory) -> frozenset[str] | None:
    """Segments that an end of a rule may belong to; None: all."""
    if reach.everywhere:
        return None
    return reach.segments | {inventory.vms[name].segment for name in reach.vms}
