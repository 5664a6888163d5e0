"""What the layers of a VFN hold: its own base, an own VM, a VM of any VFN."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache, partial

from policies.entries import TableEntry
from policies.measures import Measures
from policies.pipeline.border import claims_of, honest
from policies.pipeline.classes import (
    destination_afar,
    destination_here,
    next_vfn,
    source_afar,
    source_here,
    strangers,
)
from policies.pipeline.connections import (
    keep_entries,
    lookup_entries,
    opening_entries,
    stateless_keep_entries,
    stateless_lookup_entries,
)
from policies.pipeline.forward import onward, to_all, to_vm
from policies.pipeline.guard import checks, cut, from_vm
from policies.pipeline.judgement import REAL, SHADOW, fixed_entries, shadow_fixed_entries
from policies.pipeline.measures import fixed_measures, meters_of_nets, of_net, of_vm, passed_on
from policies.pipeline.needs import Needs
from policies.pipeline.observe import observe_entries
from policies.pipeline.place import Place
from policies.pipeline.sixes import flows
from policies.pipeline.stamp import Stamp
from policies.pipeline.tables import DESTINATION_SEGMENT, NOWHERE, Table, drop
from policies.pipeline.tap import copies_of, tap
from policies.pipeline.taps import PortMeters, Taps
from policies.rules import Network
from topology.model import Inventory, Vm

_LAST = 1


def base(inventory: Inventory, place: Place, needs: Needs, taps: Taps) -> Iterator[TableEntry]:
    """What a VFN holds besides what is of one VM, segment or rule.

    Args:
        taps: what is copied for the analyzer.
    """
    vfns, ends = inventory.vfns, inventory.outside.values()
    yield from checks(place, needs.judged_from)
    yield honest()
    yield from tap(needs.judged_from, taps, place.gates)
    yield from flows(vfns[place.vfn].number)
    yield from strangers(place, [(end, vfns[end.vfn]) for end in ends])
    yield from observe_entries(observing=needs.observing, source_ports=needs.source_ports)
    yield from fixed_entries()
    # Rules have judged (and counted) it; no rule or default lets it through, or its destination would be known here.
    yield drop(Table.ENFORCEMENT, _LAST, {DESTINATION_SEGMENT: NOWHERE})
    yield from lookup_entries(REAL, tracking=needs.tracking)
    if needs.keeping:
        yield from keep_entries()
    if needs.observing:
        yield from shadow_fixed_entries()
        yield from lookup_entries(SHADOW, tracking=needs.observing_answers)
    yield from fixed_measures()
    yield from onward(place, vfns, ends)


def broadcasts(inventory: Inventory, place: Place, isolated: Collection[str]) -> Iterator[TableEntry]:
    """Where a VFN sends what is for everybody.

    Args:
        isolated: names of VMs whose ports are cut.
    """
    vms = {vm.name for vm in place.vms} - set(isolated)
    wary = {vm.name for vm in place.vms if inventory.segments[vm.segment].default == "deny"}
    yield from to_all(place, vms, wary)


def own_vm(
    vm: Vm, segment: int, port: int | None, cut_by: tuple[str, ...], keeping: bool, taps: Taps
) -> Iterator[TableEntry]:
    """What the VFN of a VM holds of it.

    Args:
        segment: number of its segment.
        port: number of its port; None: it is not there.
        cut_by: ids of the rules that cut it.
        keeping: does the VFN keep connections?
        taps: what is copied for the analyzer.
    """
    if cut_by:
        yield from cut(vm, port, cut_by)
    yield from _ARRIVING.entries(vm, segment)
    if port is not None:
        yield from _present_stamp(taps, vm.inspection).entries(vm, segment, port, *PortMeters.of(port))
        if keeping:
            yield from _OPENING.entries(vm)


@lru_cache
def _present_stamp(taps: Taps, inspection: bool) -> Stamp:
    return Stamp(partial(_present, taps, inspection))


def _present(taps: Taps, inspection: bool, vm: Vm, segment: int, port: int, *meters: int) -> Iterator[TableEntry]:
    yield from from_vm(vm, port)
    yield source_here(vm, segment, port, alone=not inspection)
    yield to_vm(vm, port, tapped=taps.dns)
    yield from copies_of(vm, port, PortMeters(*meters), taps)


def inspector_of(measures: Measures, vms: Mapping[str, Vm], ports: Mapping[str, int]) -> tuple[Vm, int] | None:
    """The inspection VM that gets a VM's traffic, and the number of its port, if both are there.

    Args:
        vms: by name, those of the VFN among them.
        ports: of the VFN.
    """
    vm = None if measures.steering is None else vms.get(measures.steering.target)
    return None if vm is None or vm.port not in ports else (vm, ports[vm.port])


def measured(
    segment: int, vm: Vm, measures: Measures, inspector: tuple[Vm, int] | None, port: int, judged_from: Table
) -> Iterator[TableEntry]:
    """What a VFN holds of an own VM that is limited or steered.

    Args:
        segment: number of its segment.
        port: number of its port.
        judged_from: table where packets go on that are known to be honest.
    """
    yield from of_vm(vm, port, measures, inspector)
    if inspector is not None and measures.steering is not None and not measures.steering.mirror:
        yield from passed_on(vm, segment, inspector[1], judged_from)


def limited_outside(nets: Mapping[Network, Measures]) -> Iterator[TableEntry]:
    """What a VFN with an outside port holds of addresses there that are limited."""
    meters = meters_of_nets(nets.keys())
    for net, measures in nets.items():
        yield from of_net(net, measures, meters[net])


def members(inventory: Inventory, vms: Collection[Vm]) -> Iterator[TableEntry]:
    """What any VFN holds of the VMs of a segment."""
    for vm in vms:
        yield from _AFAR.entries(vm, inventory.segment_number(vm), next_vfn(inventory.vfns[vm.vfn]))


def _afar(vm: Vm, segment: int, way: int) -> Iterator[TableEntry]:
    yield source_afar(vm, segment)
    yield from destination_afar(vm, segment, way)


def claims(vm: Vm) -> Iterable[TableEntry]:
    """What nobody outside may claim to be."""
    return _CLAIMS.entries(vm)


def stateless(segment: int, *, tracking: bool, observing: bool) -> Iterator[TableEntry]:
    """What a segment that keeps no connections asks of the tables that would.

    Args:
        tracking: is there anything at the VFN that might deny answers?
        observing: or that would, were it not in observe?
    """
    if tracking:
        yield from stateless_lookup_entries(REAL, segment)
    if observing:
        yield from stateless_lookup_entries(SHADOW, segment)
    if tracking or observing:
        yield from stateless_keep_entries(segment)


_ARRIVING, _OPENING = Stamp(destination_here), Stamp(opening_entries)
_AFAR, _CLAIMS = Stamp(_afar), Stamp(claims_of)
