"""Whole frames of DNS, DHCP, ARP, TLS and HTTP, as they come in copies; made by the libraries that read them."""

from __future__ import annotations

from ipaddress import ip_address

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dpkt

MAC = {"src": bytes.fromhex("020000000001"), "dst": bytes.fromhex("020000000002")}


def question(name: str, number: int = 7, kind: str = "A") -> dns.message.Message:
    """A question."""
    return dns.message.make_query(name, kind, id=number)


def answer(asked: dns.message.Message, *records: str, rcode: int = 0) -> bytes:
    """Its answer, with records as in zone files."""
    made = dns.message.make_response(asked)
    made.set_rcode(dns.rcode.Rcode(rcode))
    for record in records:
        name, seconds, family, kind, data = record.split(maxsplit=4)
        made.answer.append(dns.rrset.from_text(name, int(seconds), family, kind, data))
    return made.to_wire()


def udp(source: str, target: str, source_port: int, target_port: int, payload: bytes) -> bytes:
    """A datagram's frame."""
    return _over_ip(source, target, dpkt.udp.UDP(sport=source_port, dport=target_port, data=payload))


def tcp(source: str, target: str, source_port: int, target_port: int, payload: bytes) -> bytes:
    """A segment's frame, with PSH and ACK."""
    return _over_ip(source, target, dpkt.tcp.TCP(sport=source_port, dport=target_port, flags=0x18, data=payload))


def arp(mac: str, address: str) -> bytes:
    """A question for some address, by who says it is this one."""
    sender = bytes.fromhex(mac.replace(":", ""))
    asked = dpkt.arp.ARP(op=1, sha=sender, spa=ip_address(address).packed, tpa=bytes((10, 0, 0, 99)))
    return bytes(dpkt.ethernet.Ethernet(src=sender, dst=b"\xff" * 6, type=0x0806, data=asked))


def dhcp_ack(mac: str, address: str) -> bytes:
    """What a DHCP server says in the end."""
    return bytes(
        dpkt.dhcp.DHCP(
            op=2,
            chaddr=bytes.fromhex(mac.replace(":", "")),
            yiaddr=int(ip_address(address)),
            opts=((dpkt.dhcp.DHCP_OPT_MSGTYPE, b"\x05"),),
        )
    )


def client_hello(name: str | None, padding: int = 0) -> bytes:
    """A TLS record with a ClientHello (RFC 8446, RFC 6066); `padding`: bytes of another extension before the name."""
    extensions = (21).to_bytes(2, "big") + padding.to_bytes(2, "big") + bytes(padding)
    if name is not None:
        host = b"\0" + len(name).to_bytes(2, "big") + name.encode()
        listed = len(host).to_bytes(2, "big") + host
        extensions += (0).to_bytes(2, "big") + len(listed).to_bytes(2, "big") + listed
    extensions = len(extensions).to_bytes(2, "big") + extensions
    hello = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0" + extensions
    handshake = b"\1" + len(hello).to_bytes(3, "big") + hello
    return b"\x16\3\1" + len(handshake).to_bytes(2, "big") + handshake


def _over_ip(source: str, target: str, content: dpkt.udp.UDP | dpkt.tcp.TCP) -> bytes:
    ends = {"src": ip_address(source).packed, "dst": ip_address(target).packed}
    if isinstance(content, dpkt.udp.UDP):
        content.ulen = len(content)
    if len(ends["src"]) == 4:
        protocol = 17 if isinstance(content, dpkt.udp.UDP) else 6
        packet = dpkt.ip.IP(**ends, p=protocol, data=content)
        packet.len = len(packet)
        return bytes(dpkt.ethernet.Ethernet(**MAC, type=0x0800, data=packet))
    six = dpkt.ip6.IP6(**ends, nxt=17 if isinstance(content, dpkt.udp.UDP) else 6, plen=len(content), data=content)
    return bytes(dpkt.ethernet.Ethernet(**MAC, type=0x86DD, data=six))
