"""Who was seen talking to whom while the baseline was learned."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from analyzer.flows import U8, Array
from analyzer.keytable import KeyTable
from analyzer.observe import Novelty, peer_keys, segment_keys, service_keys

MOST_KNOWN = 1 << 18
log = logging.getLogger("dynseg.analyzer.known")


@dataclass(frozen=True)
class KnownKeys:
    """What is saved of it: keys, made with `salt`."""

    salt: int
    peers: U8
    outside: U8
    services: U8


def keys_of(rows: Array, salt: int) -> tuple[U8, U8, U8]:
    """Keys of events: peer, outside address and service, as they are known or not."""
    return peer_keys(rows, salt), segment_keys(rows, salt), service_keys(rows, salt)


class Known:
    """Peers of VMs, outside addresses of segments, services between segments."""

    def __init__(self, salt: int) -> None:
        self.salt = salt
        self._peers, self._outside, self._services = (KeyTable(MOST_KNOWN) for _ in range(3))

    @classmethod
    def load(cls, keys: KnownKeys) -> Known:
        """From what was saved."""
        known = cls(keys.salt)
        known._peers.insert(keys.peers)
        known._outside.insert(keys.outside)
        known._services.insert(keys.services)
        return known

    def save(self) -> KnownKeys:
        """What is known, to be loaded again."""
        tables = (self._peers, self._outside, self._services)
        return KnownKeys(self.salt, *(np.sort(table.keys[table.keys != 0]) for table in tables))

    def judge(self, rows: Array) -> Novelty:
        """What of the peers of events is unheard of."""
        return Novelty(
            self._peers.find(peer_keys(rows, self.salt)) < 0,
            self._outside.find(segment_keys(rows, self.salt)) < 0,
            self._services.find(service_keys(rows, self.salt)) < 0,
        )

    def learn(self, rows: Array) -> None:
        """From now on these are known. Beyond `MOST_KNOWN` nothing more is learned."""
        for table, found in zip((self._peers, self._outside, self._services), keys_of(rows, self.salt), strict=True):
            keys = np.unique(found)
            if table.has_room(len(keys)):
                table.insert(keys)
            else:
                log.warning("more than %d known peers: what comes now stays unknown", MOST_KNOWN)
