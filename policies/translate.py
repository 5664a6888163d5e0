"""What a segmentation rule means for each VFN.

Enforcement happens at the ends: a VFN judges what comes in from its own VMs and outside ports, and what goes out to
them; between two links it only forwards. So the rules of a VM stand on the VM's VFN, those of an outside address on
every VFN that has an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policies.acl import Acl, Peer, Service
from policies.rules import Action, FirewallRule, Network, Protocol, Scope, SegmentationRule, Tier, Verdict
from runtime.errors import PolicyError
from topology.addresses import addresses_of, owner
from topology.graph import get_vfns_for_vm
from topology.model import Address, Inventory, Vm
from topology.names import nearest

ANALYZER = "analyzer"
"""Issuer of the analyzer's rules; every other issuer is a person."""

_MEANINGLESS = {
    Action.ISOLATE: ("source_ip", "destination_vm", "port"),
    Action.ALLOW: ("source_vm", "segment"),
    Action.DENY: ("source_vm", "segment", "destination_vm", "port"),
}
_MAX_PORT = 65535
_WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


def translate(rule: SegmentationRule, inventory: Inventory) -> tuple[FirewallRule, ...]:
    """The firewall rules of a segmentation rule, in the inventory's order of VFNs.

    Raises:
        PolicyError: the rule cannot mean anything in this network; names key and remedy.
    """
    for key in _MEANINGLESS[rule.action]:
        if getattr(rule, key) is not None:
            raise PolicyError(f"means nothing in a rule to {rule.action}", key=key, remedy="leave it out")
    match rule.action:
        case Action.ISOLATE:
            return tuple(_isolate(rule, inventory))
        case Action.ALLOW:
            return tuple(_allow(rule, inventory))
        case Action.DENY:
            return tuple(_deny(rule, inventory))


def tier_of(rule: SegmentationRule) -> Tier:
    """Where a rule stands among others: isolation above persons, persons above the analyzer."""
    if rule.action is Action.ISOLATE:
        return Tier.QUARANTINE
    if rule.issuer != ANALYZER:
        return Tier.OPERATOR
    return Tier.INTEL if rule.action is Action.DENY else Tier.LEARNED


def acl_of(rule: FirewallRule) -> Acl | None:
    """What a firewall rule says about packets; None: it only cuts a port. The longer prefix is of the higher rank."""
    if rule.cut_port_of is not None:
        return None
    net = rule.source_net or rule.destination_net
    return Acl(
        rule.rule_id,
        rule.tier,
        rule.verdict,
        source=_peer(rule.source_vm, rule.source_net),
        destination=_peer(rule.destination_vm, rule.destination_net, rule.not_destination_segment),
        services=_services(rule),
        rank=0 if net is None else net.prefixlen,
    )


def _peer(vm: str | None, net: Network | None, not_segment: str | None = None) -> Peer:
    return Peer(vm=vm, not_segment=not_segment, nets=() if net is None else (net,))


def _services(rule: FirewallRule) -> tuple[Service, ...]:
    if rule.protocol is Protocol.ANY:
        return ()
    port = rule.destination_port
    return (Service(rule.protocol, () if port is None else ((port, port),)),)


def _vm(key: str, name: str | None, inventory: Inventory) -> Vm:
    if name is None:
        raise PolicyError("missing", key=key, remedy="name a VM")
    if name not in inventory.vms:
        raise PolicyError(f"no VM {name!r}", key=key, remedy=nearest(name, inventory.vms))
    return inventory.vms[name]


def _source(rule: SegmentationRule) -> Network:
    if rule.source_ip is None:
        raise PolicyError("missing", key="source_ip", remedy="give an address or a network")
    return rule.source_ip


def _isolate(rule: SegmentationRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """Scope `other_segments`: nothing leaves to another segment. Scope `all`: nothing leaves, nothing arrives."""
    vm = _vm("source_vm", rule.source_vm, inventory)
    if rule.segment is not None and rule.segment != vm.segment:
        remedy = f"write {vm.segment}, or leave it out"
        raise PolicyError(f"{vm.name} is in segment {vm.segment}, not {rule.segment}", key="segment", remedy=remedy)
    for vfn in get_vfns_for_vm(inventory, vm.name):
        base = FirewallRule(rule.id, vfn.name, tier_of(rule), Verdict.DROP)
        if rule.scope is Scope.OTHER_SEGMENTS:
            yield replace(base, source_vm=vm.name, not_destination_segment=vm.segment)
            continue
        yield replace(base, cut_port_of=vm.name)
        # The cut port stops what is sent to its MAC; these also stop requests that are broadcast for its address.
        yield replace(base, source_vm=vm.name)
        yield replace(base, destination_vm=vm.name)


def _allow(rule: SegmentationRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """Accept towards the destination VM wherever it could be refused.

    That is at the VM's VFN, and where the source enters the network: the VFNs of the source's VMs, and of the outside
    ports unless the source is a VM. Answers pass with the connection.
    """
    vm = _vm("destination_vm", rule.destination_vm, inventory)
    source = _source(rule)
    if rule.port is not None and rule.protocol not in _WITH_PORTS:
        raise PolicyError("a port needs a protocol that has ports", key="protocol", remedy="write tcp, udp or sctp")
    if rule.port is not None and not 0 < rule.port <= _MAX_PORT:
        raise PolicyError(f"{rule.port} is no port", key="port", remedy=f"1 .. {_MAX_PORT}")
    if not any(address.version == source.version for address in addresses_of(vm)):
        raise PolicyError(f"{vm.name} has no IPv{source.version} address", key="source_ip", remedy="use its family")
    one_vm = source.num_addresses == 1 and owner(inventory, source.network_address) is not None
    places = {vfn.name for vfn in get_vfns_for_vm(inventory, vm.name)}
    places |= set() if one_vm else {port.vfn for port in inventory.outside.values()}
    places |= {other.vfn for other in inventory.vms.values() if any(_within(a, source) for a in addresses_of(other))}
    for name in inventory.vfns:
        if name in places:
            yield FirewallRule(
                rule.id,
                name,
                tier_of(rule),
                Verdict.ALLOW,
                source_net=source,
                destination_vm=vm.name,
                destination_port=rule.port,
                protocol=rule.protocol,
            )


def _deny(rule: SegmentationRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """Drop from and to an outside address on every VFN that has an end."""
    source = _source(rule)
    if rule.protocol is not Protocol.ANY:
        raise PolicyError("a denied address is denied whole", key="protocol", remedy="leave it out")
    for vm in inventory.vms.values():
        if any(_within(address, source) for address in addresses_of(vm)):
            remedy = f"isolate {vm.name} instead, or deny a network without it"
            raise PolicyError(f"{source} holds the address of VM {vm.name}", key="source_ip", remedy=remedy)
    ends = {vm.vfn for vm in inventory.vms.values()} | {port.vfn for port in inventory.outside.values()}
    for name in inventory.vfns:
        if name in ends:
            base = FirewallRule(rule.id, name, tier_of(rule), Verdict.DROP)
            yield replace(base, source_net=source)
            yield replace(base, destination_net=source)


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network
