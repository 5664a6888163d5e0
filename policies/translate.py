"""What a segmentation rule means for each VFN.

Enforcement happens at the ends: a VFN judges what comes in from its own VMs and outside ports, and what goes out to
them; between two links it only forwards. So the rules of a VM stand on the VM's VFN, those of an outside address on
every VFN that has an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_network

from policies import acl, rules
from policies.acl import Acl, Peer, Service
from policies.measures import is_measure
from policies.rules import Action, FirewallRule, Mode, Network, Protocol, Scope, SegmentationRule, Tier, Verdict
from runtime.errors import PolicyError
from topology.addresses import addresses_of, owner
from topology.graph import get_vfns_for_vm
from topology.model import Address, Inventory, Vm
from topology.names import nearest

ANALYZER = "analyzer"
"""Issuer of the analyzer's rules; every other issuer is a person."""

_MEANING = {
    Action.ISOLATE: ("source_vm", "segment"),
    Action.ALLOW: ("source_ip", "destination_vm", "port"),
    Action.DENY: ("source_ip",),
    Action.RESTRICT: ("source_vm", "segment", "peers"),
    Action.RATE_LIMIT: ("source_vm", "segment", "source_ip", "rate"),
    Action.STEER: ("source_vm", "segment", "target", "mirror"),
}
"""Keys that mean something; of those that an action may have, the others do not."""
_KEYS = tuple(dict.fromkeys(key for keys in _MEANING.values() for key in keys))
_CONTAINING = frozenset({Action.ISOLATE, Action.RESTRICT, Action.RATE_LIMIT, Action.STEER})
_MAX_PORT = 65535
_WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


def translate(rule: SegmentationRule, inventory: Inventory) -> tuple[FirewallRule, ...]:
    """The firewall rules of a segmentation rule, in the inventory's order of VFNs.

    Raises:
        PolicyError: the rule cannot mean anything in this network; names key and remedy.
    """
    for key in _KEYS:
        if key not in _MEANING[rule.action] and getattr(rule, key) not in (None, (), False):
            raise PolicyError(f"means nothing in a rule to {rule.action}", key=key, remedy="leave it out")
    translated = _TRANSLATIONS[rule.action](rule, inventory)
    if rule.mode is not Mode.OBSERVE:
        return tuple(translated)
    # A port that is cut counts nothing; the drops beside it count all that it would stop.
    observing = (replace(one, mode=Mode.OBSERVE) for one in translated if one.cut_port_of is None)
    return tuple(found for one in observing for found in _where_counted(one, inventory))


def _where_counted(rule: FirewallRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """A packet is observed where it enters the network: what is for a VM, at every VFN that has an end."""
    if rule.destination_vm is None or rule.verdict is not Verdict.DROP:
        yield rule
        return
    yield from (replace(rule, vfn=name) for name in _with_ends(inventory))


def _with_ends(inventory: Inventory) -> Iterator[str]:
    """Names of the VFNs that have a VM or an outside port."""
    ends = {vm.vfn for vm in inventory.vms.values()} | {port.vfn for port in inventory.outside.values()}
    return (name for name in inventory.vfns if name in ends)


def tier_of(rule: SegmentationRule) -> Tier:
    """Where a rule stands among others: what contains a VM above persons, persons above the analyzer."""
    if rule.action in _CONTAINING:
        return Tier.QUARANTINE
    if rule.issuer != ANALYZER:
        return Tier.OPERATOR
    return Tier.INTEL if rule.action is Action.DENY else Tier.LEARNED


def acls_in(rules: Iterable[FirewallRule]) -> Iterator[Acl]:
    """What firewall rules say about packets; one that decides nothing by itself, or only cuts a port, says nothing.

    The longer prefix is of the higher rank.
    """
    return (found for rule in rules if (found := _acl(rule)) is not None)


def _acl(rule: FirewallRule) -> Acl | None:
    if rule.cut_port_of is not None or is_measure(rule):
        return None
    net = rule.source_net or rule.destination_net
    return Acl(
        rule.rule_id,
        rule.tier,
        rule.verdict,
        source=_peer(rule.source_vm, rule.source_net),
        destination=_peer(rule.destination_vm, rule.destination_net, rule.not_destination_segment),
        services=_services(rule.protocol, rule.destination_port),
        rank=0 if net is None else net.prefixlen,
        mode=acl.Mode.OBSERVE if rule.mode is Mode.OBSERVE else acl.Mode.ENFORCE,
        unless=None if rule.unless is None else tuple(_exceptions(rule, rule.unless)),
    )


def _exceptions(rule: FirewallRule, peers: Iterable[rules.Peer]) -> Iterator[Acl]:
    """What a restricted VM may exchange with its peers: connections either way, to the port of whoever is asked."""
    by_service: dict[tuple[Protocol, int | None], list[Network]] = {}
    for peer in peers:
        by_service.setdefault((peer.protocol, peer.port), []).append(peer.net)
    own = _peer(rule.source_vm or rule.destination_vm, None)
    for (protocol, port), nets in by_service.items():
        other, services = Peer(nets=tuple(dict.fromkeys(nets))), _services(protocol, port)
        yield Acl(rule.rule_id, rule.tier, Verdict.ALLOW, own, other, services)
        yield Acl(rule.rule_id, rule.tier, Verdict.ALLOW, other, own, services)


def _peer(vm: str | None, net: Network | None, not_segment: str | None = None) -> Peer:
    return Peer(vm=vm, not_segment=not_segment, nets=() if net is None else (net,))


def _services(protocol: Protocol, port: int | None) -> tuple[Service, ...]:
    if protocol is Protocol.ANY:
        return ()
    return (Service(protocol, () if port is None else ((port, port),)),)


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


def _contained(rule: SegmentationRule, inventory: Inventory) -> Vm:
    """The VM that a rule contains."""
    vm = _vm("source_vm", rule.source_vm, inventory)
    if rule.segment is not None and rule.segment != vm.segment:
        remedy = f"write {vm.segment}, or leave it out"
        raise PolicyError(f"{vm.name} is in segment {vm.segment}, not {rule.segment}", key="segment", remedy=remedy)
    return vm


def _isolate(rule: SegmentationRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """Scope `other_segments`: nothing leaves to another segment. Scope `all`: nothing leaves, nothing arrives."""
    vm = _contained(rule, inventory)
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
    _check_port(rule.protocol, rule.port)
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
    source = _nobodys(rule, inventory)
    if rule.protocol is not Protocol.ANY:
        raise PolicyError("a denied address is denied whole", key="protocol", remedy="leave it out")
    for name in _with_ends(inventory):
        base = FirewallRule(rule.id, name, tier_of(rule), Verdict.DROP)
        yield replace(base, source_net=source)
        yield replace(base, destination_net=source)


def _restrict(rule: SegmentationRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """Drop from and to the VM, but for what it exchanges with its peers and with VMs for remediation."""
    vm = _contained(rule, inventory)
    for number, peer in enumerate(rule.peers):
        _check_port(peer.protocol, peer.port, f"peers.{number}.")
    helpers = (one for one in inventory.vms.values() if one.remediation and one is not vm)
    helping = (rules.Peer(ip_network(address)) for one in helpers for address in addresses_of(one))
    base = FirewallRule(rule.id, vm.vfn, tier_of(rule), Verdict.DROP, unless=(*rule.peers, *helping))
    yield replace(base, source_vm=vm.name)
    yield replace(base, destination_vm=vm.name)


def _limit(rule: SegmentationRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """Let a rate of packets from and to the VM pass at its VFN, or those of an address at VFNs with outside ports."""
    if rule.rate is not None and rule.rate < 1:
        raise PolicyError(f"{rule.rate} packets per second", key="rate", remedy="1 or more; isolate or deny drops all")
    if (rule.source_vm is None) is (rule.source_ip is None):
        raise PolicyError("one of both is limited", key="source_vm", remedy="give either source_vm or source_ip")
    base = FirewallRule(rule.id, "", tier_of(rule), Verdict.ALLOW, limits=True, rate=rule.rate)
    if rule.source_vm is not None:
        vm = _contained(rule, inventory)
        yield replace(base, vfn=vm.vfn, source_vm=vm.name)
        return
    source, gates = _nobodys(rule, inventory), {port.vfn for port in inventory.outside.values()}
    yield from (replace(base, vfn=name, source_net=source) for name in inventory.vfns if name in gates)


def _steer(rule: SegmentationRule, inventory: Inventory) -> Iterator[FirewallRule]:
    """Hand what the VM exchanges to an inspection VM of its own VFN."""
    vm = _contained(rule, inventory)
    if vm.inspection:
        remedy = "steer the VM that is inspected"
        raise PolicyError(f"{vm.name} is an inspection VM itself", key="source_vm", remedy=remedy)
    near = [one.name for one in inventory.vms.values() if one.inspection and one.vfn == vm.vfn]
    there = f"name one of {', '.join(near)}" if near else f"mark a VM of VFN {vm.vfn} `inspection: true`"
    if rule.target is None:
        raise PolicyError("missing", key="target", remedy=there)
    if rule.target not in inventory.vms:
        raise PolicyError(f"no VM {rule.target!r}", key="target", remedy=nearest(rule.target, near) if near else there)
    target = inventory.vms[rule.target]
    if not target.inspection:
        raise PolicyError(f"{target.name} is no inspection VM", key="target", remedy=there)
    if target.vfn != vm.vfn:
        raise PolicyError(f"{target.name} is on VFN {target.vfn}, not {vm.vfn}", key="target", remedy=there)
    base = FirewallRule(rule.id, vm.vfn, tier_of(rule), Verdict.ALLOW, source_vm=vm.name)
    yield replace(base, target=target.name, mirror=rule.mirror)


_TRANSLATIONS = {
    Action.ISOLATE: _isolate,
    Action.ALLOW: _allow,
    Action.DENY: _deny,
    Action.RESTRICT: _restrict,
    Action.RATE_LIMIT: _limit,
    Action.STEER: _steer,
}


def _nobodys(rule: SegmentationRule, inventory: Inventory) -> Network:
    """The addresses outside that a rule is about."""
    source = _source(rule)
    for vm in inventory.vms.values():
        if any(_within(address, source) for address in addresses_of(vm)):
            remedy = f"isolate {vm.name} instead, or name a network without it"
            raise PolicyError(f"{source} holds the address of VM {vm.name}", key="source_ip", remedy=remedy)
    return source


def _check_port(protocol: Protocol, port: int | None, within: str = "") -> None:
    if port is not None and protocol not in _WITH_PORTS:
        remedy = "write tcp, udp or sctp"
        raise PolicyError("a port needs a protocol that has ports", key=f"{within}protocol", remedy=remedy)
    if port is not None and not 0 < port <= _MAX_PORT:
        raise PolicyError(f"{port} is no port", key=f"{within}port", remedy=f"1 .. {_MAX_PORT}")


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network
