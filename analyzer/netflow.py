"""NetFlow v5 from the VFNs: decoding whole bursts of datagrams as arrays, and the UDP collector.

Format: Cisco "NetFlow Export Datagram Formats", version 5: a header of 24 bytes, then up to 30 records of 48 bytes,
all big-endian. Two things are Open vSwitch's own (ofproto/netflow.c): with an active timeout the counters of a record
are what came since the last record of that flow, and the header's sequence is that of its *last* record.
"""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import dataclass

import numpy as np

from analyzer.flows import Array
from runtime.errors import SettingsError

HEADER = np.dtype(
    [
        ("version", ">u2"),
        ("count", ">u2"),
        ("uptime", ">u4"),
        ("seconds", ">u4"),
        ("nanoseconds", ">u4"),
        ("sequence", ">u4"),
        ("engine", ">u2"),  # engine type and id: the VFN's number
        ("sampling", ">u2"),
    ]
)
RECORD = np.dtype(
    [
        ("src", ">u4"),
        ("dst", ">u4"),
        ("next_hop", ">u4"),
        ("input", ">u2"),
        ("output", ">u2"),
        ("packets", ">u4"),
        ("bytes", ">u4"),
        ("first", ">u4"),  # exporter's uptime, ms
        ("last", ">u4"),
        ("src_port", ">u2"),
        ("dst_port", ">u2"),
        ("pad", "u1"),
        ("flags", "u1"),
        ("proto", "u1"),
        ("tos", "u1"),
        ("src_as", ">u2"),
        ("dst_as", ">u2"),
        ("src_mask", "u1"),
        ("dst_mask", "u1"),
        ("pad2", ">u2"),
    ]
)
MOST_RECORDS = 30

log = logging.getLogger("dynseg.analyzer.netflow")


@dataclass(frozen=True)
class Records:
    """Decoded records: `raw` of dtype RECORD, with VFN numbers and epoch seconds beside it."""

    raw: Array
    vfn: Array
    """int32, engine type << 8 | engine id."""
    first: Array
    """float64 epoch seconds."""
    last: Array

    def __len__(self) -> int:
        return len(self.raw)

    def until(self, latest: float) -> Records:
        """Without records of packets later than `latest` (epoch seconds)."""
        known = self.last <= latest
        return Records(self.raw[known], self.vfn[known], self.first[known], self.last[known])


@dataclass(frozen=True)
class Decoded:
    """A burst of datagrams: its records, its headers, and how many datagrams were no NetFlow v5."""

    records: Records
    headers: Array
    rubbish: int
    complaint: str = ""
    """Why the first rubbish datagram was refused."""


def decode(datagrams: list[bytes]) -> Decoded:
    """Decode datagrams; what is not NetFlow v5 of a right length is counted and left out."""
    heads, bodies = [], []
    complaint = ""
    rubbish = 0
    for datagram in datagrams:
        if wrong := _fault(datagram):
            rubbish += 1
            complaint = complaint or wrong
        else:
            heads.append(datagram[: HEADER.itemsize])
            bodies.append(datagram[HEADER.itemsize :])
    headers = np.frombuffer(b"".join(heads), HEADER)
    raw = np.frombuffer(b"".join(bodies), RECORD)
    of = np.repeat(np.arange(len(headers)), headers["count"])
    sent = headers["seconds"].astype(np.float64) + headers["nanoseconds"] / 1e9
    records = Records(
        raw,
        headers["engine"][of].astype(np.int32),
        _epoch(sent[of], headers["uptime"][of], raw["first"]),
        _epoch(sent[of], headers["uptime"][of], raw["last"]),
    )
    return Decoded(records, headers, rubbish, complaint)


def _fault(datagram: bytes) -> str:
    if len(datagram) < HEADER.itemsize:
        return f"{len(datagram)} bytes are less than a header"
    version, count = int.from_bytes(datagram[:2], "big"), int.from_bytes(datagram[2:4], "big")
    if version != 5:
        return f"version {version}, not 5"
    if not 1 <= count <= MOST_RECORDS:
        return f"{count} records, not 1..{MOST_RECORDS}"
    if len(datagram) != HEADER.itemsize + count * RECORD.itemsize:
        return f"{len(datagram)} bytes for {count} records"
    if int.from_bytes(datagram[12:16], "big") >= 1_000_000_000:
        return "nanoseconds beyond a second"
    return ""


def _epoch(sent: Array, uptime: Array, moment: Array) -> Array:
    """Epoch seconds of uptime milliseconds; the 32-bit uptime wraps after 49.7 days, a difference does not."""
    ago = (uptime.astype(np.uint32) - moment.astype(np.uint32)).astype(np.int32)
    return sent - ago / 1000.0


class Sequences:
    """Counts records that the network lost, by gaps in each VFN's sequence."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.lost: dict[int, int] = {}

    def count(self, headers: Array) -> None:
        """Take note of headers in order of arrival. A jump back, or far ahead, is a restarted exporter."""
        for engine, sequence, records in zip(
            headers["engine"].tolist(), headers["sequence"].tolist(), headers["count"].tolist(), strict=True
        ):
            if engine in self._last:
                gap = (sequence - records - self._last[engine]) % 2**32
                if 0 < gap < 2**20:
                    self.lost[engine] = self.lost.get(engine, 0) + gap
            self._last[engine] = sequence


class Collector:
    """The UDP socket NetFlow comes in at. Never blocks."""

    BUFFER = 32 << 20
    """Wanted receive buffer in bytes: seconds of records while something else is computed."""

    def __init__(self, address: str, port: int) -> None:
        """Bind.

        Raises:
            SettingsError: the address or port cannot be had.
        """
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, getattr(socket, "SO_RCVBUFFORCE", 33)):
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, option, self.BUFFER)
            except PermissionError:
                log.info("no right to a receive buffer beyond net.core.rmem_max; going on with that")
        try:
            self.sock.bind((address, port))
        except OSError as error:
            self.sock.close()
            remedy = "end what listens there, or change netflow.listen or netflow.port"
            raise SettingsError(
                f"cannot collect NetFlow at {address}:{port}/udp: {error.strerror}", key="netflow.port", remedy=remedy
            ) from error
        self.sock.setblocking(False)
        self.sequences = Sequences()
        self.datagrams = 0
        self.records = 0
        self.rubbish = 0
        self._complained = float("-inf")

    def drain(self, most: int = 4096) -> Records:
        """Everything that waits in the socket, up to `most` datagrams."""
        datagrams: list[bytes] = []
        while len(datagrams) < most:
            try:
                datagrams.append(self.sock.recv(65535))
            except BlockingIOError:
                break
        decoded = decode(datagrams)
        self.datagrams += len(datagrams)
        self.records += len(decoded.records)
        self.rubbish += decoded.rubbish
        self.sequences.count(decoded.headers)
        if decoded.rubbish and time.monotonic() > self._complained + 10:
            self._complained = time.monotonic()
            log.warning(
                "%d of %d datagrams so far are no NetFlow v5 and were left out; one has %s",
                self.rubbish, self.datagrams, decoded.complaint,
            )  # fmt: skip
        return decoded.records

    def close(self) -> None:
        """Give the port back."""
        self.sock.close()
