"""Whose NetFlow counts: datagrams of senders that may report, about VFNs that there are.

NetFlow v5 has no signature. What can be held against a forged datagram is where it comes from:

- This machine (loopback, or one of its own addresses): the kernel tells whose the sending socket is (sock_diag(7)), and
  only the switch's user, root and the analyzer's own user may report. A VM has no way to a loopback address.
- Elsewhere: only addresses that `netflow.exporters` names. That a source address is true has to be seen to by the
  network between VFNs and analyzer, which VMs must not be on.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import numpy as np

from analyzer.flows import Array, Bool
from runtime.errors import SettingsError

RECHECK_SECONDS = 1.0
"""A port of this machine may have another owner after so long. Who was believed and is gone is for as long again, if
nobody else is there: a switch that makes its sockets anew, as when a port goes down, leaves datagrams that wait."""
MOST_SOURCES = 4096
"""Senders remembered; a forger who tries all ports makes them be forgotten, and asked for anew."""

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, pid
_REQUEST = struct.Struct("=BBBBI")  # struct inet_diag_req_v2: family, protocol, extensions, pad, states
_SOCKET = struct.Struct("!HH4s12x4s12x")  # struct inet_diag_sockid: ports and addresses of both ends
_NO_INTERFACE_NO_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_UID_AT = _MESSAGE.size + 4 + 48 + 12  # in struct inet_diag_msg, after its head, the socket and three counters

log = logging.getLogger("dynseg.analyzer.exporters")


class Owners:
    """Asks the kernel whose UDP socket sent a datagram from this machine."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self._netlink.settimeout(1.0)  # the kernel answers within the call; this is only never to hang

    def uid(self, sender: tuple[str, int], receiver: tuple[str, int]) -> int | None:
        """User id of the socket at `sender` that sends to `receiver` (IPv4 address, port); None: there is none."""
        ends = _SOCKET.pack(receiver[1], sender[1], socket.inet_aton(receiver[0]), socket.inet_aton(sender[0]))
        request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_UDP, 0, 0, 0xFFFFFFFF) + ends + _NO_INTERFACE_NO_COOKIE
        self._netlink.send(
            _MESSAGE.pack(_MESSAGE.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + request
        )
        answer = self._netlink.recv(4096)
        kind = _MESSAGE.unpack_from(answer)[1]
        if kind != _SOCK_DIAG_BY_FAMILY:
            code = -struct.unpack_from("=i", answer, _MESSAGE.size)[0]
            if code == errno.ENOENT:
                return None
            raise OSError(code, os.strerror(code))
        return int(struct.unpack_from("=I", answer, _UID_AT)[0])

    def close(self) -> None:
        """Give the socket back."""
        self._netlink.close()


class Exporters:
    """Tells whose datagrams count.

    Args:
        vfns: numbers of the VFNs that there are; None: any.
        networks: of exporters on other machines.
        uids: users whose sockets on this machine may report.
        receiver: address and port that the collector listens at.
    """

    def __init__(
        self,
        vfns: Collection[int] | None,
        networks: Sequence[IPv4Network],
        uids: Collection[int],
        receiver: tuple[str, int],
    ) -> None:
        self._known = np.ones(1 << 16, bool) if vfns is None else np.zeros(1 << 16, bool)
        if vfns is not None:
            self._known[list(vfns)] = True
        self._networks = networks
        self._uids = frozenset(uids)
        self._receiver = receiver
        self._owners = Owners()
        self._sources: dict[int, tuple[bool, float]] = {}
        """Whether a sender (address and port) may report, and until when that holds."""
        self.strangers = 0
        """Datagrams of senders that may not report."""
        self.unknown_vfns = 0
        """Datagrams about VFNs that there are not."""

    def trusted(self, addresses: Array, ports: Array, now: float) -> Bool:
        """Which datagrams are of senders that may report.

        Args:
            addresses: uint32, IPv4 address of each sender.
            ports: uint16.
            now: monotonic seconds.
        """
        unique, of = np.unique(addresses.astype(np.int64) << 16 | ports, return_inverse=True)
        found = np.array([self._trusts(source, now) for source in unique.tolist()], bool)[of]
        self.strangers += len(found) - int(found.sum())
        return found

    def known(self, vfns: Array) -> Bool:
        """Which datagrams are about VFNs that there are; `vfns`: number in each."""
        found = self._known[vfns]
        self.unknown_vfns += len(found) - int(found.sum())
        return np.asarray(found)

    def close(self) -> None:
        """Give the socket to the kernel back."""
        self._owners.close()

    def _trusts(self, source: int, now: float) -> bool:
        trusted, until = self._sources.get(source, (False, -np.inf))
        if now < until:
            return trusted
        if len(self._sources) >= MOST_SOURCES:
            self._sources.clear()
        found = self._ask(IPv4Address(source >> 16), source & 0xFFFF)
        if found is None and trusted and now < until + RECHECK_SECONDS:
            return True
        self._sources[source] = bool(found), now + RECHECK_SECONDS
        return bool(found)

    def _ask(self, address: IPv4Address, port: int) -> bool | None:
        """May a sender report? None: there is none any more."""
        if any(address in network for network in self._networks):
            return True
        receiver = self._receiver[0]
        if receiver == "0.0.0.0":  # noqa: S104  (what is bound to all addresses is reached at the sender's)
            receiver = str(address)
        try:
            uid = self._owners.uid((str(address), port), (receiver, self._receiver[1]))
        except OSError as error:
            log.warning("the kernel does not tell who sends from %s port %d: %s", address, port, error.strerror)
            return False
        return None if uid is None else uid in self._uids


def reporting_uids(ovsdb: str) -> frozenset[int]:
    """Users who may report from this machine: root, our own, and who runs the switch (has its database's socket)."""
    uids = {0, os.geteuid()}
    path = Path(ovsdb.removeprefix("unix:"))
    if ovsdb.startswith("unix:") and path.exists():
        uids.add(path.stat().st_uid)
    return frozenset(uids)


def networks_of(texts: Sequence[str]) -> tuple[IPv4Network, ...]:
    """Networks of the setting `netflow.exporters`.

    Raises:
        SettingsError: one is no IPv4 address or network.
    """
    try:
        return tuple(IPv4Network(text) for text in texts)
    except ValueError as error:
        remedy = "give IPv4 addresses or networks of the machines where VFNs are"
        raise SettingsError(str(error), key="netflow.exporters", remedy=remedy) from error
