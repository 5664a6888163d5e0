"""What attackers of a measurement send, and how the masks that it calls forth are counted."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from itertools import islice

from benchmarks.vfn import headers
from benchmarks.vfn.masks import count_masks

V4 = (ip_address("10.0.0.1").packed, ip_address("10.0.0.2").packed)
V6 = (ip_address("fd00::1").packed, ip_address("fd00::2").packed)


def test_syns_are_whole_and_differ() -> None:
    """Both checksums add up, so that the target answers; no port comes twice."""
    frames = list(headers.syns(V4))
    for frame in islice(frames, 100):
        segment = frame[22:]
        pseudo = b"".join(V4) + struct.pack("!HH", 6, len(segment))
        assert int.from_bytes(frame[2:22], "big") % 0xFFFF == 0
        assert int.from_bytes(pseudo + segment, "big") % 0xFFFF == 0
    assert len(set(frames)) == headers.COUNT


def test_crafted_ports_differ_from_usual_ones_at_every_bit() -> None:
    """Both ports of what is crafted reach every length of a prefix that they share with a port that rules name."""
    first_bits: tuple[set[int], set[int]] = (set(), set())
    for frame in headers.crafted(V6):
        for port, bits in zip(struct.unpack_from("!HH", frame, 42), first_bits, strict=True):
            bits.update((port ^ usual).bit_length() for usual in headers._USUAL_PORTS)
    assert all(bits >= set(range(1, 17)) for bits in first_bits)


def test_masks_are_counted_without_values() -> None:
    """Flows under one mask count once, those of other ports not at all."""
    flow = "ufid:{}, recirc_id(0),in_port({}),eth_type(0x86dd),udp(src={},dst={}), packets:3, used:0.1s, actions:2"
    dump = [
        flow.format("a1", "up", 5, 6),
        flow.format("a2", "up", 7, 8),
        flow.format("a3", "up", 7, "8/0xff00"),
        flow.format("a4", "down", "7/0xf000", 8),
    ]
    assert count_masks("\n".join(dump), "up") == 2
