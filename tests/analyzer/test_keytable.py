"""The columnar hash table against a dict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.keytable import KeyTable, mix

KEYS = st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 40).map(lambda n: n << 40), unique=True, max_size=60)


@given(st.lists(KEYS, max_size=5))
def test_finds_what_was_inserted_and_nothing_else(batches: list[list[int]]) -> None:
    """Every key gets one slot for good, new ones are told from old, absent ones are not found."""
    table = KeyTable(400)
    slots: dict[int, int] = {}
    for batch in batches:
        places, new = table.insert(np.array(batch, np.uint64))
        assert new.tolist() == [key not in slots for key in batch]
        for key, place in zip(batch, places.tolist(), strict=True):
            assert slots.setdefault(key, place) == place
    assert table.used == len(slots) == len(set(slots.values()))
    wanted = [*slots, 12345]
    expected = [slots.get(key, -1) for key in wanted]
    assert table.find(np.array(wanted, np.uint64)).tolist() == expected


def test_rebuild_keeps_only_what_is_asked() -> None:
    """After a rebuild the kept keys are found at the places it names, the others nowhere."""
    table = KeyTable(100)
    keys = np.arange(1, 101, dtype=np.uint64) * np.uint64(64)
    slots, _ = table.insert(keys)
    moved = table.rebuild(slots[:10])
    assert table.find(keys).tolist() == [*moved.tolist(), *[-1] * 90]
    assert table.used == 10


def test_overflow_is_refused_before_anything_is_written() -> None:
    """A full table says so and stays as it was."""
    table = KeyTable(10)
    many = np.arange(1, 1000, dtype=np.uint64)
    with pytest.raises(OverflowError):
        table.insert(many)
    assert table.used == 0
    assert not table.keys.any()


def test_mix_tells_rows_salts_and_order_apart() -> None:
    """Keys depend on every column, on their order and on the salt, and are never 0."""
    a, b = np.arange(1000, dtype=np.uint64), np.arange(1000, dtype=np.uint64)[::-1]
    keys = [mix(1, a, b), mix(2, a, b), mix(1, b, a[::-1])]
    assert len({*keys[0].tolist(), *keys[1].tolist()}) == 2000
    assert all(key.all() for key in keys)
