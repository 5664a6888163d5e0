"""Ethernet frames out of match fields, as a sender would put them on the wire, and a strategy for such fields."""

from __future__ import annotations

import struct

from hypothesis import strategies as st
from support.network import ARP, IPV4, IPV6, End, ends, own_addresses

from policies.simulate import Packet
from topology.addresses import mac_number
from topology.model import Inventory

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
SOLICITATION, ADVERTISEMENT = 135, 136
_BODY = bytes(24)


def frame(packet: Packet) -> bytes:
    """The frame whose fields these are. Checksums are zero: a switch does not look at them."""
    addresses = packet["eth_dst"].to_bytes(6, "big") + packet["eth_src"].to_bytes(6, "big")
    vlan = struct.pack("!HH", 0x8100, packet["vlan_vid"] & 0xFFF) if packet.get("vlan_vid") else b""
    content = {ARP: _arp, IPV4: _ipv4, IPV6: _ipv6}.get(packet["eth_type"], lambda _: _BODY)(packet)
    return addresses + vlan + struct.pack("!H", packet["eth_type"]) + content


def _arp(packet: Packet) -> bytes:
    ends = (("arp_sha", 6), ("arp_spa", 4), ("arp_tha", 6), ("arp_tpa", 4))
    fields = b"".join(packet.get(name, 0).to_bytes(size, "big") for name, size in ends)
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, packet["arp_op"]) + fields


def _ipv4(packet: Packet) -> bytes:
    content = _transport(packet)
    fixed = (0x45, 0, 20 + len(content), 0, 0, 64, packet["ip_proto"], 0, packet["ipv4_src"], packet["ipv4_dst"])
    return struct.pack("!BBHHHBBHII", *fixed) + content


def _ipv6(packet: Packet) -> bytes:
    content = _transport(packet)
    ends = packet["ipv6_src"].to_bytes(16, "big") + packet["ipv6_dst"].to_bytes(16, "big")
    return struct.pack("!IHBB", 6 << 28, len(content), packet["ip_proto"], 255) + ends + content


def _transport(packet: Packet) -> bytes:
    match packet["ip_proto"]:
        case 6:
            ports = (packet["tcp_src"], packet["tcp_dst"])
            return struct.pack("!HHIIHHHH", *ports, 0, 0, 5 << 12 | packet["tcp_flags"], 1024, 0, 0)
        case 17:
            return struct.pack("!HHHH", packet["udp_src"], packet["udp_dst"], 8 + len(_BODY), 0) + _BODY
        case 132:
            return struct.pack("!HHII", packet.get("sctp_src", 0), packet.get("sctp_dst", 0), 0, 0) + _BODY
        case 1:
            return struct.pack("!BBHI", packet["icmpv4_type"], packet["icmpv4_code"], 0, 0) + _BODY
        case 58:
            return struct.pack("!BBHI", packet["icmpv6_type"], packet["icmpv6_code"], 0, 0) + _neighbour(packet)
    return _BODY


def _neighbour(packet: Packet) -> bytes:
    kind = packet["icmpv6_type"]
    if kind not in (SOLICITATION, ADVERTISEMENT):
        return _BODY
    name, option = ("nd_sll", 1) if kind == SOLICITATION else ("nd_tll", 2)
    address = struct.pack("!BB", option, 1) + packet[name].to_bytes(6, "big") if name in packet else b""
    return packet["nd_target"].to_bytes(16, "big") + address


@st.composite
def packets(draw: st.DrawFn, inventory: Inventory, sender: End) -> dict[str, int]:
    """Any frame that an end might send: in half of its fields itself, in the others anybody."""
    everybody = ends(inventory)
    own = mac_number(sender.mac)
    macs = st.just(own) | st.sampled_from([mac_number(end.mac) for end in everybody])
    groups = st.sampled_from([0xFFFFFFFFFFFF, 0x333300000001, 0x3333FF000001, 0x02000000EE01])
    v4, v6 = (_addresses(everybody, sender, version) for version in (4, 6))
    packet = {"eth_src": draw(st.just(own) | macs), "eth_dst": draw(macs | groups), "eth_type": draw(_ETHERTYPES)}
    if draw(st.integers(0, 9)) == 0:
        packet["vlan_vid"] = 0x1000 | draw(st.integers(1, 4094))
    match packet["eth_type"]:
        case 0x0806:
            packet |= {"arp_op": draw(st.integers(1, 2)), "arp_sha": draw(st.just(packet["eth_src"]) | macs)}
            packet |= {"arp_tha": draw(macs), "arp_spa": draw(v4), "arp_tpa": draw(v4)}
        case 0x0800:
            packet |= {"ipv4_src": draw(v4), "ipv4_dst": draw(v4), **draw(_transports(ICMP, macs, v6))}
        case 0x86DD:
            packet |= {"ipv6_src": draw(v6), "ipv6_dst": draw(v6), **draw(_transports(ICMPV6, macs, v6))}
    return packet


def _addresses(everybody: list[End], sender: End, version: int) -> st.SearchStrategy[int]:
    def of(end: End) -> list[int]:
        return [int(address) for address in own_addresses(end) if address.version == version]

    special = [0, 0xFFFFFFFF, 0xCB007142] if version == 4 else [0, 0xFF02 << 112 | 2, 0x20010DB8 << 96 | 0x99]
    anybody = st.sampled_from([*special, *(number for end in everybody for number in of(end))])
    return st.sampled_from(of(sender)) | anybody if of(sender) else anybody


_ETHERTYPES = st.sampled_from([ARP, IPV4, IPV4, IPV6, IPV6, 0x88CC])


@st.composite
def _transports(
    draw: st.DrawFn, icmp: int, macs: st.SearchStrategy[int], targets: st.SearchStrategy[int]
) -> dict[str, int]:
    proto = draw(st.sampled_from([TCP, UDP, icmp, icmp, 132]))
    ports = st.sampled_from([22, 67, 68, 80, 443, 50_000])
    if proto == TCP:
        flags = draw(st.sampled_from([0x02, 0x12, 0x10, 0x14]))
        return {"ip_proto": TCP, "tcp_src": draw(ports), "tcp_dst": draw(ports), "tcp_flags": flags}
    if proto == UDP:
        return {"ip_proto": UDP, "udp_src": draw(ports), "udp_dst": draw(ports)}
    if proto == 132:
        return {"ip_proto": 132}
    code = draw(st.sampled_from([0, 0, 0, 1]))
    if icmp == ICMP:
        return {"ip_proto": ICMP, "icmpv4_type": draw(st.sampled_from([0, 3, 8])), "icmpv4_code": code}
    kind = draw(st.sampled_from([128, 129, 130, 133, 134, 137]) | st.sampled_from([SOLICITATION, ADVERTISEMENT]))
    message = {"ip_proto": ICMPV6, "icmpv6_type": kind, "icmpv6_code": code}
    if kind in (SOLICITATION, ADVERTISEMENT):
        message["nd_target"] = draw(targets)
        if draw(st.booleans()):
            message["nd_sll" if kind == SOLICITATION else "nd_tll"] = draw(macs)
    return message
