"""Frames of a known size are what they say."""

from ipaddress import IPv4Address

import dpkt
import pytest

from benchmarks.traffic.frames import ACK, ECHO, SYN, End, echo, tcp, udp

ONE = End("one", b"\2\0\0\0\0\1", IPv4Address("10.79.0.1"))
TWO = End("two", b"\2\0\0\0\0\2", IPv4Address("203.0.113.7"))


@pytest.mark.parametrize("size", [60, 61, 399])
def test_frames_have_their_size_ends_and_checksums(size: int) -> None:
    """A library of others reads the same, and counts the same checksums."""
    for made in (
        tcp(ONE, TWO, (30_000, 443), SYN | ACK, size),
        udp(ONE, TWO, (5, 6), size),
        echo(ONE, TWO, ECHO, 9, size),
    ):
        read = dpkt.ethernet.Ethernet(made)
        assert len(made) == size == read.data.len + 14
        assert (read.data.src, read.data.dst) == (ONE.address.packed, TWO.address.packed)
        if not isinstance(read.data.data, dpkt.udp.UDP):  # which goes without
            read.data.sum = read.data.data.sum = 0
            assert bytes(read) == made
