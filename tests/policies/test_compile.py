"""What is compiled after a change is what a new compiler makes of the network, and costs the entries that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.network import networks, rules_for
from support.policies import policies

from policies.acl import Acl, AddressList, Peer, Policy
from policies.desired import Desired, Layer
from policies.entries import TableEntry
from policies.pipeline.compile import Compiler, Network, compile_urgent, compile_vfn, missing_ports
from policies.pipeline.tables import Table
from policies.rules import Action, SegmentationRule, Tier, Verdict
from policies.translate import translate
from topology.inventory import parse
from topology.model import Inventory, Vm

RANDOM = settings(suppress_health_check=list(HealthCheck))


def cookies(entries: Sequence[TableEntry]) -> list[int]:
    """Digests of what entries do."""
    return [
        int.from_bytes(blake2b(repr((e.table, e.priority, e.match, e.steps, e.goto, e.meter)).encode()).digest()[:8])
        for e in entries
    ]


def by_id(rules: Sequence[SegmentationRule], inventory: Inventory):
    return {rule.id: translate(rule, inventory) for rule in rules}


def all_ports(inventory: Inventory):
    names = {vfn: missing_ports(inventory, vfn, {}) for vfn in inventory.vfns}
    return {vfn: {name: number for number, name in enumerate(ports, 1)} for vfn, ports in names.items()}


def _moved(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    return _with(network, replace(vm, segment=draw(st.sampled_from(list(network.inventory.segments)))))


def _rewired(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    return _with(network, replace(vm, vfn=draw(st.sampled_from(list(network.inventory.vfns)))))


def _without(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    """Rules about it go together with it."""
    rest = {name: other for name, other in network.inventory.vms.items() if other is not vm}
    return replace(network, inventory=replace(network.inventory, vms=rest or {vm.name: vm}), policy=Policy(), rules={})


def _joined(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    number = max(other.number for other in network.inventory.vms.values()) + 1
    mac = f"02:00:00:00:00:{number:02}"
    joined = replace(vm, name=f"m{number}", number=number, port=f"p{number}", mac=mac, addresses=())
    return _with(network, joined)


def _renumbered(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    return _with(network, replace(vm, number=max(other.number for other in network.inventory.vms.values()) + 1))


def _plugged(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    names = draw(st.lists(st.sampled_from([*all_ports(network.inventory)[vm.vfn], "other"]), unique=True))
    return replace(network, ports={**network.ports, vm.vfn: {name: number for number, name in enumerate(names, 1)}})


def _edited(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    return replace(network, policy=draw(policies(network.inventory)))


def _one_less(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    acls = network.policy.acls
    spared = draw(st.integers(0, len(acls)))
    return replace(network, policy=replace(network.policy, acls=(*acls[:spared], *acls[spared + 1 :])))


def _ruled(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    return replace(network, rules=by_id(draw(rules_for(network.inventory)), network.inventory))


def _turned(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    segments = network.inventory.segments
    other = replace(segments[vm.segment], default=draw(st.sampled_from(("allow", "deny"))))
    return replace(network, inventory=replace(network.inventory, segments={**segments, other.name: other}))


def _same(draw: st.DrawFn, network: Network, vm: Vm) -> Network:
    return replace(network)


CHANGES = (_moved, _rewired, _without, _joined, _renumbered, _plugged, _edited, _one_less, _ruled, _turned, _same)


@st.composite
def changed(draw: st.DrawFn, network: Network) -> Network:
    """The network after one change."""
    vm = draw(st.sampled_from(list(network.inventory.vms.values())))
    return draw(st.sampled_from(CHANGES))(draw, network, vm)


def _with(network: Network, vm: Vm) -> Network:
    vms = {**network.inventory.vms, vm.name: vm}
    return replace(network, inventory=replace(network.inventory, vms=vms))


def content(desired: Desired) -> set[TableEntry]:
    entries = [entry for layer in desired.layers() for entry in layer.entries.values()]
    places = Counter((entry.table, entry.priority, entry.match) for entry in entries)
    assert not [place for place, count in places.items() if count > 1]
    assert len(entries) == len(desired) == len(set(desired))
    return set(entries)


@given(st.data())
@RANDOM
def test_following_changes_ends_where_a_new_start_would(data: st.DataObject) -> None:
    """After any changes, one upon the other, every VFN holds what a compiler without memory gives it."""
    inventory = data.draw(networks(plain=False))
    rules = by_id(data.draw(rules_for(inventory)), inventory)
    network = Network(inventory, data.draw(policies(inventory)), rules, all_ports(inventory))
    compiler = Compiler(cookies)
    before = {vfn: compiler.compile(network, vfn) for vfn in inventory.vfns}
    for _ in range(data.draw(st.integers(1, 5))):
        network = data.draw(changed(network))
        # Not every VFN is compiled each time: the others are away.
        for vfn in data.draw(st.sets(st.sampled_from(list(inventory.vfns)), min_size=1)):
            after = compiler.compile(network, vfn)
            fresh = Compiler(cookies).compile(network, vfn)
            assert content(after) == content(fresh)
            added, removed = after.difference(before[vfn])
            assert added.keys() == after.keys() - before[vfn].keys()
            assert removed.keys() == before[vfn].keys() - after.keys()
            before[vfn] = after


@given(st.data())
@RANDOM
def test_what_is_sent_ahead_is_part_of_the_whole(data: st.DataObject) -> None:
    """Each urgent entry of a rule is in what the VFN holds with that rule, bit for bit, whatever else is in force."""
    inventory = data.draw(networks(plain=False))
    rules = data.draw(rules_for(inventory))
    policy = data.draw(policies(inventory))
    for vfn, ports in all_ports(inventory).items():
        firewall = [each for rule in rules for each in translate(rule, inventory)]
        whole = set(cookies(compile_vfn(inventory, vfn, ports, firewall, policy)))
        for rule in rules:
            assert {*cookies(compile_urgent(inventory, vfn, ports, translate(rule, inventory)))} <= whole


TWO = parse("""
segments: {a: {default: deny}, b: {default: deny}, c: {default: deny}}
vfns: {v1: {dpid: 1}, v2: {dpid: 2}, v3: {dpid: 3}}
links: [{a: v1, a_port: x, b: v2, b_port: y}, {a: v2, a_port: z, b: v3, b_port: w}]
vms:
  a1: {segment: a, vfn: v1, port: p, mac: "02:00:00:00:00:01", addresses: [10.0.0.1]}
  b1: {segment: b, vfn: v3, port: p, mac: "02:00:00:00:00:02", addresses: [10.0.0.2]}
  c1: {segment: c, vfn: v1, port: q, mac: "02:00:00:00:00:03", addresses: [10.0.0.3]}
""")


def _knows(desired: Desired, vm: str) -> bool:
    """Can it send something to a VM elsewhere?"""
    mac = int(TWO.vms[vm].mac.replace(":", ""), 16)
    return any(field == ("eth_dst", mac) for e in desired.values() for field in ((f.name, f.value) for f in e.match))


def test_a_vfn_knows_whom_its_own_may_talk_to_and_whom_it_lies_before() -> None:
    """Without rules nobody knows anybody; one that allows makes both ends' VFNs and those between know."""
    allow = Acl("r", Tier.POLICY, Verdict.ALLOW, Peer(segment="a"), Peer(segment="b"))
    for acls, known in (((), ""), ((allow,), "b1")):
        network = Network(TWO, Policy(1, acls), {}, all_ports(TWO))
        compiler = Compiler(cookies)
        one, between, other = (compiler.compile(network, vfn) for vfn in TWO.vfns)
        assert _knows(one, "b1") == bool(known)
        assert _knows(other, "a1") == bool(known)
        assert not _knows(other, "c1")
        # It is between them whatever is allowed.
        assert _knows(between, "a1")
        assert _knows(between, "b1")


def test_a_rule_stands_only_where_one_of_its_ends_can_be() -> None:
    """A rule between two segments is no business of a VFN without VMs of them; one with an open end is everybody's."""
    narrow = Acl("narrow", Tier.POLICY, Verdict.ALLOW, Peer(segment="c"), Peer(vm="a1"))
    wide = Acl("wide", Tier.POLICY, Verdict.DROP, Peer(), Peer(segment="c"))
    network = Network(TWO, Policy(1, (narrow, wide)), {}, all_ports(TWO))
    names = {
        vfn: {name for entry in Compiler(cookies).compile(network, vfn).values() for name in entry.rules}
        for vfn in TWO.vfns
    }
    assert names == {"v1": {"narrow", "wide"}, "v2": {"wide"}, "v3": {"wide"}}


def test_drops_of_outside_addresses_stand_where_the_outside_begins() -> None:
    """A net without VMs' addresses, denied to all, stands at VFNs with an outside port; with one, everywhere."""
    inventory = parse("""
segments: {a: }
vfns: {v1: {dpid: 1}, v2: {dpid: 2}}
links: [{a: v1, a_port: x, b: v2, b_port: y}]
vms: {a1: {segment: a, vfn: v1, port: p, mac: "02:00:00:00:00:01", addresses: [10.0.0.1]}}
outside: {gate: {vfn: v2, port: o, mac: "02:00:00:00:ff:01"}}
""")
    for net, places in (("192.0.2.0/24", {"v2"}), ("10.0.0.0/24", {"v1", "v2"}), ("224.0.0.0/4", {"v1", "v2"})):
        for ends in ((Peer(nets=(ip_network(net),)), Peer()), (Peer(), Peer(nets=(ip_network(net),)))):
            acl = Acl("r", Tier.POLICY, Verdict.DROP, *ends)
            network = Network(inventory, Policy(1, (acl,)), {}, all_ports(inventory))
            compiled = {vfn: Compiler(cookies).compile(network, vfn) for vfn in inventory.vfns}
            assert {vfn for vfn, held in compiled.items() if any(entry.rules for entry in held.values())} == places


def test_rules_that_ask_for_the_same_share_one_entry_that_names_them() -> None:
    """As long as one of them is there the entry stands; when the first goes, it carries the mark of the next."""
    one, two = (Acl(name, Tier.POLICY, Verdict.ALLOW, Peer(segment="a"), Peer(segment="b")) for name in ("r1", "r2"))
    compiler = Compiler(cookies)
    network = Network(TWO, Policy(1, (one, two)), {}, all_ports(TWO))
    both = compiler.compile(network, "v1")
    assert {entry.rules for entry in both.values() if entry.rules} == {("r1", "r2")}
    first = compiler.compile(replace(network, policy=Policy(2, (one,))), "v1")
    assert both.keys() == first.keys()
    second = compiler.compile(replace(network, policy=Policy(3, (two,))), "v1")
    assert {entry.rules for entry in second.values() if entry.rules} == {("r2",)}
    added, removed = second.difference(first)
    places = [{(e.table, e.priority, e.match) for e in part.values()} for part in (added, removed)]
    assert places[0] == places[1] != set()


@pytest.mark.parametrize("change", ["move", "port"])
def test_a_small_change_leaves_other_layers_alone(change: str) -> None:
    """What a change does not concern is the same object before and after."""
    allow = Acl("r", Tier.POLICY, Verdict.ALLOW, Peer(segment="a"), Peer(segment="b"))
    network = Network(TWO, Policy(1, (allow,)), {}, all_ports(TWO))
    compiler = Compiler(cookies)
    before = {vfn: compiler.compile(network, vfn) for vfn in TWO.vfns}
    if change == "move":
        after = _with(network, replace(TWO.vms["c1"], segment="a"))
    else:
        after = replace(network, ports={**network.ports, "v1": {**network.ports["v1"], "new": 9}})
    compiled = {vfn: compiler.compile(after, vfn) for vfn in TWO.vfns}
    for vfn in TWO.vfns:
        shared = {*before[vfn].layers()} & {*compiled[vfn].layers()}
        assert shared
    if change == "port":
        assert all(compiled[vfn] is before[vfn] for vfn in ("v2", "v3"))


def test_isolation_and_a_rule_of_the_same_content_stand_once() -> None:
    """A policy rule that drops what an isolation drops shares its entry."""
    isolate = SegmentationRule("0" * 12, Action.DENY, "anna", 0.0, source_ip=ip_network("192.0.2.1"))
    acl = Acl("people", Tier.OPERATOR, Verdict.DROP, Peer(nets=(ip_network("192.0.2.1"),)), rank=32)
    network = Network(TWO, Policy(1, (acl,)), by_id([isolate], TWO), all_ports(TWO))
    content(Compiler(cookies).compile(network, "v1"))


def test_an_address_list_is_compiled_again_only_when_it_has_changed() -> None:
    """Another policy with an equal list has the same layer of addresses; one prefix more, and it is another."""
    inventory = parse("""
segments: {a: }
vfns: {v1: {dpid: 1}}
vms: {a1: {segment: a, vfn: v1, port: p, mac: "02:00:00:00:00:01", addresses: [10.0.0.1]}}
outside: {gate: {vfn: v1, port: o, mac: "02:00:00:00:ff:01"}}
""")
    acl = Acl("r", Tier.INTEL, Verdict.DROP, Peer(list="bad"), Peer())
    compiler = Compiler(cookies)

    def listed(*nets: str) -> set[Layer]:
        policy = Policy(1, (replace(acl),), {"bad": AddressList("bad", tuple(map(ip_network, nets)))})
        desired = compiler.compile(Network(inventory, policy, {}, all_ports(inventory)), "v1")
        return {
            layer for layer in desired.layers() if any(e.table == Table.SOURCE_LISTS for e in layer.entries.values())
        }

    first = listed("192.0.2.0/24")
    assert len(first) == 1
    assert listed("192.0.2.0/24") == first
    assert not listed("192.0.2.0/24", "198.51.100.0/24") & first
