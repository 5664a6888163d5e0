"""Who was seen talking to whom while the baseline was learned."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8, I8, U8, Array, Bool
from analyzer.keytable import FULLEST, KeyTable, mixed, place_of
from analyzer.observe import Novelty
from analyzer.peers import Peers, exchanges

MOST_KNOWN = 1 << 18
CLOSED = 1 / 200
"""Share of flows that is new in any one respect, below which a segment is closed: whom its VMs talk to, and how, is
settled, as in a plant. With Laplace's half it takes a hundred flows to show that."""
_SERVICES_INSIDE = 1
"""Place of it among the respects in which a flow may be new (`Baseline.novelty`)."""
_KINDS = ("peers", "outside", "services")
_NONE, _ONE = np.uint64(0), np.uint64(1)
log = logging.getLogger("dynseg.analyzer.known")


@dataclass(frozen=True)
class KnownKeys:
    """What is saved of it: keys, made with `salt`."""

    salt: int
    peers: U8
    outside: U8
    services: U8
    dealt: Array
    """Rows of `analyzer.peers.PEER`."""

    @property
    def blank(self) -> bool:
        """Was nobody seen talking to anybody?"""
        return not len(self.services)


def closed(novelty: Mapping[int, F8], segments: Array, pooled: int) -> Bool:
    """Which segments hardly ever show anything new; `novelty` as in `Baseline`."""
    return _hardly_ever_new(novelty, segments, pooled, slice(None))


def settled(novelty: Mapping[int, F8], segments: Array, pooled: int) -> Bool:
    """Which segments hardly ever use a service inside that is new to them, whoever else they meet."""
    return _hardly_ever_new(novelty, segments, pooled, _SERVICES_INSIDE)


def _hardly_ever_new(novelty: Mapping[int, F8], segments: Array, pooled: int, respects: int | slice) -> Bool:
    shut = {number: bool((rates[respects] <= CLOSED).all()) for number, rates in novelty.items()}
    return np.array([shut.get(number, shut[pooled]) for number in segments.tolist()], bool)


def keys_of(rows: Array, salt: int) -> U8:
    """(events, 3) keys of peer, outside address and service, as they are known or not."""
    keys = np.empty((len(rows), len(_KINDS)), np.uint64)
    _keys(np.uint64(salt), rows, keys)
    return keys


class Known:
    """Peers of VMs, outside addresses of segments, services between segments."""

    def __init__(self, salt: int) -> None:
        self.salt = salt
        self._tables = tuple(KeyTable(MOST_KNOWN) for _ in _KINDS)
        self.dealt = Peers()

    @classmethod
    def load(cls, keys: KnownKeys) -> Known:
        """From what was saved."""
        known = cls(keys.salt)
        for table, saved in zip(known._tables, (keys.peers, keys.outside, keys.services), strict=True):
            table.insert(saved)
        known.dealt = Peers(keys.dealt)
        return known

    def save(self) -> KnownKeys:
        """What is known, to be loaded again."""
        peers, outside, services = (np.sort(table.keys[table.keys != 0]) for table in self._tables)
        return KnownKeys(self.salt, peers, outside, services, self.dealt.rows())

    @property
    def blank(self) -> bool:
        """As `KnownKeys.blank`."""
        return not self._tables[_KINDS.index("services")].used

    def judge(self, rows: Array) -> Novelty:
        """What of the peers of events is unheard of. Where nothing is known nothing can be called new."""
        none = np.zeros(len(rows), bool)
        if self.blank:
            return Novelty(none, none, none)
        return self._steps(np.array([0, len(rows)]), rows, none)

    def learn(self, edges: I8, rows: Array, proof: Bool) -> Novelty:
        """The same, step by step; after each those of its events that prove something are known.

        Args:
            edges: (steps + 1,) where each step's events begin, the first at 0.
            rows: the events (dtype FLOW).
            proof: which of them make a peer known. Beyond `MOST_KNOWN` nothing more is learned.
        """
        self.dealt.add(exchanges(rows[proof]))
        novelty = self._steps(edges, rows, proof)
        if any(not table.has_room(1) for table in self._tables) and proof.any():
            log.warning("more than %d known peers: what comes now stays unknown", MOST_KNOWN)
        return novelty

    def _steps(self, edges: I8, rows: Array, proof: Bool) -> Novelty:
        unknown = np.empty((len(_KINDS), len(rows)), bool)
        used = np.array([table.used for table in self._tables])
        tables = tuple(table.keys for table in self._tables)
        _judge(tables, used, edges, keys_of(rows, self.salt), proof, unknown)
        for table, count in zip(self._tables, used.tolist(), strict=True):
            table.used = count
        return Novelty(*unknown)


@compiled
def _keys(salt: np.uint64, rows: Array, keys: U8) -> None:
    """See `keys_of`: (initiator, address), (its segment, address), (both segments, protocol, destination port)."""
    for i in range(len(rows)):
        row = rows[i]
        outside = row.src_vm <= 0
        key = mixed(salt, np.uint64(row.src_vm))
        key = mixed(mixed(key, row.src_hi if outside else _NONE), row.src_lo if outside else _NONE)
        keys[i, 0] = max(mixed(mixed(key, row.dst_hi), row.dst_lo), _ONE)
        key = mixed(salt + np.uint64(1), np.uint64(row.src_segment))
        keys[i, 1] = max(mixed(mixed(key, row.dst_hi), row.dst_lo), _ONE)
        key = mixed(mixed(salt + np.uint64(2), np.uint64(row.src_segment)), np.uint64(row.dst_segment))
        keys[i, 2] = max(mixed(mixed(key, np.uint64(row.proto)), np.uint64(row.dst_port)), _ONE)


@compiled
def _judge(tables: tuple[U8, ...], used: I8, edges: I8, keys: U8, proof: Bool, unknown: Bool) -> None:
    """See `Known.learn`; `keys` are those of the events."""
    for k in range(len(edges) - 1):
        for i in range(edges[k], edges[k + 1]):
            for t in range(len(_KINDS)):
                table = tables[t]
                unknown[t, i] = table[place_of(table, keys[i, t])] == _NONE
        for i in range(edges[k], edges[k + 1]):
            if proof[i]:
                for t in range(len(_KINDS)):
                    table = tables[t]
                    place = place_of(table, keys[i, t])
                    if table[place] == _NONE and used[t] < FULLEST * len(table):
                        table[place] = keys[i, t]
                        used[t] += 1
