"""Who is where: VMs by segment and by VFN, and from one inventory to the next what of it is the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from topology.model import OUTSIDE, Address, Inventory, OutsidePort, Vm

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
    residence: Mapping[str, frozenset[str]]
    """VFNs with VMs of each segment."""
    homes: Mapping[str, frozenset[str]]
    """Segments with VMs on each VFN; `outside`, too, where there is an outside port."""
    changed: Collection[str]
    """Segments whose members are others than before."""
    moved: frozenset[str]
    """Names of VMs that are new, or other than they were before."""
    left: tuple[str, ...]
    """Names of VMs that are no more."""
    addresses: object
    """The same object as long as no address changes its owner."""
    numbers: object
    """The same object as long as no VM's name changes its number."""


def locate(inventory: Inventory, before: Whereabouts | None = None) -> Whereabouts:
    """Find everybody. What is known from `before`, of the same VFNs and outside ports, is not looked at again."""
    if before is None:
        nobody = dataclasses.replace(inventory, vms={})
        residents: _Groups = dict.fromkeys(inventory.vfns, ())
        homes = {vfn: frozenset[str]() for vfn in inventory.vfns}
        start = Whereabouts(nobody, {}, residents, _outside(inventory), {}, homes, (), frozenset(), (), nobody, nobody)
        return locate(inventory, dataclasses.replace(start, homes=_homes(start, residents, inventory.vfns)))
    if inventory is before.inventory:
        return dataclasses.replace(before, changed=(), moved=frozenset(), left=())
    come, gone = _differing(inventory.vms, before.inventory.vms)
    members, segments = _regroup(before.members, gone, come, lambda vm: vm.segment)
    residents, vfns = _regroup(before.residents, gone, come, lambda vm: vm.vfn)
    residence = {segment: frozenset(vm.vfn for vm in members[segment]) for segment in segments}
    return Whereabouts(
        inventory,
        members,
        residents,
        before.outside,
        {**before.residence, **residence},
        {**before.homes, **_homes(before, residents, vfns)},
        changed=segments,
        moved=frozenset(vm.name for vm in come),
        left=tuple(vm.name for vm in gone if vm.name not in inventory.vms),
        addresses=before.addresses if _owned(gone) == _owned(come) else inventory,
        numbers=before.numbers if _numbered(gone) == _numbered(come) else inventory,
    )


def _differing(new: Mapping[str, Vm], old: Mapping[str, Vm]) -> tuple[list[Vm], list[Vm]]:
    """VMs that are new, or other than before; those that are no more, or not what they were."""
    others = [(vm, known) for vm, known in zip(new.values(), map(old.get, new), strict=True) if vm is not known]
    come = [vm for vm, known in others if vm != known]
    gone = [old[vm.name] for vm in come if vm.name in old]
    if len(new) < len(old) + len(come) - len(gone):
        gone += [old[name] for name in old.keys() - new.keys()]
    return come, gone


def _outside(inventory: Inventory) -> dict[str, tuple[OutsidePort, ...]]:
    found: dict[str, list[OutsidePort]] = {}
    for end in inventory.outside.values():
        found.setdefault(end.vfn, []).append(end)
    return {vfn: tuple(ends) for vfn, ends in found.items()}


def _regroup(
    groups: _Groups, gone: Collection[Vm], come: Collection[Vm], place: Callable[[Vm], str]
) -> tuple[_Groups, Collection[str]]:
    """Groups after some have gone from theirs and others have come to theirs; names of the groups that are others."""
    changed = {name: {vm.name: vm for vm in groups.get(name, ())} for name in map(place, (*gone, *come))}
    for vm in gone:
        del changed[place(vm)][vm.name]
    for vm in come:
        changed[place(vm)][vm.name] = vm
    by_number = {name: tuple(sorted(vms.values(), key=lambda vm: vm.number)) for name, vms in changed.items()}
    return {**groups, **by_number}, changed.keys()


def _homes(before: Whereabouts, residents: _Groups, vfns: Iterable[str]) -> dict[str, frozenset[str]]:
    """The segments of these VFNs; the known set where they are the same."""
    homes = {}
    for vfn in vfns:
        home = frozenset((*(vm.segment for vm in residents[vfn]), *((OUTSIDE,) if vfn in before.outside else ())))
        known = before.homes[vfn]
        homes[vfn] = known if known == home else home
    return homes


def _owned(vms: Iterable[Vm]) -> set[tuple[str, str, tuple[Address, ...]]]:
    return {(vm.name, vm.mac, vm.addresses) for vm in vms}


def _numbered(vms: Iterable[Vm]) -> set[tuple[str, int]]:
    return {(vm.name, vm.number) for vm in vms}
