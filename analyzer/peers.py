"""With whom each VM exchanged packets while the baseline was learned: what a restriction leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.flows import ICMP, ICMP6, SCTP, TCP, UDP, Array, address_text, is_v4
from analyzer.keytable import KeyTable, mix

PEER = np.dtype([("vm", "<u4"), ("opened", "?"), ("proto", "u1"), ("port", "<u2"), ("hi", "<u8"), ("lo", "<u8")])
"""A VM, whether it opened, the service (its port is 0 where the protocol has none), and the other one's address."""
MOST_PEERS = 1 << 17
"""Of all VMs together; what comes later is not added."""
MOST_CLIENTS = 32
"""Of one service. Who serves more than that serves everybody of that family."""
MOST_SERVERS = 128
"""Of one VM; those that were met first."""
MOST = 500
"""Of one VM."""
_SALT = 3
_PROTOCOLS = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMP6: "icmp", SCTP: "sctp"}
_ANYBODY = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True)
class Peer:
    """Whom a VM may go on exchanging packets with."""

    net: str
    protocol: str
    port: int | None
    """Of the service, whichever of them offers it; None: any."""


def exchanges(rows: Array) -> Array:
    """Of events (dtype FLOW) that were answered: rows of `PEER`, one for each end that is a VM."""
    both = rows[(rows["src_pkts"] > 0) & (rows["dst_pkts"] > 0)]
    found = []
    for own, other in (("src", "dst"), ("dst", "src")):
        ends = both[both[f"{own}_vm"] > 0]
        part = np.zeros(len(ends), PEER)
        part["vm"], part["opened"], part["proto"] = ends[f"{own}_vm"], own == "src", ends["proto"]
        part["port"] = np.where((ends["proto"] == TCP) | (ends["proto"] == UDP), ends["dst_port"], 0)
        part["hi"], part["lo"] = ends[f"{other}_hi"], ends[f"{other}_lo"]
        found.append(part)
    return np.concatenate(found)


class Peers:
    """The set of them, in the order in which they were met."""

    def __init__(self, rows: Array | None = None) -> None:
        self._keys = KeyTable(MOST_PEERS)
        self._rows = np.zeros(0, PEER)
        self._fresh: list[Array] = []
        if rows is not None:
            self.add(rows)

    def add(self, rows: Array) -> None:
        """Rows of `PEER`, known or not."""
        keys = mix(_SALT, *(rows[name] for name in PEER.names or ()))
        _, first = np.unique(keys, return_index=True)
        unknown = np.sort(first)
        unknown = unknown[self._keys.find(keys[unknown]) < 0]
        if len(unknown) and self._keys.has_room(len(unknown)):
            self._keys.insert(keys[unknown])
            self._fresh.append(rows[unknown])

    def rows(self) -> Array:
        """All of them."""
        if self._fresh:
            self._rows, self._fresh = np.concatenate([self._rows, *self._fresh]), []
        return self._rows

    def of(self, vm: int) -> tuple[Peer, ...]:
        """What a restriction leaves to a VM."""
        own = self.rows()[self.rows()["vm"] == vm]
        served, used = own[~own["opened"]], own[own["opened"]][:MOST_SERVERS]
        return tuple(dict.fromkeys([*map(_peer, used), *_clients(served)]))[:MOST]


def _clients(served: Array) -> Iterator[Peer]:
    """Those of each service, or everybody where they are many."""
    for proto, port in np.unique(served[["proto", "port"]]).tolist():
        clients = served[(served["proto"] == proto) & (served["port"] == port)]
        families = np.where(is_v4(clients["hi"], clients["lo"]), 4, 6)
        for version in np.unique(families).tolist():
            some = clients[families == version]
            if len(some) > MOST_CLIENTS:
                yield Peer(_ANYBODY[version], _PROTOCOLS.get(proto, "any"), port or None)
            else:
                yield from map(_peer, some)


def _peer(row: Array) -> Peer:
    address = address_text(int(row["hi"]), int(row["lo"]))
    port = int(row["port"]) or None
    return Peer(address, _PROTOCOLS.get(int(row["proto"]), "any"), port)
