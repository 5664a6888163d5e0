"""Who is where: VMs by segment and by VFN, and from one inventory to the next what of it is the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from topology.model import OUTSIDE, Inventory, OutsidePort, Vm

_Groups = Mapping[str, tuple[Vm, ...]]


@dataclass(frozen=True)
class Whereabouts:
    """An inventory's ends by their places. Groups in which nothing has changed are the same objects as before."""

    inventory: Inventory
    members: _Groups
    """VMs of each segment that has ever had any, by number."""
    residents: _Groups
    """VMs of each VFN, the same."""
    outside: Mapping[str, tuple[OutsidePort, ...]]
    """Outside ports of each VFN that has any, in the inventory's order."""
    homes: Mapping[str, frozenset[str]]
    """Segments with VMs on each VFN; `outside`, too, where there is an outside port."""
    moved: frozenset[str]
    """Names of VMs that are new or other than they were before."""
    addresses: object
    """The same object as long as no address changes its owner."""
    numbers: object
    """The same object as long as no VM's name changes its number."""


def locate(inventory: Inventory, before: Whereabouts | None = None) -> Whereabouts:
    """Find everybody. What is known from `before`, of the same VFNs and outside ports, is not looked at again."""
    old = before.inventory.vms if before is not None else {}
    come = [vm for name, vm in inventory.vms.items() if (known := old.get(name)) is not vm and known != vm]
    gone = [old[vm.name] for vm in come if vm.name in old]
    if len(old) + len(come) - len(gone) > len(inventory.vms):
        gone += [old[name] for name in old.keys() - inventory.vms.keys()]
    if before is None:
        outside: Mapping[str, tuple[OutsidePort, ...]] = _outside(inventory)
        members: _Groups = {}
        residents: _Groups = dict.fromkeys(inventory.vfns, ())
        homes: Mapping[str, frozenset[str]] = {}
    else:
        outside, members, residents, homes = before.outside, before.members, before.residents, before.homes
    members = _regroup(members, gone, come, lambda vm: vm.segment)
    regrouped = _regroup(residents, gone, come, lambda vm: vm.vfn)
    stale = [vfn for vfn in inventory.vfns if vfn not in homes or regrouped[vfn] is not residents[vfn]]
    homes = {**homes, **{vfn: _home(homes.get(vfn), regrouped[vfn], vfn in outside) for vfn in stale}}
    moved = frozenset(vm.name for vm in come)
    addresses: object = inventory
    numbers: object = inventory
    if before is not None and _owned(gone) == _owned(come):
        addresses = before.addresses
    if before is not None and {(vm.name, vm.number) for vm in gone} == {(vm.name, vm.number) for vm in come}:
        numbers = before.numbers
    return Whereabouts(inventory, members, regrouped, outside, homes, moved, addresses, numbers)


def _outside(inventory: Inventory) -> dict[str, tuple[OutsidePort, ...]]:
    found: dict[str, list[OutsidePort]] = {}
    for end in inventory.outside.values():
        found.setdefault(end.vfn, []).append(end)
    return {vfn: tuple(ends) for vfn, ends in found.items()}


def _regroup(groups: _Groups, gone: Collection[Vm], come: Collection[Vm], place: Callable[[Vm], str]) -> _Groups:
    """Groups after some have gone from theirs and others have come to theirs."""
    changed: dict[str, dict[str, Vm]] = {}
    for name in dict.fromkeys(map(place, (*gone, *come))):
        changed[name] = {vm.name: vm for vm in groups.get(name, ())}
    for vm in gone:
        del changed[place(vm)][vm.name]
    for vm in come:
        changed[place(vm)][vm.name] = vm
    by_number = {name: tuple(sorted(vms.values(), key=lambda vm: vm.number)) for name, vms in changed.items()}
    return {**groups, **by_number}


def _home(known: frozenset[str] | None, vms: Collection[Vm], outside: bool) -> frozenset[str]:
    """The segments of a VFN; `known` if they are still these."""
    home = frozenset((*(vm.segment for vm in vms), *((OUTSIDE,) if outside else ())))
    return known if known == home else home


def _owned(vms: Collection[Vm]) -> set[tuple[str, str, tuple[object, ...]]]:
    return {(vm.name, vm.mac, vm.addresses) for vm in vms}
