"""The collector's socket: what comes in, in which time, from whom, and how much at once."""

import logging
import os
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.netflow import datagram

from analyzer.collector import MOST, Collector
from analyzer.exporters import Exporters
from analyzer.netflow import Records
from runtime.errors import SettingsError

VFNS = (0x0103,)
IPFIX = struct.pack("!HHIII", 10, 16, 0, 0, 0)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def trusting(port: int, *uids: int) -> Exporters:
    """Only sockets of these users of this machine may report."""
    return Exporters(VFNS, (), uids, ("127.0.0.1", port))


@pytest.fixture
def collector() -> Iterator[Collector]:
    port = free_port()
    made = Collector("127.0.0.1", port, trusting(port, os.geteuid()))
    yield made
    made.close()


def take(collector: Collector, count: int) -> list[Records]:
    """Drain until so many datagrams have come, and once more."""
    deadline = time.monotonic() + 5
    before, found = collector.datagrams, []
    while collector.datagrams < before + count and time.monotonic() < deadline:
        found.append(collector.drain())
    return [*found, collector.drain()]


def deliver(collector: Collector, *datagrams: bytes) -> int:
    """Send from a socket that stays open meanwhile; how many records came of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for one in datagrams:
            out.sendto(one, collector.sock.getsockname())
        return sum(map(len, take(collector, len(datagrams))))


def test_it_reads_a_real_socket(collector: Collector) -> None:
    """Datagrams sent over UDP come out in order with rubbish counted, and an empty socket gives nothing."""
    assert len(collector.drain()) == 0
    assert deliver(collector, datagram(30, 29), b"noise", datagram(2, 31), b"") == 32
    assert (collector.records, collector.rubbish, collector.sequences.lost) == (32, 2, {})


def test_taken_port_is_said_clearly(collector: Collector) -> None:
    """Two collectors at one port: the second names address, port and setting."""
    port = collector.sock.getsockname()[1]
    with pytest.raises(SettingsError, match=rf"netflow.port: cannot collect NetFlow at 127.0.0.1:{port}/udp"):
        Collector("127.0.0.1", port)


def test_what_is_too_large_is_rubbish(collector: Collector) -> None:
    """A datagram that does not fit where it is put is refused whole, and its neighbours are read."""
    assert deliver(collector, datagram(1, 0), datagram(30, 1) + bytes(60_000), datagram(1, 1)) == 2
    assert collector.rubbish == 1


def test_a_drain_is_bounded(collector: Collector) -> None:
    """Of a flood some is left for the next turn, and it says so; nothing of it gets lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for number in range(MOST + 10):
            out.sendto(datagram(1, number), collector.sock.getsockname())
        found = [(len(collector.drain()), collector.backlog) for _ in range(2)]
    assert found == [(MOST, True), (10, False)]
    assert collector.sequences.lost == {}


def test_ipfix_is_put_aside(collector: Collector) -> None:
    """It is neither rubbish nor NetFlow, and is there to be taken once, with the time when it came in."""
    began = time.time()
    assert deliver(collector, datagram(1, 0), IPFIX) == 1
    ((received, content),) = collector.take_ipfix()
    assert content == IPFIX
    assert began - 1 < received < time.time() + 1
    assert collector.take_ipfix() == []
    assert collector.rubbish == 0


def test_another_users_socket_may_not_report(caplog: pytest.LogCaptureFixture) -> None:
    """What a socket of somebody else sends is counted, logged once, and changes nothing."""
    port = free_port()
    collector = Collector("127.0.0.1", port, trusting(port, os.geteuid() + 1))
    try:
        with caplog.at_level(logging.WARNING):
            assert deliver(collector, datagram(30, 100), b"noise", IPFIX, datagram(30, 500)) == 0
    finally:
        collector.close()
    assert collector.exporters is not None
    assert collector.exporters.strangers == 4
    assert (collector.rubbish, collector.sequences.lost, collector.take_ipfix()) == (0, {}, [])
    assert len(caplog.records) == 1
    assert "netflow.exporters" in caplog.text


def test_reports_of_unknown_vfns_are_left_out(collector: Collector) -> None:
    """A VFN that the inventory does not have reports nothing here."""
    assert deliver(collector, datagram(3, 2, engine=9), datagram(2, 1)) == 2
    assert collector.exporters is not None
    assert collector.exporters.unknown_vfns == 1


def test_a_clock_that_differs_is_corrected_for(collector: Collector) -> None:
    """Records of an exporter that lives in the year 1970 count for now, and the difference is told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(datagram(1, 0, last=10_000, first=8_000), collector.sock.getsockname())
        (records,) = (found for found in take(collector, 1) if len(found))
    assert records.last[0] == pytest.approx(time.time(), abs=2)
    assert records.last[0] - records.first[0] == pytest.approx(2.0)
    assert collector.clocks.offsets[0x0103] == pytest.approx(time.time() - 1000.5, abs=5)


NEARLY = st.binary(min_size=68, max_size=68).map(lambda rest: b"\0\5\0\1" + rest)


@given(st.lists(st.binary(max_size=120) | NEARLY | st.just(IPFIX), max_size=8))
def test_no_bytes_upset_it(datagrams: list[bytes]) -> None:
    """Whatever comes in over the socket is a record, rubbish, IPFIX, or of a VFN that is not known."""
    port = free_port()
    collector = Collector("127.0.0.1", port, trusting(port, os.geteuid()))
    try:
        records = deliver(collector, *datagrams)
        assert collector.exporters is not None
        told = collector.rubbish + len(collector.take_ipfix()) + collector.exporters.unknown_vfns
        assert collector.datagrams == len(datagrams)
        assert told + records == len(datagrams)
    finally:
        collector.close()


def test_times_of_arrival_are_the_kernels(collector: Collector) -> None:
    """How long a datagram has waited in the socket is known, however late it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(datagram(1, 0), collector.sock.getsockname())
        sent = time.time()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            np.ones(1000).sum()
        take(collector, 1)
    assert collector.oldest == pytest.approx(sent, abs=0.1)
