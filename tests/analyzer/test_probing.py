"""What counts as trying what the policy denies."""

import numpy as np
import pytest

from analyzer.flows import NOBODY, TCP, Array, Fate, FlowBatch, FlowState
from analyzer.known import Known
from analyzer.observe import DISTINCT, contributions


def denied(rows: Array, known: Known, *, excused: bool = False) -> int:
    """Different services that VM 1 was kept from."""
    nobody = np.full(len(rows), NOBODY, np.int64)
    added = contributions(rows, np.ones(len(rows), np.int64), nobody, known.judge(rows), np.full(len(rows), excused))
    items = added.items[DISTINCT.index("denied_services")]
    return len(np.unique(items[items > 0]))


def tried(fate: int, ports: range) -> Array:
    """VM 1 opens a connection to each of these ports of VM 2."""
    rows = FlowBatch.empty(len(ports)).rows
    rows["src_vm"], rows["dst_vm"], rows["src_segment"], rows["dst_segment"] = 1, 2, 1, 1
    rows["src_lo"], rows["dst_lo"], rows["proto"], rows["dst_port"] = 1, 2, TCP, ports
    rows["state"], rows["fate"] = FlowState.NEW, fate
    return rows


def versed() -> Known:
    """Something was learned, of others: where nothing was, nothing can be called new."""
    known, rows = Known(1), tried(Fate.DELIVERED, range(1))
    rows["src_vm"], rows["dst_vm"] = 3, 4
    known.learn(np.array([0, len(rows)]), rows, np.ones(len(rows), bool))
    return known


@pytest.mark.parametrize("fate", [Fate.DROPPED, Fate.FORWARDED | Fate.STOPPED])
def test_services_that_vfns_kept_it_from_count_once_each(fate: int) -> None:
    """Wherever on the way they were dropped, and however often they are tried; who has learned nothing counts none."""
    rows = tried(fate, range(1000, 1007))
    assert denied(np.concatenate([rows, rows]), versed()) == 7
    assert denied(rows, Known(1)) == 0


def test_what_gets_through_is_not_denied() -> None:
    """Neither is a dropped answer the doing of who asked."""
    assert denied(tried(Fate.FORWARDED | Fate.DELIVERED, range(1000, 1007)), versed()) == 0
    assert denied(tried(Fate.DROPPED << 4, range(1000, 1007)), versed()) == 0


def test_what_was_ordinary_before_it_was_forbidden_is_no_probing() -> None:
    """A changed policy makes nobody who goes on as ever a suspect, nor does a peer that a rule has cut off."""
    known, rows = Known(1), tried(Fate.DROPPED, range(1000, 1007))
    known.learn(np.array([0, len(rows)]), rows, np.ones(len(rows), bool))
    assert denied(rows, known) == 0
    assert denied(tried(Fate.DROPPED, range(2000, 2003)), known) == 3
    assert denied(tried(Fate.DROPPED, range(2000, 2003)), known, excused=True) == 0
