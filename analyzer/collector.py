"""The UDP socket that NetFlow and IPFIX come in at: hundreds of datagrams a system call, into one array.

A call of Python's own `recv` for each datagram costs more than all that is done with its thirty records.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import socket
import time
from dataclasses import dataclass

import numpy as np

from analyzer.exporters import Exporters
from analyzer.flows import F8, Array, Bool
from analyzer.netflow import SLOT_BYTES, Records, Sequences, decode_slots
from analyzer.skew import Clocks
from runtime.errors import SettingsError

BATCH = 256
"""Datagrams a system call."""
MOST = 1024
"""Datagrams of one `drain`: some tens of milliseconds of work, until it is the other sockets' turn."""
IPFIX = 10
"""Its version (RFC 7011): so is told what has no place in NetFlow v5, which is IPv6."""
MOST_IPFIX = 4 * MOST
"""IPFIX datagrams that wait to be taken; what is over it is lost, and its sequence tells so."""
COMPLAINT_SECONDS = 10.0
"""Between two lines of the log about datagrams that were left out."""

_SO_TIMESTAMPNS = 35  # socket(7): the kernel's time of arrival beside each datagram
_CONTROL = np.dtype(
    [("length", "u8"), ("level", "i4"), ("type", "i4"), ("seconds", "i8"), ("nanoseconds", "i8"), ("pad", "V16")]
)
_ADDRESS = np.dtype([("family", "=u2"), ("port", ">u2"), ("address", ">u4"), ("pad", "V8")])  # struct sockaddr_in

log = logging.getLogger("dynseg.analyzer.collector")


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    """`struct msghdr` of recvmsg(2)."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Received(ctypes.Structure):
    """`struct mmsghdr` of recvmmsg(2)."""

    _fields_ = [("message", _Message), ("length", ctypes.c_uint)]


_recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
_recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]


@dataclass(frozen=True)
class Burst:
    """Datagrams as they came in; views that the next `Receiver.receive` overwrites."""

    slots: Array
    """uint8 (datagrams, `SLOT_BYTES`)."""
    lengths: Array
    addresses: Array
    """uint32, IPv4 address of each sender."""
    ports: Array
    received: F8
    """Epoch seconds, by the kernel."""

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, chosen: Bool) -> Burst:
        """Some of them."""
        if chosen.all():
            return self
        columns = (self.slots, self.lengths, self.addresses, self.ports, self.received)
        return Burst(*(column[chosen] for column in columns))

    def versions(self) -> Array:
        """The first two bytes of each, where NetFlow and IPFIX have their version."""
        return np.where(self.lengths >= 2, self.slots[:, :2].view(">u2")[:, 0], 0)


class Receiver:
    """Receives from a UDP socket (IPv4, not blocking) into arrays of its own."""

    def __init__(self, sock: socket.socket, most: int = MOST) -> None:
        self._sock = sock
        self._most = most
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._slots = np.zeros((most, SLOT_BYTES), np.uint8)
        self._senders = np.zeros(most, _ADDRESS)
        self._control = np.zeros(most, _CONTROL)
        self._iovecs = (_Iovec * most)()
        self._received = (_Received * most)()
        for i in range(most):
            self._iovecs[i] = _Iovec(self._slots[i].ctypes.data, SLOT_BYTES)
            message = self._received[i].message
            message.name = self._senders.ctypes.data + i * _ADDRESS.itemsize
            message.iov, message.iov_length = ctypes.addressof(self._iovecs[i]), 1
            message.control = self._control.ctypes.data + i * _CONTROL.itemsize
        fields = np.frombuffer(memoryview(self._received).cast("B"), np.dtype(_Received))
        self._name_length, self._control_length = (
            fields["message"][name] for name in ("name_length", "control_length")
        )
        self._length = fields["length"]

    def receive(self) -> Burst:
        """What waits in the socket, as far as there is room."""
        self._name_length[:], self._control_length[:] = _ADDRESS.itemsize, _CONTROL.itemsize
        first, size, count = ctypes.addressof(self._received), ctypes.sizeof(_Received), 0
        while count < self._most:
            room = min(BATCH, self._most - count)
            # MSG_TRUNC: the length is the datagram's own, also of one that is larger than its slot.
            flags = socket.MSG_DONTWAIT | socket.MSG_TRUNC
            got = _recvmmsg(self._sock.fileno(), first + count * size, room, flags, None)
            if got < 0:
                error = ctypes.get_errno()
                if error == errno.EAGAIN:
                    break
                raise OSError(error, os.strerror(error))
            count += got
            if got < room:
                break
        came = self._control["seconds"][:count] + self._control["nanoseconds"][:count] / 1e9
        senders = self._senders[:count]
        lengths = self._length[:count].astype(np.int64)
        return Burst(self._slots[:count], lengths, senders["address"].astype(np.uint32), senders["port"], came)


class Collector:
    """The UDP socket NetFlow comes in at. Never blocks.

    Args:
        address: to listen at.
        port: UDP.
        exporters: whose datagrams count, made for the address and port that were had; None: everybody's.
    """

    BUFFER = 32 << 20
    """Wanted receive buffer in bytes: seconds of records while something else is computed."""

    def __init__(self, address: str, port: int, exporters: Exporters | None = None) -> None:
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
            if exporters is not None:
                exporters.close()
            remedy = "end what listens there, or change netflow.listen or netflow.port"
            raise SettingsError(
                f"cannot collect NetFlow at {address}:{port}/udp: {error.strerror}", key="netflow.port", remedy=remedy
            ) from error
        self.sock.setblocking(False)
        self._receiver = Receiver(self.sock)
        self.exporters = exporters
        self.sequences = Sequences()
        self.clocks = Clocks()
        self.datagrams = 0
        self.records = 0
        self.rubbish = 0
        self.backlog = False
        """Did the last `drain` leave something behind?"""
        self.oldest = 0.0
        """Epoch seconds when the first datagram of the last `drain` that had any came in, by the kernel."""
        self._ipfix: list[tuple[float, bytes]] = []
        self._complained = float("-inf")

    def drain(self) -> Records:
        """What waits in the socket, up to `MOST` datagrams; what may not report is left out.

        Datagrams of IPFIX are kept for `take_ipfix`.
        """
        burst = self._receiver.receive()
        self.backlog = len(burst) == MOST
        self.datagrams += len(burst)
        if len(burst):
            self.oldest = float(burst.received[0])
        if self.exporters is not None:
            strangers = self.exporters.strangers
            burst = burst.select(self.exporters.trusted(burst.addresses, burst.ports, time.monotonic()))
            if self.exporters.strangers > strangers:
                text = "%d datagrams so far are of senders that may not report (see netflow.exporters)"
                self._complain(text, self.exporters.strangers)
        burst = self._keep_ipfix(burst)
        decoded = decode_slots(burst.slots, burst.lengths)
        self.rubbish += decoded.rubbish
        if decoded.rubbish:
            text = "%d datagrams so far are no NetFlow v5 and were left out; one has " + decoded.complaint
            self._complain(text, self.rubbish)
        headers, records, received = decoded.headers, decoded.records, burst.received[decoded.good]
        if self.exporters is not None and not (known := self.exporters.known(headers["engine"])).all():
            text = "%d datagrams so far are about VFNs that are not in the inventory"
            self._complain(text, self.exporters.unknown_vfns)
            records = records.select(np.repeat(known, headers["count"]))
            headers, received = headers[known], received[known]
        self.sequences.count(headers)
        self.records += len(records)
        return self._in_own_time(records, headers, received)

    def take_ipfix(self) -> list[tuple[float, bytes]]:
        """IPFIX datagrams that came beside NetFlow, with the epoch seconds of their arrival; each once."""
        ipfix, self._ipfix = self._ipfix, []
        return ipfix

    def close(self) -> None:
        """Give the port back."""
        if self.exporters is not None:
            self.exporters.close()
        self.sock.close()

    def _keep_ipfix(self, burst: Burst) -> Burst:
        """Without the datagrams that are IPFIX, which are kept for `take_ipfix`."""
        ipfix = (burst.versions() == IPFIX) & (burst.lengths <= SLOT_BYTES)
        for i in np.flatnonzero(ipfix)[: MOST_IPFIX - len(self._ipfix)].tolist():
            self._ipfix.append((float(burst.received[i]), burst.slots[i, : burst.lengths[i]].tobytes()))
        return burst.select(~ipfix)

    def _in_own_time(self, records: Records, headers: Array, received: F8) -> Records:
        sent = headers["seconds"] + headers["nanoseconds"] / 1e9
        add = self.clocks.correction(headers["engine"].astype(np.int64), sent, received)
        return records.shifted(np.repeat(add, headers["count"])) if add.any() else records

    def _complain(self, text: str, count: int) -> None:
        if time.monotonic() >= self._complained + COMPLAINT_SECONDS:
            self._complained = time.monotonic()
            log.warning(text, count)
