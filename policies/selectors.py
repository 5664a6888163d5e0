"""Label selectors: which VMs they mean, and how a rule says so.

What a selector selects is a fact of the inventory, so it is settled when a policy is read: one VM, one whole segment,
or else the list of the VMs' addresses, which costs a switch one bit however many VMs there are at either end of a rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from policies.acl import AddressList, Peer
from policies.prefixes import aggregate
from policies.schema import PeerDoc
from topology.addresses import addresses_of
from topology.model import Inventory, Vm
from topology.names import nearest

Labels = Mapping[str, Sequence[str]]
"""The values of which a VM must have one, by key."""


def select(inventory: Inventory, labels: Labels, segment: str | None = None) -> tuple[Vm, ...]:
    """VMs with all of these labels, of one segment if given."""
    return tuple(
        vm
        for vm in inventory.vms.values()
        if segment in (None, vm.segment) and all(vm.labels.get(key) in values for key, values in labels.items())
    )


def written(peer: PeerDoc) -> str:
    """A selector as one word, by which its list goes: it has characters that no other list's name has."""
    parts = [f"{key}={'|'.join(sorted(values))}" for key, values in sorted((peer.labels or {}).items())]
    return ",".join([*([] if peer.segment is None else [f"segment={peer.segment}"]), *parts])


def what_there_is(inventory: Inventory, labels: Labels) -> str:
    """A remedy for a selector that selects nobody: the keys, or the values of the first key, that are there."""
    for key, values in labels.items():
        known = {vm.labels[key] for vm in inventory.vms.values() if key in vm.labels}
        if not known:
            keys = {key for vm in inventory.vms.values() for key in vm.labels}
            return f"no VM has a label {key!r}; {nearest(key, keys)}"
        for value in values:
            if value not in known:
                return f"no VM has {key}={value}; {nearest(value, known)}"
    return "no VM has all of them at once; take one away"


def as_peer(inventory: Inventory, vms: Sequence[Vm]) -> Peer | None:
    """VMs as an end of a rule, if there is one that means just them."""
    if len(vms) == 1:
        return Peer(vm=vms[0].name)
    segment = vms[0].segment
    if {vm.name for vm in vms} == {vm.name for vm in inventory.vms.values() if vm.segment == segment}:
        return Peer(segment=segment)
    return None


def as_list(name: str, vms: Sequence[Vm]) -> AddressList:
    """All addresses of these VMs."""
    return AddressList(name, aggregate(ip_network(address) for vm in vms for address in addresses_of(vm)))
