"""A hash table whose operations take whole columns: the base of everything that is remembered per flow or pair."""

from __future__ import annotations

import numpy as np

from analyzer.flows import I8, U8, Array, Bool

_C1 = np.uint64(0xBF58476D1CE4E5B9)
_C2 = np.uint64(0x94D049BB133111EB)
FULLEST = 0.6
"""Share of taken slots above which open addressing gets slow."""


def mix(salt: int, *columns: Array) -> U8:
    """64-bit keys of rows of integer columns, never 0 (mixing steps of splitmix64, Steele et al. 2014).

    The salt keeps an outsider from making two rows meet.
    """
    key = np.full(len(columns[0]), salt, np.uint64)
    for column in columns:
        key = (key ^ column.astype(np.uint64)) * _C1
        key = (key ^ (key >> np.uint64(31))) * _C2
        key ^= key >> np.uint64(29)
    return np.maximum(key, np.uint64(1))


class KeyTable:
    """Open addressing with linear probing on arrays. Its owner keeps payload arrays of `size` rows beside it."""

    def __init__(self, entries: int) -> None:
        """Room for at least `entries` keys."""
        self.size = 1 << max(4, int(np.ceil(np.log2(entries / FULLEST))))
        self.keys = np.zeros(self.size, np.uint64)
        self.used = 0

    def has_room(self, count: int) -> bool:
        """Can `count` more keys be inserted?"""
        return self.used + count <= self.size * FULLEST

    def find(self, keys: U8) -> I8:
        """Slot of each key, -1 where it is absent."""
        slots = np.full(len(keys), -1, np.int64)
        waiting = np.arange(len(keys))
        place = self._home(keys)
        while len(waiting):
            there = self.keys[place]
            hit = there == keys[waiting]
            slots[waiting[hit]] = place[hit]
            on = ~hit & (there != 0)
            waiting, place = waiting[on], (place[on] + 1) & (self.size - 1)
        return slots

    def insert(self, keys: U8) -> tuple[I8, Bool]:
        """Slots of `keys`, which must differ from each other, and which of them were not there before.

        Raises:
            OverflowError: no room; the owner has to forget something first (`rebuild`).
        """
        slots = np.empty(len(keys), np.int64)
        new = np.zeros(len(keys), bool)
        if not self.has_room(len(keys)):
            raise OverflowError(f"{self.used} + {len(keys)} keys do not fit into {self.size} slots")
        waiting = np.arange(len(keys))
        place = self._home(keys)
        while len(waiting):
            wanted = keys[waiting]
            empty = self.keys[place] == 0
            self.keys[place[empty]] = wanted[empty]  # where two meet, the last one wins and the other goes on
            done = self.keys[place] == wanted
            slots[waiting[done]] = place[done]
            new[waiting[done]] = empty[done]
            waiting, place = waiting[~done], (place[~done] + 1) & (self.size - 1)
        self.used += int(new.sum())
        return slots, new

    def rebuild(self, kept: Array) -> I8:
        """Forget all but the keys at slots `kept`; returns their new slots, so that payloads can follow."""
        keys = self.keys[kept]
        self.keys[:] = 0
        self.used = 0
        return self.insert(keys)[0]

    def _home(self, keys: U8) -> I8:
        return (keys & np.uint64(self.size - 1)).astype(np.int64)
