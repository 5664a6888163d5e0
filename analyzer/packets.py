"""One copied frame at a time, read by dpkt: those that tell names and addresses, which are few."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

import dpkt

from topology.model import Address

_BAD = (dpkt.Error, struct.error, IndexError, ValueError, KeyError, TypeError, AttributeError)
"""What dpkt raises of frames that are none."""


class UnreadableFrameError(ValueError):
    """A frame that is nothing of what is copied, or cut off. Says nothing of its content."""


@dataclass(frozen=True)
class Segment:
    """A UDP datagram or TCP segment."""

    source: Address
    destination: Address
    source_port: int
    destination_port: int
    tcp: bool
    payload: bytes


@dataclass(frozen=True)
class Claim:
    """What an ARP message says of its sender."""

    mac: str
    address: IPv4Address


def read(frame: bytes) -> Segment | Claim:
    """Read an Ethernet frame.

    Raises:
        UnreadableFrameError: it is neither UDP, TCP (over IP, whole) nor ARP, or is cut off within its headers.
    """
    try:
        packet = dpkt.ethernet.Ethernet(frame).data
        if isinstance(packet, dpkt.arp.ARP):
            return Claim(packet.sha.hex(":"), IPv4Address(packet.spa))
        if isinstance(packet, (dpkt.ip.IP, dpkt.ip6.IP6)):
            content = packet.data
            if isinstance(content, (dpkt.udp.UDP, dpkt.tcp.TCP)):
                return Segment(
                    ip_address(bytes(packet.src)),
                    ip_address(bytes(packet.dst)),
                    content.sport,
                    content.dport,
                    isinstance(content, dpkt.tcp.TCP),
                    bytes(content.data),
                )
    except _BAD as error:
        raise UnreadableFrameError(type(error).__name__) from None
    raise UnreadableFrameError("neither UDP, TCP nor ARP")
