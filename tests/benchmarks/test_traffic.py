"""What the VMs of a measurement send."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
from collections.abc import Iterator

from benchmarks.vfn import traffic
from mininet_labs.children import ROOT, end, module


def test_flows_differ_in_their_source_port_only() -> None:
    """Each frame is a whole UDP datagram whose IPv4 header adds up."""
    frames = list(traffic._frames("lo", "10.0.0.9", "02:00:00:00:00:09", 9, 3))
    assert len({frame[:34] for frame in frames}) == 1
    assert [struct.unpack_from("!HH", frame, 34) for frame in frames] == [(10_000, 9), (10_001, 9), (10_002, 9)]
    assert int.from_bytes(frames[0][14:34], "big") % 0xFFFF == 0
    assert frames[0][30:34] == socket.inet_aton("10.0.0.9")


@contextlib.contextmanager
def _running(*arguments: object) -> Iterator[None]:
    process = subprocess.Popen(module("benchmarks.vfn.traffic", *arguments), cwd=ROOT)
    try:
        yield
    finally:
        end(process)


def test_a_transfer_that_breaks_is_made_anew() -> None:
    """The receiver closes the first connection; a second one comes and carries bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        with _running("transfer", "127.0.0.1", server.getsockname()[1], 1_000_000):
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(10)
                    assert connection.recv(100)


def test_datagrams_are_numbered() -> None:
    """None is left out and none sent twice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        with _running("datagrams", "127.0.0.1", sock.getsockname()[1], 1000):
            numbers = [struct.unpack("!I", sock.recv(16))[0] for _ in range(200)]
    assert numbers == list(range(1, 201))
