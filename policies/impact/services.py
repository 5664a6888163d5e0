"""Which protocols and ports are the same to a set of rules: classes, as `ends` has them of ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.acl import PortRange, Service
from policies.impact.flows import I4
from policies.reference import ICMP, SCTP, TCP, UDP
from policies.rules import Protocol

Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
_PORTS = 1 << 16
_NUMBERS = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.SCTP: SCTP}


@dataclass(frozen=True)
class Facts:
    """Of each class, one element a class."""

    ahead: Bools
    """Shape (classes, services): is it this service?"""
    back: Bools
    """The same with the ports swapped: would what answers it be this service?"""
    proto: npt.NDArray[np.uint8]
    version: npt.NDArray[np.uint8]
    """Of IP."""


class Services:
    """Classes of protocols and ports; there are more as more flows are seen."""

    def __init__(self, services: Iterable[Service]) -> None:
        self.services = tuple(dict.fromkeys(services))
        ranges = {ports for one in self.services for ports in (*one.ports, *one.source_ports)}
        edges = np.zeros(_PORTS + 1, bool)
        for first, last in ranges:
            edges[first] = edges[last + 1] = True
        self.intervals = np.cumsum(edges[:-1]).astype(np.int64)
        """By port: between the borders of all ranges no service tells one port from the other."""
        self._port = np.zeros(int(self.intervals[-1]) + 1, np.int64)
        self._port[self.intervals[::-1]] = np.arange(_PORTS)[::-1]
        self._known: dict[int, int] = {}
        self._signatures: dict[bytes, int] = {}
        none = np.zeros((0, len(self.services)), bool)
        self.facts = Facts(none, none, np.zeros(0, np.uint8), np.zeros(0, np.uint8))

    def classes(self, version: Numbers, proto: Numbers, source: Numbers, destination: Numbers) -> I4:
        """Classes by IP version, protocol number and the intervals of both ports."""
        codes = version << 40 | proto << 32 | source << 16 | destination
        new = np.array([code for code in dict.fromkeys(codes.tolist()) if code not in self._known], np.int64)
        if len(new):
            self._learn(new)
        return np.fromiter((self._known[code] for code in codes.tolist()), np.int32, len(codes))

    def _learn(self, codes: npt.NDArray[np.int64]) -> None:
        version, proto = (codes >> 40).astype(np.uint8), (codes >> 32 & 0xFF).astype(np.uint8)
        source, destination = self._port[codes >> 16 & 0xFFFF], self._port[codes & 0xFFFF]
        shape = (len(codes), len(self.services))
        ahead, back = np.zeros(shape, bool), np.zeros(shape, bool)
        for number, service in enumerate(self.services):
            ahead[:, number] = _is(service, version, proto, source, destination)
            back[:, number] = _is(service, version, proto, destination, source)
        rows = np.packbits(np.hstack([ahead, back]), axis=1)
        fresh: list[int] = []
        for row, code in enumerate(codes.tolist()):
            signature = rows[row].tobytes() + proto[row].tobytes() + version[row].tobytes()
            if signature not in self._signatures:
                self._signatures[signature] = len(self._signatures)
                fresh.append(row)
            self._known[code] = self._signatures[signature]
        known = self.facts
        self.facts = Facts(
            np.concatenate([known.ahead, ahead[fresh]]),
            np.concatenate([known.back, back[fresh]]),
            np.concatenate([known.proto, proto[fresh]]),
            np.concatenate([known.version, version[fresh]]),
        )


def _is(
    service: Service,
    version: npt.NDArray[np.uint8],
    proto: npt.NDArray[np.uint8],
    source: npt.NDArray[np.int64],
    destination: npt.NDArray[np.int64],
) -> Bools:
    if service.protocol is Protocol.ANY:
        return np.ones(len(proto), bool)
    if service.protocol is Protocol.ICMP:
        return np.asarray(proto == np.where(version == 4, ICMP[4], ICMP[6]))
    fits = proto == _NUMBERS[service.protocol]
    return np.asarray(fits & _within(destination, service.ports) & _within(source, service.source_ports))


def _within(ports: npt.NDArray[np.int64], ranges: tuple[PortRange, ...]) -> Bools:
    found = np.full(len(ports), not ranges)
    for first, last in ranges:
        found |= (ports >= first) & (ports <= last)
    return found
