"""The distinct items that each subject touched, and when each was last seen: for counting how many are in a window.

One hash table a feature, so that a flood of one kind of item makes no other be forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analyzer.compiled import compiled, signed
from analyzer.flows import I8, NOBODY, U8
from analyzer.keytable import mixed, slots_for
from analyzer.observe import DISTINCT
from analyzer.rings import NEVER, Rings, see, unsee

MOST_ITEMS = 1 << 17
"""Distinct items remembered for one feature; beyond, the longer unseen half is forgotten."""
_SIZE = slots_for(MOST_ITEMS)
_FIRST, _GROWTH = 1 << 12, 4
"""Slots that a table begins with, and times what it grows by: a small one stays in the processor's cache."""
_LIFE = 32
"""Bits of an owner that are its subject; above them stands how often that subject was forgotten."""
_SUBJECT = (1 << _LIFE) - 1
_NONE, _ONE = np.uint64(0), np.uint64(1)


class Items(NamedTuple):
    """Arrays of compiled loops, by feature of `DISTINCT` and slot."""

    slots: I8
    """(features, slots, 2) key, 0: free; and the tick when it was seen last. Side by side: they are read together."""
    owner: I8
    """(features, slots) subject, and which of its lives."""
    used: I8
    """(features,) taken slots."""
    room: I8
    """(features,) slots that may be taken so far, a power of two; no more than half of them are."""
    lives: I8
    """(subjects,) how often each was forgotten: items of former lives are nobody's."""
    salt: U8
    """(1,)"""


def items(subjects: int, salt: int) -> Items:
    """None of any subject."""
    shape = (len(DISTINCT), _SIZE)
    return Items(
        np.zeros((*shape, 2), np.int64),
        np.zeros(shape, np.int64),
        np.zeros(len(DISTINCT), np.int64),
        np.full(len(DISTINCT), _FIRST),
        np.zeros(subjects, np.int64),
        np.full(1, salt, np.uint64),
    )


@compiled
def note(rings: Rings, items: Items, feature: int, subject: I8, item: U8, begin: int, end: int, tick: int) -> None:
    """Subjects (NOBODY: none), whose windows are of this tick, touch items (0: none) of one feature."""
    while begin < end:
        begin = _note(rings, items, feature, subject, item, begin, end, tick)
        if begin < end:
            _make_room(rings, items, feature)


@compiled
def _note(rings: Rings, items: Items, feature: int, subject: I8, item: U8, begin: int, end: int, tick: int) -> int:
    """See `note`; how far there was room. What makes room is elsewhere: a compiled loop that allocates is slow."""
    for i in range(begin, end):
        one = subject[i]
        if item[i] == _NONE or one == NOBODY:
            continue
        if 2 * items.used[feature] >= items.room[feature]:
            return i
        owner = one | items.lives[one] << _LIFE
        key = signed(max(mixed(mixed(items.salt[0], np.uint64(owner)), item[i]), _ONE))
        place = _place(items, feature, key)
        last = items.slots[feature, place, 1]
        if items.slots[feature, place, 0] == 0:
            items.slots[feature, place, 0], items.owner[feature, place], last = key, owner, NEVER
            items.used[feature] += 1
        if last != tick:
            see(rings, one, feature, last)
            items.slots[feature, place, 1] = tick
    return end


@compiled
def _place(items: Items, feature: int, key: int) -> int:
    """Where a key stands, or would be put."""
    last = items.room[feature] - 1
    place = key & last
    while items.slots[feature, place, 0] != key and items.slots[feature, place, 0] != 0:
        place = (place + 1) & last
    return place  # type: ignore[no-any-return]


@compiled
def _make_room(rings: Rings, items: Items, feature: int) -> None:
    """Let a table grow; when it may not, keep half of its items: those that were seen last."""
    slots, owners = items.slots[feature], items.owner[feature]
    places = np.flatnonzero(slots[:, 0])
    places = places[np.argsort(slots[places, 1], kind="mergesort")]
    before, owner = slots[places], owners[places]
    slots[:, 0] = 0
    lost = 0
    if items.room[feature] < len(slots):
        items.room[feature] = min(items.room[feature] * _GROWTH, len(slots))
    else:
        lost = len(places) - len(places) // 2
    items.used[feature] = len(places) - lost
    for i in range(lost, len(places)):
        place = _place(items, feature, before[i, 0])
        slots[place], owners[place] = before[i], owner[i]
    for i in range(lost):
        if items.lives[owner[i] & _SUBJECT] == owner[i] >> _LIFE:
            unsee(rings, owner[i] & _SUBJECT, feature, before[i, 1])
