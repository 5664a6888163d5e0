"""All tables of a VFN from inventory, port numbers and firewall rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from policies.acl import Policy
from policies.desired import Desired, Layer
from policies.entries import Field, TableEntry
from policies.pipeline.border import claims_of, honest
from policies.pipeline.classes import destination_afar, destination_here, source_afar, source_here, strangers
from policies.pipeline.enforcement import enforcement, judgements
from policies.pipeline.forward import onward, to_all, to_vm
from policies.pipeline.guard import checks, cut, from_vm
from policies.pipeline.place import Place
from policies.pipeline.tables import Table, go
from policies.pipeline.tap import tap
from policies.rules import FirewallRule, Verdict
from topology.graph import Ways
from topology.model import Inventory, Vm

Cookies = Callable[[Sequence[TableEntry]], Sequence[int]]
"""Cookies of many entries, in their order."""

_NO_POLICY = Policy()
_PASSED = ((Table.OBSERVE, Table.ENFORCEMENT), (Table.COMMIT, Table.FORWARD))


@dataclass(frozen=True)
class Network:
    """Everything that decides what the VFNs must hold."""

    inventory: Inventory
    policy: Policy = field(default_factory=Policy)
    rules: Mapping[str, tuple[FirewallRule, ...]] = field(default_factory=dict)
    """Firewall rules by the id of their segmentation rule."""
    ports: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """OpenFlow port number by interface name, by VFN. Ends and cables whose port is absent get no entries."""


class Compiler:
    """Compiles VFN after VFN, and after a change of the network only what has changed.

    Args:
        cookies: gives entries their cookies.
    """

    def __init__(self, cookies: Cookies) -> None:
        self._cookies = cookies
        self._network: Network | None = None
        self._done: dict[str, Desired] = {}

    def compile(self, network: Network, vfn: str) -> Desired:
        """Every entry that a VFN must hold. What has not changed since the last call is the same object."""
        if network is not self._network:
            self._network, self._done = network, {}
        if vfn not in self._done:
            rules = [rule for group in network.rules.values() for rule in group]
            entries = compile_vfn(network.inventory, vfn, network.ports.get(vfn, {}), rules, network.policy)
            layer = Layer(dict(zip(self._cookies(entries), entries, strict=True)))
            self._done[vfn] = Desired([(layer,)])
        return self._done[vfn]


def compile_vfn(
    inventory: Inventory,
    vfn: str,
    ports: Mapping[str, int],
    firewall_rules: Iterable[FirewallRule],
    policy: Policy = _NO_POLICY,  # noqa: ARG001
) -> tuple[TableEntry, ...]:
    """Every entry that a VFN must hold, by table and falling priority.

    Args:
        vfn: its name.
        ports: OpenFlow port number by interface name. Ends and cables whose port is absent get no entries;
            `missing_ports` names them.
        firewall_rules: those of other VFNs are left out.
        policy: what people have laid down.
    """
    place = _place(inventory, vfn, ports)
    rules = tuple(rule for rule in firewall_rules if rule.vfn == vfn)
    cuts = _cuts(rules)
    passing = (go(table, 0, {}, after) for table, after in _PASSED)
    return _ordered(
        (
            *passing,
            *_base(inventory, place, frozenset(cuts)),
            *(entry for vm in inventory.vms.values() for entry in _anywhere(inventory, vm)),
            *(entry for vm in place.vms for entry in _own(inventory, vm, ports.get(vm.port), cuts.get(vm.name, ()))),
            *(entry for vm in inventory.vms.values() if place.gates for entry in claims_of(vm)),
            *enforcement(inventory, rules),
        )
    )


def _base(inventory: Inventory, place: Place, cut: frozenset[str]) -> Iterator[TableEntry]:
    """What a VFN holds of itself."""
    vfns = inventory.vfns
    yield from checks(place, Table.SOURCE)
    yield honest()
    yield from tap(Table.SOURCE)
    yield from strangers(place, [(end, vfns[end.vfn]) for end in inventory.outside.values()])
    yield from onward(place, vfns, inventory.outside.values())
    vms = {vm.name for vm in place.vms} - cut
    wary = {vm.name for vm in place.vms if inventory.segments[vm.segment].default == "deny"}
    yield from to_all(place, vms, wary)


def _own(inventory: Inventory, vm: Vm, port: int | None, cut_by: tuple[str, ...]) -> Iterator[TableEntry]:
    """What a VFN holds of an own VM."""
    segment = inventory.segment_number(vm)
    if cut_by:
        yield from cut(vm, port, cut_by)
    if port is not None:
        yield from from_vm(vm, port)
        yield source_here(vm, segment, port)
        yield to_vm(vm, port)
    yield from destination_here(vm, segment)


def _anywhere(inventory: Inventory, vm: Vm) -> Iterator[TableEntry]:
    """What a VFN holds of any VM."""
    segment = inventory.segment_number(vm)
    yield source_afar(vm, segment)
    yield from destination_afar(vm, segment, inventory.vfns[vm.vfn])


def _place(inventory: Inventory, vfn: str, ports: Mapping[str, int]) -> Place:
    vms = tuple(vm for vm in inventory.vms.values() if vm.vfn == vfn)
    outside = tuple(end for end in inventory.outside.values() if end.vfn == vfn)
    return Place(vfn, vms, outside, ports, Ways(inventory))


def _cuts(rules: Iterable[FirewallRule]) -> dict[str, tuple[str, ...]]:
    """Ids of the rules that cut a VM's port, by the VM's name."""
    cuts: dict[str, tuple[str, ...]] = {}
    for rule in sorted(rules, key=lambda rule: rule.rule_id):
        if rule.cut_port_of is not None:
            cuts[rule.cut_port_of] = (*cuts.get(rule.cut_port_of, ()), rule.rule_id)
    return cuts


def compile_urgent(
    inventory: Inventory, vfn: str, ports: Mapping[str, int], firewall_rules: Iterable[FirewallRule]
) -> tuple[TableEntry, ...]:
    """The part of `compile_vfn` that stops traffic by these rules: cut ports and drops."""
    drops = tuple(rule for rule in firewall_rules if rule.vfn == vfn and rule.verdict is Verdict.DROP)
    isolated = [(inventory.vms[name], rules) for name, rules in _cuts(drops).items()]
    cuts = [entry for vm, rules in isolated for entry in cut(vm, ports.get(vm.port), rules)]
    return _ordered((*cuts, *judgements(inventory, drops)))


def missing_ports(inventory: Inventory, vfn: str, ports: Mapping[str, int]) -> tuple[str, ...]:
    """Interface names that the inventory gives to a VFN and that `ports` does not have."""
    return _place(inventory, vfn, ports).missing


def _ordered(entries: Iterable[TableEntry]) -> tuple[TableEntry, ...]:
    """Entries in one order; what several rules ask for stands once and names them all."""
    merged: dict[tuple[int, int, tuple[Field, ...]], TableEntry] = {}
    for entry in entries:
        key = (entry.table, -entry.priority, entry.match)
        known = merged.get(key)
        if known is None:
            merged[key] = entry
            continue
        if (known.steps, known.goto) != (entry.steps, entry.goto):
            raise ValueError(f"two entries contradict each other: {known} and {entry}")
        merged[key] = replace(known, rules=tuple(sorted({*known.rules, *entry.rules})))
    return tuple(entry for _, entry in sorted(merged.items(), key=lambda item: _sort_key(*item[0])))


def _sort_key(table: int, falling: int, match: tuple[Field, ...]) -> tuple[int, int, list[tuple[str, int, int]]]:
    return table, falling, [(field.name, field.value, -1 if field.mask is None else field.mask) for field in match]
