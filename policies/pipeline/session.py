"""The compiler's memory of a network whose segments, VFNs, cables and outside ports stay what they are.

Each part of a VFN's entries is remembered with what it follows from, and made anew only when that is something else.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from policies.desired import Desired, Group, Layer
from policies.entries import TableEntry
from policies.measures import Measures
from policies.pipeline import layers
from policies.pipeline.heap import Heap
from policies.pipeline.judging import Home, Judging
from policies.pipeline.lists import list_entries
from policies.pipeline.memory import Made, Memory
from policies.pipeline.needs import Needs
from policies.pipeline.network import Network
from policies.pipeline.payload import payload_of
from policies.pipeline.place import Place
from policies.pipeline.ruleset import Assigned
from policies.pipeline.tables import Table
from policies.pipeline.taps import Taps
from policies.pipeline.whereabouts import Whereabouts, locate
from topology.graph import Ways
from topology.model import Inventory, Vm

Cookies = Callable[[Sequence[TableEntry]], Sequence[int]]
"""Cookies of many entries, in their order."""


_NO_PORTS: Mapping[str, int] = {}


class Session:
    """What is known of a network, from one state to the next."""

    def __init__(self, cookies: Cookies, heap: Heap, inventory: Inventory, taps: Taps) -> None:
        self._cookies = cookies
        self._heap = heap
        self._layout = inventory
        self._taps = taps
        self._ways = Ways(inventory)
        self._where: Whereabouts | None = None
        self._network = Network(inventory, taps=taps)
        self._memory = Memory()
        self._judging = Judging(inventory, self._memory, self._layer)
        self._members = Made(self._segment)
        """What any VFN holds of the VMs of a segment."""
        self._behind: dict[str, frozenset[str]] = {}
        """Segments with VMs to whom others hand packets through a VFN that lies between them."""
        self._known_to: dict[str, frozenset[str]] = {}
        """Segments whose VMs each VFN knows."""
        self._acquainted: dict[str, object] = {}
        """Another object for a VFN whenever VMs have come to or gone from these."""
        self._listed: set[tuple[str, ...]] = set()
        """Sets of address lists that some VFN has asked for."""
        self._done: dict[str, Desired] = {}

    def fits(self, network: Network) -> bool:
        """Is it the same network but for its VMs, policy, rules and ports?"""
        known, inventory = self._layout, network.inventory
        if network.taps != self._taps:
            return False
        parts = ((known.segments, inventory.segments), (known.vfns, inventory.vfns), (known.outside, inventory.outside))
        return known.links == inventory.links and all(a is b or list(a.items()) == list(b.items()) for a, b in parts)

    def follow(self, network: Network) -> None:
        """Take the network as it is now."""
        before, self._where = self._where, locate(network.inventory, self._where)
        where = self._where
        for vm in where.left:
            self._memory.forget(("cut by", vm))
            self._memory.forget(("own", vm))
            self._memory.forget(("payload", vm))
            self._memory.forget(("measured", vm))
            self._memory.forget(("measures", vm))
            self._memory.forget(("claims", vm))
        for segment in where.changed:
            self._members.pop(segment, None)
        for vfn, behind in self._behind.items():
            turned = {segment for segment in where.changed if (segment in behind) is not self._is_behind(vfn, segment)}
            if turned:
                self._behind[vfn] = behind ^ turned
        for vfn, known in self._known_to.items():
            if not known.isdisjoint(where.changed):
                self._acquainted[vfn] = object()
        lists = self._judging.lists
        self._judging.follow(network, where, renumbered=before is not None and where.numbers is not before.numbers)
        for names in [
            names for names in self._listed if any(self._judging.lists.get(n) is not lists[n] for n in names)
        ]:
            self._listed.remove(names)
            self._memory.forget(("lists", names))
        self._network = network

    def compile(self, vfn: str) -> Desired:
        """Every entry that a VFN must hold."""
        where, judging = self._located, self._judging
        home, own, assigned = where.homes[vfn], where.residents[vfn], judging.assigned(vfn)
        given = self._network.ports.get(vfn, _NO_PORTS)
        addresses = where.addresses if vfn in where.outside else None
        inspected = self._inspected(vfn, own)
        inputs = (home, own, assigned, given, judging.state, judging.lists, self._behind.get(vfn), addresses, inspected)
        known, groups = self._memory.recall((vfn, "parts"), inputs, lambda: self._parts(vfn))
        members = self._memory.recall(
            (vfn, "members"),
            (known, self._acquainted.get(vfn)),
            lambda: tuple(map(self._members.__getitem__, known)),
        )
        groups = (members, *groups)
        done = self._done.get(vfn)
        if done is None or len(groups) != len(done.groups) or any(map(operator.is_not, groups, done.groups)):
            done = self._done[vfn] = Desired(groups)
        return done

    def _parts(self, vfn: str) -> tuple[tuple[str, ...], tuple[Group, ...]]:
        """The segments whose VMs a VFN knows; its layers but those of their VMs."""
        recall, where, judging = self._memory.recall, self._located, self._judging
        own, home, assigned = where.residents[vfn], where.homes[vfn], judging.assigned(vfn)
        given = self._network.ports.get(vfn, _NO_PORTS)
        ports = recall((vfn, "ports"), (given,), lambda: dict(given))
        place = recall((vfn, "place"), (own, ports), lambda: self._place(vfn, own, ports))
        cuts = recall((vfn, "cuts"), (assigned,), lambda: assigned.cuts)
        inspected = self._inspected(vfn, own)
        met = judging.known_to(vfn, home)
        if vfn not in self._behind and self._ways.transit[vfn]:
            self._behind[vfn] = frozenset(name for name in self._layout.segments if self._is_behind(vfn, name))
        behind = self._behind.get(vfn, frozenset())
        known = recall((vfn, "known"), (met, self._behind.get(vfn)), lambda: self._named(met | behind))
        self._known_to[vfn] = recall((vfn, "known to"), (known,), lambda: frozenset(known))
        judged = recall((vfn, "judged"), (known, home), lambda: self._named({*known, *home}))
        needs, rules = judging.layers(Home(vfn, home, own, assigned, judged))
        return known, (
            recall((vfn, "base"), (place, needs), lambda: self._base(place, needs)),
            recall((vfn, "broadcasts"), (place, cuts), lambda: self._broadcasts(place, cuts)),
            recall((vfn, "own"), (place, cuts, needs), lambda: self._own(place, cuts, needs)),
            recall((vfn, "stateless"), (needs,), lambda: self._stateless(needs)),
            self._lists(needs.lists),
            recall("claims", (where.addresses,), self._claims) if vfn in where.outside else (),
            recall((vfn, "payload"), (place, inspected, needs), lambda: self._payload(place, inspected, needs)),
            recall((vfn, "measures"), (place, assigned, needs), lambda: self._measures(place, assigned, needs)),
            *rules,
        )

    def _inspected(self, vfn: str, own: tuple[Vm, ...]) -> frozenset[str]:
        """Own VMs whose payload is copied."""
        everywhere = self._network.inspected
        return self._memory.recall(
            (vfn, "inspected"), (own, everywhere), lambda: everywhere.intersection(vm.name for vm in own)
        )

    def _named(self, names: Collection[str]) -> tuple[str, ...]:
        """Segments of these names, in the inventory's order."""
        return tuple(name for name in self._layout.segments if name in names)

    def _is_behind(self, vfn: str, segment: str) -> bool:
        """Do others hand packets for VMs of a segment through a VFN?"""
        return not self._ways.transit[vfn].isdisjoint(self._located.residence.get(segment, ()))

    @property
    def _located(self) -> Whereabouts:
        assert self._where is not None  # `follow` comes first
        return self._where

    def _place(self, vfn: str, own: tuple[Vm, ...], ports: Mapping[str, int]) -> Place:
        return Place(vfn, own, self._located.outside.get(vfn, ()), ports, self._ways)

    def _layer(self, entries: Iterable[TableEntry]) -> Layer:
        listed = tuple(entries)
        self._heap.made += len(listed)
        return Layer(dict(zip(self._cookies(listed), listed, strict=True)))

    def _base(self, place: Place, needs: Needs) -> Group:
        return (self._layer(layers.base(self._layout, place, needs, self._taps)),)

    def _broadcasts(self, place: Place, cuts: Mapping[str, tuple[str, ...]]) -> Group:
        return (self._layer(layers.broadcasts(self._layout, place, cuts)),)

    def _own(self, place: Place, cuts: Mapping[str, tuple[str, ...]], needs: Needs) -> Group:
        ports = place.ports
        return tuple(self._own_vm(vm, ports.get(vm.port), cuts.get(vm.name, ()), needs.keeping) for vm in place.vms)

    def _own_vm(self, vm: Vm, port: int | None, cut_by: tuple[str, ...], keeping: bool) -> Layer:
        segment = self._layout.segment_number(vm)
        # Whoever else is cut at this VFN, these are the same rules.
        cut_by = self._memory.recall(("cut by", vm.name), (cut_by,), lambda: cut_by)
        inputs = (vm, port, cut_by, keeping)
        return self._memory.recall(
            ("own", vm.name), inputs, lambda: self._layer(layers.own_vm(vm, segment, port, cut_by, keeping, self._taps))
        )

    def _payload(self, place: Place, inspected: frozenset[str], needs: Needs) -> Group:
        there = [(vm, place.ports[vm.port]) for vm in place.vms if vm.name in inspected and vm.port in place.ports]
        return tuple(self._payload_of(vm, port, needs.judged_from) for vm, port in there)

    def _payload_of(self, vm: Vm, port: int, judged_from: Table) -> Layer:
        inputs = (vm, port, judged_from)
        return self._memory.recall(("payload", vm.name), inputs, lambda: self._layer(payload_of(*inputs)))

    def _measures(self, place: Place, assigned: Assigned, needs: Needs) -> Group:
        """A layer for each own VM that is limited or steered, and one for all addresses outside that are limited."""
        by_vm = {subject.vm: measures for subject, measures in assigned.measures.items() if subject.vm is not None}
        there = [vm for vm in place.vms if vm.name in by_vm and vm.port in place.ports]
        vms = {vm.name: vm for vm in place.vms}
        found = [
            self._measured(vm, by_vm[vm.name], layers.inspector_of(by_vm[vm.name], vms, place.ports), place, needs)
            for vm in there
        ]
        nets = {subject.net: measures for subject, measures in assigned.measures.items() if subject.net is not None}
        if nets and place.gates:
            found.append(self._layer(layers.limited_outside(nets)))
        return tuple(found)

    def _measured(
        self, vm: Vm, measures: Measures, inspector: tuple[Vm, int] | None, place: Place, needs: Needs
    ) -> Layer:
        values = (vm, measures, inspector, place.ports[vm.port], needs.judged_from)
        inputs = self._memory.recall(("measured", vm.name), (values,), lambda: values)
        segment = self._layout.segment_number(vm)
        return self._memory.recall(
            ("measures", vm.name), (inputs,), lambda: self._layer(layers.measured(segment, *inputs))
        )

    def _segment(self, name: str) -> Layer:
        return self._layer(layers.members(self._layout, self._located.members.get(name, ())))

    def _stateless(self, needs: Needs) -> Group:
        return tuple(self._unkept(name, needs.tracking, needs.observing_answers) for name in needs.stateless)

    def _unkept(self, name: str, tracking: bool, observing: bool) -> Layer:
        segment = self._layout.segments[name].number
        return self._memory.recall(
            ("stateless", name, tracking, observing),
            (),
            lambda: self._layer(layers.stateless(segment, tracking=tracking, observing=observing)),
        )

    def _lists(self, names: tuple[str, ...]) -> Group:
        """Registers of address lists; VFNs that need the same share them."""
        if not names:
            return ()
        registers, lists = self._judging.registers, tuple(self._judging.lists[name] for name in names)
        bits = self._memory.recall("bits", (registers.lists,), lambda: registers.lists)
        self._listed.add(names)
        return self._memory.recall(
            ("lists", names), (bits, *lists), lambda: (self._layer(list_entries(lists, registers)),)
        )

    def _claims(self) -> Group:
        return tuple(map(self._claims_of, self._located.inventory.vms.values()))

    def _claims_of(self, vm: Vm) -> Layer:
        return self._memory.recall(("claims", vm.name), (vm.mac, vm.addresses), lambda: self._layer(layers.claims(vm)))
