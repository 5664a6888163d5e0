"""All tables of a VFN from inventory, port numbers and firewall rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from policies.acl import Policy
from policies.desired import Desired, Layer
from policies.entries import Field, TableEntry
from policies.pipeline.classes import destination, source
from policies.pipeline.enforcement import enforcement, judgements
from policies.pipeline.forward import forward
from policies.pipeline.guard import cuts, guard
from policies.pipeline.place import Place
from policies.pipeline.tables import Table, go
from policies.pipeline.tap import tap
from policies.rules import FirewallRule, Verdict
from topology.model import Inventory

Cookies = Callable[[Sequence[TableEntry]], Sequence[int]]
"""Cookies of many entries, in their order."""

_NO_POLICY = Policy()
_PASSED = ((Table.SOURCE_LISTS, Table.SOURCE), (Table.OBSERVE, Table.ENFORCEMENT))


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
    place = Place(inventory, vfn, ports)
    rules = tuple(rule for rule in firewall_rules if rule.vfn == vfn)
    cut = {rule.cut_port_of for rule in rules if rule.cut_port_of is not None}
    passing = (go(table, 0, {}, after) for table, after in (*_PASSED, (Table.COMMIT, Table.FORWARD)))
    return _ordered(
        (
            *guard(place, rules),
            *tap(place),
            *passing,
            *source(place),
            *destination(place),
            *enforcement(place, rules),
            *forward(place, cut),
        )
    )


def compile_urgent(
    inventory: Inventory, vfn: str, ports: Mapping[str, int], firewall_rules: Iterable[FirewallRule]
) -> tuple[TableEntry, ...]:
    """The part of `compile_vfn` that stops traffic by these rules: cut ports and drops."""
    place = Place(inventory, vfn, ports)
    drops = tuple(rule for rule in firewall_rules if rule.vfn == vfn and rule.verdict is Verdict.DROP)
    return _ordered((*cuts(place, drops), *judgements(place, drops)))


def missing_ports(inventory: Inventory, vfn: str, ports: Mapping[str, int]) -> tuple[str, ...]:
    """Interface names that the inventory gives to a VFN and that `ports` does not have."""
    return Place(inventory, vfn, ports).missing


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
