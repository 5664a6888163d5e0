"""A capture, rewritten to the lab's addresses and cut into one capture for each endpoint that sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import dpkt

from mininet_labs.errors import LabError
from mininet_labs.replay.cast import Address, Role, is_group

LARGEST = 1514
"""Bytes of a frame. A capture may have larger ones, which a card has put together and nobody could send."""
_IPS = (dpkt.ip.IP, dpkt.ip6.IP6)


@dataclass(frozen=True)
class Slice:
    """What one endpoint sends."""

    endpoint: str
    path: Path
    begins: float
    """Seconds after the first packet of the whole capture that is sent."""
    frames: int


@dataclass(frozen=True)
class Rewritten:
    """A capture ready to be played."""

    slices: tuple[Slice, ...]
    seconds: float
    """From its first to its last packet."""
    left_out: Mapping[str, int]
    """Frames, by why they are not sent."""


def hosts(capture: Path) -> dict[Address, int]:
    """Packets that each address sent or got.

    Raises:
        LabError: it is no capture of Ethernet, or is cut in its middle.
    """
    found: Counter[Address] = Counter()
    for _, frame in _frames(capture):
        if (ip := _ip_of(frame)) is not None:
            found.update((ip_address(ip.src), ip_address(ip.dst)))
    return dict(found)


def rewrite(capture: Path, roles: Mapping[Address, Role], folder: Path) -> Rewritten:
    """Write a capture for each endpoint into a folder.

    Frames keep their order and times; VLAN tags are taken off; what the capture has not got of a packet becomes zeros.

    Raises:
        LabError: as `hosts`, or nothing is left.
    """
    left_out: Counter[str] = Counter()
    writers: dict[str, tuple[dpkt.pcap.Writer, float]] = {}
    count: Counter[str] = Counter()
    first = last = None
    with ExitStack() as files:
        for time, frame in _frames(capture):
            why, sender, made = _played(frame, roles)
            if why:
                left_out[why] += 1
                continue
            first, last = time if first is None else first, time
            if sender not in writers:
                writers[sender] = dpkt.pcap.Writer(files.enter_context((folder / f"{sender}.pcap").open("wb"))), time
            writers[sender][0].writepkt(made, time)
            count[sender] += 1
    if first is None or last is None:
        raise LabError(f"nothing of {capture} can be played: {dict(left_out)}", remedy="say --inside NETWORK")
    slices = (Slice(name, folder / f"{name}.pcap", begin - first, count[name]) for name, (_, begin) in writers.items())
    return Rewritten(tuple(slices), last - first, left_out)


def _frames(capture: Path) -> Iterator[tuple[float, bytes]]:
    try:
        with capture.open("rb") as file:
            reader = dpkt.pcap.UniversalReader(file)
            if reader.datalink() != dpkt.pcap.DLT_EN10MB:
                raise LabError(f"{capture} is no capture of Ethernet", remedy="capture at a network interface")
            yield from reader
    except (OSError, ValueError, dpkt.dpkt.Error) as error:
        raise LabError(f"{capture} cannot be read: {error}", remedy="give a pcap or pcapng file") from error


def _ip_of(frame: bytes) -> dpkt.ip.IP | dpkt.ip6.IP6 | None:
    try:
        packet = dpkt.ethernet.Ethernet(frame).data
    except dpkt.dpkt.Error:
        return None
    return packet if isinstance(packet, _IPS) else None


def _played(frame: bytes, roles: Mapping[Address, Role]) -> tuple[str, str, bytes]:
    """Why it is left out (or nothing), who sends it, and the frame that is sent."""
    ip = _ip_of(frame)
    if ip is None:
        return "no IP", "", b""
    ends = ip_address(ip.src), ip_address(ip.dst)
    source, target = (roles.get(end) for end in ends)
    if source is None or (target is None and not is_group(ends[1])):
        return "of hosts without a role", "", b""
    if target is not None and source.endpoint == target.endpoint:
        return "between hosts outside", "", b""
    mac = frame[:6] if target is None else bytes.fromhex(target.mac.replace(":", ""))
    ip.src, ip.dst = source.address.packed, ip.dst if target is None else target.address.packed
    made = mac + bytes.fromhex(source.mac.replace(":", "")) + _type(ip) + _packed(ip)
    return ("larger than a frame", "", b"") if len(made) > LARGEST else ("", source.endpoint, made)


def _type(ip: dpkt.ip.IP | dpkt.ip6.IP6) -> bytes:
    return b"\x08\x00" if ip.v == 4 else b"\x86\xdd"


def _packed(ip: dpkt.ip.IP | dpkt.ip6.IP6) -> bytes:
    """With right lengths and checksums; of a fragment, whose transport's checksum is of the whole, only its own."""
    header = ip.__hdr_len__ + len(getattr(ip, "opts", b""))
    size = max(0, ip.len - header) if ip.v == 4 else ip.plen
    body = bytes(ip.data)
    missing = bytes(max(0, size - len(body)))
    if ip.v == 4:
        ip.sum = 0
        if ip.mf or ip.offset:
            ip.data = body + missing
            return bytes(ip)
    if isinstance(ip.data, bytes):
        ip.data = body + missing
    else:
        ip.data.data = bytes(ip.data.data) + missing
        ip.data.sum = 0
    return bytes(ip)
