"""Questions and answers as rows, for detectors that count."""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

import numpy as np

from analyzer.dns.message import DnsMessage
from analyzer.dns.names import entropy, registered
from analyzer.flows import Array, address_halves
from topology.model import Address

DNS_EVENT = np.dtype(
    [
        ("time", "<f8"),
        ("vm", "<i4"),  # who asked or was answered
        ("kind", "u1"),  # Kind
        ("qtype", "<u2"),
        ("rcode", "u1"),  # of answers
        ("labels", "u1"),
        ("length", "<u2"),  # characters of the name
        ("entropy", "<f4"),  # bits a character, of what stands below the registered domain
        ("name", "<u8"),  # salted hash
        ("domain", "<u8"),  # salted hash of the registered domain
        ("bytes", "<u4"),  # of the message
        ("server_hi", "<u8"),
        ("server_lo", "<u8"),
        ("resolver", "?"),  # is the server one that VMs are meant to ask?
    ]
)
"""One row for each question or answer of a VM."""
MOST_EVENTS = 20_000
"""So many wait to be fetched; later ones are dropped, counted."""


class Kind(IntEnum):
    """What a message is to its VM."""

    QUESTION = 0
    ANSWER = 1
    """To a question of its own that was open."""
    UNASKED = 2
    """An answer that nobody had asked that server for: forged, or late."""


class Events:
    """What came since it was last fetched."""

    def __init__(self, salt: int) -> None:
        self._salt = salt.to_bytes(8, "little")
        self._rows: list[tuple[object, ...]] = []
        self.dropped = 0

    def add(self, time: float, vm: int, kind: Kind, message: DnsMessage, server: Address, *, resolver: bool) -> None:
        """Note a message."""
        if len(self._rows) >= MOST_EVENTS:
            self.dropped += 1
            return
        name = message.name
        self._rows.append(
            (
                time,
                vm,
                kind,
                message.qtype,
                message.rcode & 0xFF,
                min(name.count(".") + 1, 0xFF),
                len(name),
                entropy(name),
                self._hash(name),
                self._hash(registered(name)),
                message.size,
                *address_halves(str(server)),
                resolver,
            )
        )

    def drain(self) -> Array:
        """All of them (dtype `DNS_EVENT`), in the order in which they came."""
        rows, self._rows = self._rows, []
        return np.array(rows, DNS_EVENT)

    def _hash(self, text: str) -> int:
        return int.from_bytes(blake2b(text.encode(), digest_size=8, key=self._salt).digest(), "little")
