"""What is copied, under whose meter, and that nothing is lost by it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.network import asking, ends, ip_packet

from policies.entries import ToController
from policies.pipeline.compile import compile_vfn
from policies.pipeline.tables import Table
from policies.pipeline.taps import CopyMeter, Taps, copy_meters
from policies.simulate import Simulator
from topology.addresses import mac_number
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: up, b: v2, b_port: down}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1, 'fd00::1']}\n"
    "  db1: {segment: db, vfn: v1, port: p2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2, 'fd00::2']}\n"
    "  far1: {segment: db, vfn: v2, port: q1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3, 'fd00::3']}\n"
    "outside: {gate: {vfn: v1, port: o1, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1, '2001:db8::1']}}\n"
)
PORTS = {"p1": 1, "p2": 2, "o1": 3, "up": 4}
TAPS = Taps(dns=True, bindings=True, first_payload=(80, 443))
ENTRIES = compile_vfn(INVENTORY, "v1", PORTS, (), taps=TAPS)
UNTAPPED = [entry for entry in ENTRIES if not any(isinstance(step, ToController) for step in entry.steps)]
CONNECTING = {"ip_proto": 6, "tcp_src": 50_000, "tcp_dst": 80}


def packet(where: tuple[str, str, str, int], **transport: int) -> dict[str, int]:
    """A packet to db1 from who under what address to what address comes in at a port."""
    sender, source, target, port = where
    end = next(end for end in ends(INVENTORY) if end.name == sender)
    made = ip_packet(end, ip_address(source), mac_number("02:00:00:00:00:02"), ip_address(target), transport)
    return {**made, "in_port": port}


def udp(source: int, target: int) -> dict[str, int]:
    """A datagram's ports."""
    return {"ip_proto": 17, "udp_src": source, "udp_dst": target}


def said(port: int, flags: int = 0x18) -> dict[str, int]:
    """A segment of a client's that is under way, with PSH."""
    return {"ip_proto": 6, "tcp_src": 50_000, "tcp_dst": port, "tcp_flags": flags}


SYN = {**CONNECTING, "tcp_flags": 0x02}
OPEN, NAME, HELLO = CopyMeter.OPENINGS, CopyMeter.NAMES, CopyMeter.HELLOS
WEB4, WEB6, GATE4 = (
    ("web1", "10.0.0.1", "10.0.0.2", 1),
    ("web1", "fd00::1", "fd00::2", 1),
    ("gate", "192.0.2.1", "10.0.0.2", 3),
)
FAR4 = ("far1", "10.0.0.3", "10.0.0.2", 4)
CASES = [
    (packet(WEB4, **SYN), [OPEN.of(1)]),
    (packet(WEB6, **SYN), [OPEN.of(1)]),
    (packet(GATE4, **SYN), [OPEN.of(3)]),
    (packet(WEB4, **{**SYN, "tcp_flags": 0xC2}), [OPEN.of(1)]),
    (packet(WEB4, **{**SYN, "tcp_flags": 0x12}), []),
    (packet(WEB4, **{**SYN, "tcp_flags": 0x10}), []),
    (packet(WEB4, **udp(50_000, 80)), []),
    (packet(FAR4, **SYN), []),
    # A question where it enters; an answer where it goes out, under the meter of who gets it.
    (packet(WEB4, **udp(50_000, 53)), [NAME.of(1)]),
    (packet(WEB6, **udp(50_000, 53)), [NAME.of(1)]),
    (packet(WEB4, **said(53)), [NAME.of(1)]),
    (packet(WEB4, **udp(53, 50_000)), [NAME.of(2)]),
    (packet(WEB6, **udp(53, 50_000)), [NAME.of(2)]),
    (packet(GATE4, **udp(53, 50_000)), [NAME.of(2)]),
    (packet(FAR4, **udp(53, 50_000)), [NAME.of(2)]),
    (packet(FAR4, ip_proto=6, tcp_src=53, tcp_dst=50_000, tcp_flags=0x18), [NAME.of(2)]),
    (packet(FAR4, **udp(50_000, 53)), []),
    (packet(GATE4, **udp(67, 68)), [NAME.of(3)]),
    (packet(WEB4, **said(443)), [HELLO.of(1)]),
    (packet(WEB6, **said(80)), [HELLO.of(1)]),
    (packet(WEB4, **said(443, 0x10)), []),
    (packet(WEB4, **said(444)), []),
    (packet(WEB4, ip_proto=6, tcp_src=443, tcp_dst=50_000, tcp_flags=0x18), []),
    (packet(FAR4, **said(443)), []),
]


@pytest.mark.parametrize(("sent", "meters"), CASES)
def test_what_is_copied_counts_for_the_port_it_is_of(sent: dict[str, int], meters: list[int]) -> None:
    """Openings and what clients say by where they enter, names by who asks or is told; nothing twice."""
    path = Simulator(ENTRIES).run(sent).path
    assert [step.meter for entry in path for step in entry.steps if isinstance(step, ToController)] == meters


@pytest.mark.parametrize("sent", [sent for sent, _ in CASES])
def test_copying_is_never_in_the_way(sent: dict[str, int]) -> None:
    """A packet leaves by the same port whether it is copied or not."""
    assert Simulator(ENTRIES).run(sent).ports == Simulator(UNTAPPED).run(sent).ports == (2,)


@pytest.mark.parametrize("sent", [sent for sent, meters in CASES if OPEN not in [meter >> 15 for meter in meters]])
def test_only_what_the_settings_want_is_copied(sent: dict[str, int]) -> None:
    """Without these taps nothing but openings is."""
    bare = compile_vfn(INVENTORY, "v1", PORTS, (), taps=Taps(dns=False, bindings=False))
    path = Simulator(bare).run(sent).path
    assert not any(isinstance(step, ToController) for entry in path for step in entry.steps)


def test_who_lies_about_itself_is_not_copied() -> None:
    """What the guard drops never reaches the tap."""
    forged = packet(("web1", "10.0.0.3", "10.0.0.2", 1), **SYN)
    assert all(entry.table == Table.GUARD for entry in Simulator(ENTRIES).run(forged).path)


def test_forged_arp_is_copied_and_dropped() -> None:
    """A claim to another's address is evidence, and goes nowhere; an honest one is no news."""
    web1 = INVENTORY.vms["web1"]
    honest = {**asking(web1, ip_address("10.0.0.1"), ip_address("10.0.0.2")), "in_port": 1}
    for sent, meters in ((honest, []), ({**honest, "arp_spa": int(ip_address("10.0.0.3"))}, [NAME.of(1)])):
        outcome = Simulator(ENTRIES).run(sent)
        copied = [step.meter for entry in outcome.path for step in entry.steps if isinstance(step, ToController)]
        assert (copied, bool(outcome.ports)) == (meters, not meters)


@given(st.integers(1, 100_000), st.lists(st.integers(1, 65_279), min_size=1, max_size=50, unique=True))
def test_all_meters_of_a_kind_let_no_more_through_than_the_vfn_may_copy(most: int, ports: list[int]) -> None:
    """However many ports share it; each gets one a second at least. No VM has such a meter for its connections."""
    meters = copy_meters(ports, most, TAPS)
    for kind in (OPEN, NAME, HELLO):
        assert sum(rate for meter, rate in meters.items() if meter >> 15 == kind) <= max(most, len(ports))
    assert all(1 << 16 <= meter < 1 << 18 for meter in meters)


def test_meters_of_entries_are_those_that_are_set() -> None:
    """A switch refuses an entry whose meter it does not have."""
    named = {meter for entry in ENTRIES for meter in entry.meters if meter >= 1 << 16}
    assert named == copy_meters([1, 2, 3], 1000, TAPS).keys()
