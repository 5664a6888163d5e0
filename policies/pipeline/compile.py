"""All tables of a VFN from inventory, policy, firewall rules and port numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count, islice

from policies.acl import Mode, Policy
from policies.desired import Desired
from policies.entries import Field, TableEntry
from policies.measures import Measures, Subject, measures_of
from policies.pipeline.guard import cut
from policies.pipeline.heap import Heap
from policies.pipeline.judgement import acl_entries, contains
from policies.pipeline.layers import inspector_of, limited_outside
from policies.pipeline.measures import of_vm
from policies.pipeline.network import Network
from policies.pipeline.registers import Registers
from policies.pipeline.ruleset import Assigned
from policies.pipeline.session import Cookies, Session
from policies.pipeline.tables import Table
from policies.pipeline.taps import Taps
from policies.rules import FirewallRule
from topology.model import Inventory

__all__ = ["Compiler", "Network", "compile_urgent", "compile_vfn", "missing_ports"]

_NO_POLICY = Policy()
_USUAL_TAPS = Taps()


class Compiler:
    """Compiles VFN after VFN, and after a change of the network only what has changed.

    Args:
        cookies: gives entries their cookies.
    """

    def __init__(self, cookies: Cookies) -> None:
        self._cookies = cookies
        self._heap = Heap()
        self._network: Network | None = None
        self._session: Session | None = None

    def compile(self, network: Network, vfn: str) -> Desired:
        """Every entry that a VFN must hold. What is as it was in the last network is made of the same layers.

        Raises:
            PolicyError: address lists that need too many entries.
        """
        with self._heap:
            return self._follow(network).compile(vfn)

    def _follow(self, network: Network) -> Session:
        session = self._session
        if session is not None and network is self._network:
            return session
        if session is None or not session.fits(network):
            session = Session(self._cookies, self._heap, network.inventory, network.taps)
        # What fails on the way leaves a memory that is neither the one nor the other: then the next time starts anew.
        self._session = None
        session.follow(network)
        self._session, self._network = session, network
        return session


def compile_vfn(
    inventory: Inventory,
    vfn: str,
    ports: Mapping[str, int],
    firewall_rules: Iterable[FirewallRule],
    policy: Policy = _NO_POLICY,
    taps: Taps = _USUAL_TAPS,
) -> tuple[TableEntry, ...]:
    """Every entry that a VFN must hold, by table and falling priority.

    Args:
        vfn: its name.
        ports: OpenFlow port number by interface name. Ends and cables whose port is absent get no entries;
            `missing_ports` names them.
        firewall_rules: of all VFNs.
        policy: what people have laid down.
        taps: what is copied for the analyzer.
    """
    numbers = count()
    network = Network(inventory, policy, _by_id(firewall_rules), ports={vfn: ports}, taps=taps)
    return _ordered(Compiler(lambda entries: tuple(islice(numbers, len(entries)))).compile(network, vfn).values())


def compile_urgent(
    inventory: Inventory,
    vfn: str,
    ports: Mapping[str, int],
    firewall_rules: Iterable[FirewallRule],
    beside: Iterable[FirewallRule] = (),
) -> tuple[TableEntry, ...]:
    """The part of `compile_vfn` that stops traffic by these rules: cut ports, drops that contain, and limits.

    Args:
        beside: other rules of the VFN. Measures of one subject share its entries.
    """
    own = [rule for rule in firewall_rules if rule.vfn == vfn]
    assigned = Assigned(_by_id(own))
    registers = Registers(inventory, ())
    entries: list[TableEntry] = []
    for name, rules in assigned.cuts.items():
        vm = inventory.vms[name]
        entries += cut(vm, ports.get(vm.port), rules)
    for acl in filter(contains, assigned.acls):
        if acl.mode is Mode.ENFORCE:
            entries += (entry for entry in acl_entries(acl, registers) if entry.table == Table.ENFORCEMENT)
    limited = {subject for subject, measures in assigned.measures.items() if measures.limits}
    if limited:
        here = [rule for rule in (*own, *beside) if rule.vfn == vfn]
        entries += _limits(inventory, vfn, ports, limited, measures_of(here))
    return _ordered(entries)


def _limits(
    inventory: Inventory,
    vfn: str,
    ports: Mapping[str, int],
    limited: Collection[Subject],
    measures: Mapping[Subject, Measures],
) -> Iterator[TableEntry]:
    """The entries of subjects that are limited now."""
    for vm in (inventory.vms[subject.vm] for subject in limited if subject.vm is not None):
        about = measures[Subject(vm=vm.name)]
        if vm.port in ports:
            yield from of_vm(vm, ports[vm.port], about, inspector_of(about, inventory.vms, ports))
    gates = any(end.vfn == vfn and end.port in ports for end in inventory.outside.values())
    if gates and any(subject.net is not None for subject in limited):
        yield from limited_outside({subject.net: one for subject, one in measures.items() if subject.net is not None})


def missing_ports(inventory: Inventory, vfn: str, ports: Mapping[str, int]) -> tuple[str, ...]:
    """Interface names that the inventory gives to a VFN and that `ports` does not have."""
    links = ((link.a, link.a_port, link.b, link.b_port) for link in inventory.links)
    named = [port for a, a_port, b, b_port in links for end, port in ((a, a_port), (b, b_port)) if end == vfn]
    named += [vm.port for vm in inventory.vms.values() if vm.vfn == vfn]
    named += [end.port for end in inventory.outside.values() if end.vfn == vfn]
    return tuple(name for name in named if name not in ports)


def _by_id(rules: Iterable[FirewallRule]) -> dict[str, tuple[FirewallRule, ...]]:
    groups: dict[str, tuple[FirewallRule, ...]] = {}
    for rule in rules:
        groups[rule.rule_id] = (*groups.get(rule.rule_id, ()), rule)
    return groups


def _ordered(entries: Iterable[TableEntry]) -> tuple[TableEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.table, -entry.priority, _sort_key(entry.match))))


def _sort_key(match: tuple[Field, ...]) -> list[tuple[str, int, int]]:
    return [(field.name, field.value, -1 if field.mask is None else field.mask) for field in match]
