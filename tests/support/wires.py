"""Frames on the ports of a real switch: what an end sends, and who receives it."""

from __future__ import annotations

import select
import socket
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from itertools import count
from pathlib import Path

from support.frames import frame
from support.network import End, ip_packet
from support.openflow import Switch

from policies.entries import TableEntry
from policies.simulate import Packet
from ryu_apps.wire.codec import WireCodec

DEADLINE = 5.0
EVERYBODY = (1 << 48) - 1
_ALL_PROTOCOLS = 3
"""ETH_P_ALL of linux/if_ether.h."""
_MIN_FRAME = 60
"""Open vSwitch pads what it takes from a port (IEEE 802.3, without the check sequence)."""
_PASSES = 2
"""Of the revalidators: the first to end may have begun before the change."""
_NEVER = 1_000_000
_QUEUED = 200
"""Frames sent without waiting; a port's queue holds some more."""


class Wires:
    """A raw socket on the port of every end.

    Args:
        witness: an end whose broadcasts reach somebody, whatever else is cut.
    """

    def __init__(self, sockets: Mapping[str, socket.socket], witness: End) -> None:
        self._sockets = sockets
        self._witness = witness
        self._numbers = count(1)

    def reached(self, sender: str, frames: Iterable[bytes]) -> dict[bytes, set[str]]:
        """Names of the ends that receive each frame."""
        found: dict[bytes, set[str]] = {sent: set() for sent in frames}
        for number, sent in enumerate(found, 1):
            self._sockets[sender].send(sent)
            if number % _QUEUED == 0:
                self._settle(found)
        self._settle(found)
        return found

    def send(self, sender: str, frames: Iterable[bytes]) -> None:
        """Send, and care no more."""
        for sent in frames:
            self._sockets[sender].send(sent)

    def _settle(self, found: dict[bytes, set[str]]) -> None:
        """All is delivered when broadcasts of the witness, sent one after the other, have come round.

        The switch asks its ports in turns: after the first it may not have seen the frames, after the second it may
        not have passed them on, after the third it has.
        """
        for _ in range(3):
            self._await(self._marker(), found)
        while self._read(0.0, found):
            pass

    def _marker(self) -> bytes:
        """A broadcast that nobody else sends."""
        ports = {"ip_proto": 17, "udp_src": 6000 + next(self._numbers) % 50_000, "udp_dst": 6000}
        source = next(address for address in self._witness.addresses if address.version == 4)
        marker = wire(ip_packet(self._witness, source, EVERYBODY, ip_address("255.255.255.255"), ports))
        self._sockets[self._witness.name].send(marker)
        return marker

    def _await(self, marker: bytes, found: dict[bytes, set[str]]) -> None:
        end = time.monotonic() + DEADLINE
        seen: list[bytes] = []
        while marker not in seen:
            seen = self._read(max(0.0, end - time.monotonic()), found)
            assert seen, f"the broadcast of {self._witness.name} reached nobody"

    def _read(self, patience: float, found: dict[bytes, set[str]]) -> list[bytes]:
        """One frame from each port that has any, those it sends among them; notes who received which."""
        ready, _, _ = select.select(list(self._sockets.values()), [], [], patience)
        seen = []
        for name, sock in self._sockets.items():
            if sock in ready:
                received, where = sock.recvfrom(2048)
                outgoing = where[2] == socket.PACKET_OUTGOING
                seen.append(b"" if outgoing else received)
                if received in found and not outgoing:
                    found[received].add(name)
        return seen


@contextmanager
def wired(ends: Iterable[End], witness: End) -> Iterator[Wires]:
    """The ports of these ends (they exist), up, the machine's own kernel silent on them."""
    with ExitStack() as stack:
        yield Wires({end.name: stack.enter_context(_socket(end.port)) for end in ends}, witness)


@contextmanager
def _socket(port: str) -> Iterator[socket.socket]:
    Path(f"/proc/sys/net/ipv6/conf/{port}/disable_ipv6").write_text("1")
    subprocess.run(["ip", "link", "set", port, "up"], check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS)) as sock:
        sock.bind((port, _ALL_PROTOCOLS))
        yield sock


def wire(fields: Packet) -> bytes:
    """The frame as it leaves and arrives."""
    return frame(fields).ljust(_MIN_FRAME, b"\0")


def install(switch: Switch, entries: Collection[TableEntry]) -> None:
    """The switch holds exactly these entries, with meters that are never reached, and forwards by them."""
    codec = WireCodec()
    switch.clear()
    meters = {meter: _NEVER for entry in entries for meter in entry.meters}
    switch.send(codec.set_meters(meters, codec.decode_meters(b"".join(switch.parts(codec.read_meters())))))
    assert switch.transact(codec.change({codec.cookie(entry): entry for entry in entries}, (), {}, 1)).errors == ()
    for _ in range(_PASSES):
        subprocess.run(["ovs-appctl", "revalidator/wait"], check=True)
