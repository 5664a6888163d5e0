"""Entry counters become features of VMs."""

from typing import Any

import numpy as np
import pytest
from support.telemetry import inventory

from analyzer.counters import Counters
from runtime.arrays import COUNTER
from runtime.errors import ChannelError

NET = inventory()
WEB1 = NET.vms["web1"]
HOME = NET.vfns[WEB1.vfn].dpid
ENTRIES: dict[str, dict[str, Any]] = {
    "11": {"table": 5, "vm": "web1", "verdict": None, "rules": []},
    "12": {"table": 8, "vm": "web1", "verdict": "drop", "rules": ["a"]},
    "13": {"table": 8, "vm": "web1", "verdict": "allow", "rules": ["b"]},
    "14": {"table": 8, "vm": None, "verdict": None, "rules": []},
}


def reading(**packets: int) -> bytes:
    """A reading; c11=5 means cookie 11 counts 5 packets."""
    rows = np.zeros(len(packets), COUNTER)
    rows["cookie"], rows["packets"] = [int(name[1:]) for name in packets], list(packets.values())
    return rows.tobytes()


def test_differences_are_counted_for_the_vm() -> None:
    """The first reading sets the marks, the next ones count what was added; allowed and unknown entries count not."""
    counters = Counters(NET)
    counters.name(HOME, ENTRIES)
    assert counters.read(HOME, reading(c11=100, c12=5, c13=9, c99=1)) == []
    counted = counters.read(HOME, reading(c11=150, c12=9, c13=90, c99=9))
    got = {c.feature: (c.vm.tolist(), c.packets.tolist()) for c in counted}
    assert got == {"switch_packets": ([WEB1.number], [50.0]), "denied": ([WEB1.number], [4.0])}


def test_transit_is_not_counted() -> None:
    """On another VFN than its own a VM's packets only pass."""
    counters = Counters(NET)
    other = next(v.dpid for v in NET.vfns.values() if v.dpid != HOME)
    counters.name(other, {"11": ENTRIES["11"]})
    counters.read(other, reading(c11=100))
    assert counters.read(other, reading(c11=200)) == []


def test_an_entry_that_was_installed_anew_starts_from_zero() -> None:
    """A counter that fell counts as it stands, never as a huge number."""
    counters = Counters(NET)
    counters.name(HOME, ENTRIES)
    counters.read(HOME, reading(c11=1000))
    (got,) = counters.read(HOME, reading(c11=3))
    assert got.packets.tolist() == [3.0]


def test_cut_readings_are_refused() -> None:
    """A body that is no whole number of counters is a ChannelError."""
    with pytest.raises(ChannelError, match="whole number"):
        Counters(NET).read(HOME, b"123")
