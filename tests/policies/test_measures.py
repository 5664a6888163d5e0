"""Limits and steering: which packets they are about, where those go, and that nothing goes in circles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from support.network import End, Network, asking, ends, ip_packet, networks, own_addresses, rules_for
from support.policies import packets, transport

from policies import reference
from policies.acl import Policy
from policies.codec import FIRST_LIMIT
from policies.entries import TableEntry
from policies.handling import handle
from policies.hits import What, meaning
from policies.measures import Measures, Subject, is_measure, measures_of
from policies.pipeline.compile import compile_urgent, compile_vfn, missing_ports
from policies.pipeline.measures import Meters, limited_rates, meters_of_nets
from policies.reference import Packet
from policies.rules import Action, Mode, SegmentationRule, Verdict
from policies.translate import translate
from topology.addresses import mac_number
from topology.inventory import parse
from topology.model import Inventory, Vm

MEASURING = (Action.RATE_LIMIT, Action.STEER, Action.STEER)
MODES = (Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE)
RANDOM = settings(suppress_health_check=list(HealthCheck))


def measures(inventory: Inventory, rules: Iterable[SegmentationRule]) -> Mapping[Subject, Measures]:
    """What rules do to what passes; the same at all VFNs."""
    firewall = [one for rule in rules for one in translate(rule, inventory)]
    return measures_of(dict.fromkeys(one for one in firewall if one.vfn == _first_vfn(firewall, one)))


def _first_vfn(firewall: Iterable, rule) -> str:
    return next(one.vfn for one in firewall if one.rule_id == rule.rule_id)


def meters(network: Network, a: End, b: End, limits: Iterable[tuple[str, Subject]]) -> list[int]:
    """Numbers of the meters of limits, on the way from one end to another."""
    found = []
    for direction, subject in limits:
        end = a if direction == "sent" else b
        if subject.vm is not None:
            numbers = Meters.of_port(network.ports[end.vfn][end.port])
        else:
            nets = [s.net for s in measures(network.inventory, network.rules) if s.net is not None]
            assert subject.net is not None
            numbers = meters_of_nets(nets)[subject.net]
        found.append(numbers.sent if direction == "sent" else numbers.received)
    return found


@given(st.data())
@RANDOM
def test_packets_are_handled_as_the_reference_says(data: st.DataObject) -> None:
    """What passes meets its limits, and reaches inspection VMs and its destination, at once or through these."""
    inventory = data.draw(networks(plain=False))
    assume(len(ends(inventory)) > 1)
    rules = data.draw(rules_for(inventory, MEASURING, modes=MODES))
    network, about = Network(inventory, rules), measures(inventory, rules)
    a, b, packet = data.draw(packets(inventory))
    assert packet.source_address is not None
    assert packet.destination_address is not None
    frame = ip_packet(a, packet.source_address, mac_number(b.mac), packet.destination_address, transport(packet))
    allowed = reference.decide(inventory, Policy(), (), packet).verdict is Verdict.ALLOW
    sender, by = a, None
    for _ in range(3):
        network.limited.clear()
        handled = handle(about, packet, by)
        reached = [*handled.copies, handled.instead or b.name] if allowed else []
        assert network.send(sender, frame) == sorted(reached), (handled, by)
        if not allowed:
            return
        assert network.limited == meters(network, a, b, handled.limits)
        if handled.instead is None:
            return
        sender, by = inventory.vms[handled.instead], handled.instead
    raise AssertionError("it goes in circles")


@given(st.data())
@RANDOM
def test_addresses_are_resolved_as_if_nothing_were_steered(data: st.DataObject) -> None:
    """Who has an address is asked past inspection VMs, so what is steered knows the MACs of its real peers."""
    inventory = data.draw(networks())
    rules = data.draw(rules_for(inventory, (Action.STEER,)))
    steered, plain = Network(inventory, rules), Network(inventory)
    assume(len(ends(inventory)) > 1)
    a, b = data.draw(st.permutations(ends(inventory)))[:2]
    for source, target in zip(own_addresses(a), own_addresses(b), strict=False):
        if source.version == target.version:
            question = asking(a, source, target)
            assert steered.send(a, question) == plain.send(a, question)


DECOY = parse(
    "segments: {s: , d: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  bad: {segment: s, vfn: v1, port: p, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  peer: {segment: s, vfn: v1, port: q, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  far: {segment: s, vfn: v2, port: p, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
    "  decoy: {segment: d, vfn: v1, port: r, mac: '02:00:00:00:00:04', addresses: [10.0.0.4], inspection: true}\n"
)
STEER = SegmentationRule("a" * 12, Action.STEER, "anna", 0.0, source_vm="bad", target="decoy")


def tcp(a: Vm, b: Vm, source: int, target: int) -> dict[str, int]:
    """A TCP packet between two VMs."""
    flags = {"ip_proto": 6, "tcp_src": source, "tcp_dst": target, "tcp_flags": 2}
    return ip_packet(a, a.addresses[0], mac_number(b.mac), b.addresses[0], flags)


def test_a_decoy_answers_in_the_name_of_whoever_was_asked() -> None:
    """It may speak as others to the VM that is steered to it, and as that VM to others; to nobody else."""
    network, vms = Network(DECOY, [STEER]), DECOY.vms
    bad, peer, far, decoy = vms.values()
    for other in (peer, far):
        assert network.send(bad, tcp(bad, other, 50_000, 80)) == ["decoy"]
        assert network.send(decoy, tcp(other, bad, 80, 50_000)) == ["bad"]
        assert network.send(decoy, tcp(bad, other, 50_000, 80)) == [other.name]
    assert network.send(decoy, tcp(peer, far, 80, 50_000)) == []
    assert network.send(decoy, tcp(far, peer, 80, 50_000)) == []
    assert network.send(decoy, tcp(decoy, bad, 1, 2)) == ["bad"]
    assert network.send(bad, tcp(bad, decoy, 2, 1)) == ["decoy"]
    plain = Network(DECOY)
    assert plain.send(decoy, tcp(bad, peer, 50_000, 80)) == []


def test_a_mirror_lets_nothing_else_in() -> None:
    """Who only gets a copy cannot speak for anybody."""
    mirror = SegmentationRule("a" * 12, Action.STEER, "anna", 0.0, source_vm="bad", target="decoy", mirror=True)
    network = Network(DECOY, [mirror])
    bad, peer, _, decoy = DECOY.vms.values()
    assert network.send(bad, tcp(bad, peer, 50_000, 80)) == ["decoy", "peer"]
    assert network.send(peer, tcp(peer, bad, 80, 50_000)) == ["bad", "decoy"]
    assert network.send(decoy, tcp(bad, peer, 50_000, 80)) == []


def test_one_copy_of_what_both_ends_are_mirrored_for() -> None:
    """However both are limited; an inspection VM that redirects one of them gets the packet itself, too."""
    rules = [
        SegmentationRule(letter * 12, Action.STEER, "anna", 0.0, source_vm=vm, target="decoy", mirror=mirror)
        for letter, vm, mirror in (("a", "bad", True), ("b", "peer", True), ("c", "peer", False))
    ]
    limit = SegmentationRule("d" * 12, Action.RATE_LIMIT, "anna", 0.0, source_vm="peer", rate=9)
    bad, peer, far, _ = DECOY.vms.values()
    for both in (Network(DECOY, rules[:2]), Network(DECOY, [*rules[:2], limit])):
        assert both.send(bad, tcp(bad, peer, 50_000, 80)) == ["decoy", "peer"]
        assert both.send(peer, tcp(peer, bad, 80, 50_000)) == ["bad", "decoy"]
        assert both.send(far, tcp(far, peer, 50_000, 80)) == ["decoy", "peer"]
        assert both.send(bad, tcp(bad, far, 50_000, 80)) == ["decoy", "far"]
    assert Network(DECOY, rules).send(bad, tcp(bad, peer, 50_000, 80)) == ["decoy", "decoy"]


def test_of_several_limits_the_lowest_holds() -> None:
    """Both directions of a VM have it, and one that says no rate has the usual."""
    rules = [
        SegmentationRule("a" * 12, Action.RATE_LIMIT, "anna", 0.0, source_vm="bad", rate=500),
        SegmentationRule("b" * 12, Action.RATE_LIMIT, "anna", 0.0, source_vm="bad"),
    ]
    about = measures(DECOY, rules)[Subject(vm="bad")]
    numbers = Meters.of_port(7)
    assert limited_rates({7: about}, {}, 200) == {numbers.sent: 200, numbers.received: 200}
    assert limited_rates({7: about}, {}, 900) == {numbers.sent: 500, numbers.received: 500}


@given(st.sets(st.integers(0, 2**20), max_size=40))
@example(set(range(300)))
def test_no_two_limits_share_a_meter(hosts: set[int]) -> None:
    """Meters of ports and of addresses are all different, and one more address changes those of few others."""
    nets = [ip_network((0xC6330000 + host, 32)) for host in hosts]
    found = meters_of_nets(nets)
    numbers = [
        n for meters in (*found.values(), *map(Meters.of_port, range(1, 50))) for n in (meters.sent, meters.received)
    ]
    assert len(set(numbers)) == len(numbers)
    assert all(FIRST_LIMIT <= number < 1 << 18 for number in numbers)
    more = meters_of_nets([*nets, ip_network("203.0.113.9/32")])
    assert sum(more[net] != found[net] for net in nets) <= 1


def test_packets_of_the_reference_have_a_subject_each() -> None:
    """An address outside is under the longest limited prefix that holds it."""
    wide, narrow = (Subject(net=ip_network(net)) for net in ("198.51.100.0/24", "198.51.100.7/32"))
    limited = Measures((("a" * 12, 10),))
    packet = Packet(None, "bad", ip_network("198.51.100.7/32").network_address, DECOY.vms["bad"].addresses[0], 17)
    assert handle({wide: limited, narrow: limited}, packet).limits == (("sent", narrow),)
    assert handle({wide: limited}, packet).limits == (("sent", wide),)


@given(st.data())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_what_is_sent_ahead_is_part_of_the_whole(data: st.DataObject) -> None:
    """What goes ahead for a limit or restriction is what the VFN holds in the end, so nothing is sent twice."""
    inventory = data.draw(networks())
    actions = (Action.RATE_LIMIT, Action.RESTRICT, Action.STEER)
    rules = data.draw(rules_for(inventory, actions, modes=MODES))
    firewall = [one for rule in rules for one in translate(rule, inventory)]
    for vfn in inventory.vfns:
        ports = {name: number for number, name in enumerate(missing_ports(inventory, vfn, {}), 1)}
        whole = {_content(entry) for entry in compile_vfn(inventory, vfn, ports, firewall)}
        for rule in rules:
            own = [one for one in firewall if one.rule_id == rule.id]
            beside = [one for one in firewall if one.rule_id != rule.id and is_measure(one)]
            urgent = compile_urgent(inventory, vfn, ports, own, beside)
            assert {_content(entry) for entry in urgent} <= whole
            here = any(one.vfn == vfn and one.target is None for one in own)
            there = rule.source_vm is None or inventory.vms[rule.source_vm].port in ports
            assert bool(urgent) is (here and there and rule.mode is Mode.ENFORCE)


def _content(entry: TableEntry) -> tuple[object, ...]:
    return entry.table, entry.priority, entry.match, entry.steps, entry.goto, entry.meter


def test_counters_tell_what_was_limited_steered_and_observed() -> None:
    """A rule's sums say what became of the packets that it was about."""
    limit = SegmentationRule("b" * 12, Action.RATE_LIMIT, "anna", 0.0, source_vm="bad", rate=9)
    watched = SegmentationRule("c" * 12, Action.RATE_LIMIT, "anna", 0.0, source_vm="peer", rate=9, mode=Mode.OBSERVE)
    firewall = [one for rule in (STEER, limit, watched) for one in translate(rule, DECOY)]
    ports = {name: number for number, name in enumerate(missing_ports(DECOY, "v1", {}), 1)}
    told = {one.what: one.rules for entry in compile_vfn(DECOY, "v1", ports, firewall) if (one := meaning(entry))}
    assert told[What.STEERED] == (STEER.id, limit.id)
    assert told[What.LIMITED] == (limit.id,)
    assert told[What.OBSERVED] == (watched.id,)


def test_what_was_copied_for_the_other_end_counts_as_steered() -> None:
    """For this end's rule as well, though no second copy is made."""
    mirror = SegmentationRule("a" * 12, Action.STEER, "anna", 0.0, source_vm="bad", target="decoy", mirror=True)
    ports = {name: number for number, name in enumerate(missing_ports(DECOY, "v1", {}), 1)}
    about = [e for e in compile_vfn(DECOY, "v1", ports, list(translate(mirror, DECOY))) if mirror.id in e.rules]
    (silent,) = (entry for entry in about if not entry.steps)
    assert {one.what for entry in about if (one := meaning(entry))} == {What.STEERED}
    assert silent.priority > max(entry.priority for entry in about if entry.steps)
