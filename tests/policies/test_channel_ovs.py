"""The controller's channel of a real switch: nothing that VMs send fills it, or keeps its answers waiting."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import cycle, islice

import pytest
from support.network import asking, ends, ip_packet
from support.openflow import Switch, bridge
from support.wires import EVERYBODY, Wires, install, wire, wired

from policies.codec import COPIES_METER
from policies.pipeline.compile import compile_vfn
from policies.pipeline.tables import Table
from policies.pipeline.taps import Taps, copy_meters
from policies.simulate import Packet
from ryu_apps.wire import flowmod
from ryu_apps.wire.codec import WireCodec
from topology.addresses import mac_number
from topology.inventory import parse

pytestmark = pytest.mark.ovs

INVENTORY = parse("""
segments: {web: {default: allow}, db: {default: deny}}
vfns: {here: {dpid: 1}}
links: []
vms:
  loud: {segment: web, vfn: here, port: gdc1, mac: "02:00:00:00:00:01", addresses: [10.0.0.1, "fd00::1"]}
  mate: {segment: web, vfn: here, port: gdc2, mac: "02:00:00:00:00:02", addresses: [10.0.0.2, "fd00::2"]}
  db1: {segment: db, vfn: here, port: gdc3, mac: "02:00:00:00:00:03", addresses: [10.0.0.3, "fd00::3"]}
""")
PORTS = {f"gdc{number}": number for number in range(1, 4)}
ENDS = {end.name: end for end in ends(INVENTORY)}
COPIES_PER_SECOND = 50
MAX_ANSWER_SECONDS = 0.5
ROUND_TRIPS = 20
FLOOD = 4000
"""Frames of each kind."""
_SET_CONFIG, _PACKET_IN = 9, 10
_COPY_BYTES = 128


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """A bridge that hands its copies to our session, under their meters."""
    with bridge("gdc", tuple(PORTS)) as switch:
        install(switch, compile_vfn(INVENTORY, "here", PORTS, ()))
        codec, copies = WireCodec(), copy_meters(list(PORTS.values()), COPIES_PER_SECOND * len(PORTS), Taps())
        answer = switch.send(
            codec.set_meters({COPIES_METER: COPIES_PER_SECOND}),
            codec.set_meters(copies, copies),
            flowmod.message(_SET_CONFIG, 1, struct.pack("!HH", 0, _COPY_BYTES)),
        )
        assert answer.errors == ()
        yield switch


@pytest.fixture(scope="module")
def wires(switch: Switch) -> Iterator[Wires]:
    """All ends."""
    with wired(ENDS.values(), ENDS["mate"]) as wires:
        yield wires


def to_mate(**transport: int) -> dict[str, int]:
    """An IPv4 packet of the loud VM."""
    target = ip_address("10.0.0.2")
    return ip_packet(ENDS["loud"], ip_address("10.0.0.1"), mac_number(ENDS["mate"].mac), target, transport)


def syn(port: int) -> dict[str, int]:
    """It opens a connection."""
    return to_mate(ip_proto=6, tcp_src=port, tcp_dst=80, tcp_flags=2)


QUIET: dict[str, Packet] = {
    "ARP": asking(ENDS["loud"], ip_address("10.0.0.1"), ip_address("10.0.0.2")),
    "ARP for nobody": asking(ENDS["loud"], ip_address("10.0.0.1"), ip_address("10.0.0.99")),
    "ND": asking(ENDS["loud"], ip_address("fd00::1"), ip_address("fd00::2")),
    "ND for nobody": asking(ENDS["loud"], ip_address("fd00::1"), ip_address("fd00::99")),
    "answer": to_mate(ip_proto=6, tcp_src=80, tcp_dst=5000, tcp_flags=0x12),
    "datagram": to_mate(ip_proto=17, udp_src=5000, udp_dst=5000),
    "unknown MAC": {**to_mate(ip_proto=17, udp_src=5000, udp_dst=5000), "eth_dst": 0x02000000EE01},
    "broadcast": {**to_mate(ip_proto=17, udp_src=5000, udp_dst=5000), "eth_dst": EVERYBODY},
    "unknown ethertype": {"eth_src": mac_number(ENDS["loud"].mac), "eth_dst": EVERYBODY, "eth_type": 0x88B5},
}
"""What opens no connection and names nothing."""
COPIED: dict[str, Packet] = {
    "opening": to_mate(ip_proto=6, tcp_src=1024, tcp_dst=80, tcp_flags=2),
    "forged ARP": asking(ENDS["loud"], ip_address("10.0.0.2"), ip_address("10.0.0.3")),
    "question": to_mate(ip_proto=17, udp_src=5000, udp_dst=53),
    "answer": to_mate(ip_proto=17, udp_src=53, udp_dst=5000),
}


def copies(messages: tuple[bytes, ...]) -> list[bytes]:
    """Those of packets."""
    return [message for message in messages if message[1] == _PACKET_IN]


def test_no_table_leaves_a_packet_to_the_switch() -> None:
    """Each table that is entered ends in an entry that matches all: no packet is missed and handed to a controller."""
    entries = compile_vfn(INVENTORY, "here", PORTS, ())
    entered = {Table.GUARD, *(entry.goto for entry in entries if entry.goto is not None)}
    assert {entry.table for entry in entries if entry.priority == 0 and entry.match == ()} >= entered


def test_only_what_opens_connections_or_tells_names_is_copied(switch: Switch, wires: Wires) -> None:
    """Of one frame of each kind, allowed or forged, the controller gets those alone, each once."""
    wires.reached("loud", map(wire, QUIET.values()))
    before = copies(switch.send().messages)
    wires.reached("loud", map(wire, COPIED.values()))
    assert (len(before), len(copies(switch.send().messages))) == (0, len(COPIED))


def test_floods_neither_fill_the_channel_nor_delay_its_answers(switch: Switch, wires: Wires) -> None:
    """Under a flood of ARP, ND, datagrams and SYNs, copies stay within their meters and barriers are answered soon."""
    kinds = [wire(fields) for fields in (*QUIET.values(), *COPIED.values())]
    syns = [wire(syn(1024 + number)) for number in range(FLOOD)]
    frames = [each for pair in zip(islice(cycle(kinds), FLOOD), syns, strict=True) for each in pair]
    sender = threading.Thread(target=wires.send, args=("loud", frames))
    began = time.monotonic()
    sender.start()
    answers = [switch.send() for _ in range(ROUND_TRIPS)]
    while sender.is_alive():
        answers.append(switch.send())
    sender.join()
    answers.append(switch.send())
    copied = sum(len(copies(answer.messages)) for answer in answers)
    took = time.monotonic() - began
    # Openings and names of the loud VM, and the answers that its mate gets.
    assert 0 < copied <= 3 * COPIES_PER_SECOND * (took + 1)
    assert max(answer.seconds for answer in answers) < MAX_ANSWER_SECONDS
