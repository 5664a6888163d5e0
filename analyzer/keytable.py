"""A hash table whose operations take whole columns: the base of everything that is remembered per flow or pair."""

from __future__ import annotations

import numpy as np

from analyzer.compiled import compiled, signed
from analyzer.flows import I8, U8, Array, Bool

_C1 = np.uint64(0xBF58476D1CE4E5B9)
_C2 = np.uint64(0x94D049BB133111EB)
_S31, _S29 = np.uint64(31), np.uint64(29)
_NONE, _ONE = np.uint64(0), np.uint64(1)
FULLEST = 0.6
"""Share of taken slots above which open addressing gets slow."""


def slots_for(entries: int) -> int:
    """A power of two of slots, of which so many keys fill no more than `FULLEST`."""
    return 1 << max(4, int(np.ceil(np.log2(max(entries, 1) / FULLEST))))


def mix(salt: int, *columns: Array) -> U8:
    """64-bit keys of rows of integer columns, never 0 (mixing steps of splitmix64, Steele et al. 2014).

    The salt keeps an outsider from making two rows meet.
    """
    key = np.full(len(columns[0]), salt, np.uint64)
    for column in columns:
        key = (key ^ column.astype(np.uint64)) * _C1
        key = (key ^ (key >> _S31)) * _C2
        key ^= key >> _S29
    return np.maximum(key, _ONE)


@compiled
def mixed(key: np.uint64, value: np.uint64) -> np.uint64:
    """One step of `mix`, for compiled loops; the last one's result is to be made 1 where it is 0."""
    key = (key ^ value) * _C1
    key = (key ^ (key >> _S31)) * _C2
    return key ^ (key >> _S29)


@compiled
def place_of(keys: U8, key: np.uint64) -> int:
    """Where a key stands in the keys of a `KeyTable`, or would be put, for compiled loops."""
    last = np.uint64(len(keys) - 1)
    place = key & last
    while keys[place] != key and keys[place] != _NONE:
        place = (place + _ONE) & last
    return signed(place)


@compiled
def _find(table: U8, keys: U8) -> I8:
    slots = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        place = place_of(table, keys[i])
        slots[i] = place if table[place] != _NONE else -1
    return slots


@compiled
def _insert(table: U8, keys: U8, slots: I8, new: Bool) -> None:
    for i in range(len(keys)):
        place = place_of(table, keys[i])
        slots[i], new[i] = place, table[place] == _NONE
        table[place] = keys[i]


class KeyTable:
    """Open addressing with linear probing on arrays. Its owner keeps payload arrays of `size` rows beside it."""

    def __init__(self, entries: int) -> None:
        """Room for at least `entries` keys."""
        self.size = slots_for(entries)
        self.keys = np.zeros(self.size, np.uint64)
        self.used = 0

    def has_room(self, count: int) -> bool:
        """Can `count` more keys be inserted?"""
        return self.used + count <= self.size * FULLEST

    def find(self, keys: U8) -> I8:
        """Slot of each key, -1 where it is absent."""
        return _find(self.keys, np.ascontiguousarray(keys))

    def insert(self, keys: U8) -> tuple[I8, Bool]:
        """Slots of `keys`, which must differ from each other, and which of them were not there before.

        Raises:
            OverflowError: no room; the owner has to forget something first (`rebuild`).
        """
        if not self.has_room(len(keys)):
            raise OverflowError(f"{self.used} + {len(keys)} keys do not fit into {self.size} slots")
        slots, new = np.empty(len(keys), np.int64), np.empty(len(keys), bool)
        _insert(self.keys, np.ascontiguousarray(keys), slots, new)
        self.used += int(new.sum())
        return slots, new

    def rebuild(self, kept: Array) -> I8:
        """Forget all but the keys at slots `kept`; returns their new slots, so that payloads can follow."""
        keys = self.keys[kept]
        self.keys[:] = 0
        self.used = 0
        return self.insert(keys)[0]
