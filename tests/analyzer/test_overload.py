"""More flows at once than can be judged in time."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from support.telemetry import START, Exporters, inventory, ports, refused

from analyzer.live import JUDGING_SECONDS, NEVER_SHED, Live
from analyzer.netflow import HEADER, decode
from runtime.settings import AnalyzerSettings, Settings

NET = inventory()
FLOWS = 30_000


@pytest.fixture
def live(tmp_path: Path) -> Live:
    """A network whose analyzer is learning."""
    made = Live(Settings(state_dir=tmp_path, analyzer=AnalyzerSettings(learn_seconds=1e6)), NET)
    for name, vfn in NET.vfns.items():
        made.set_ports(vfn.dpid, ports(NET, name))
    return made


def test_a_flood_is_recorded_whole_and_judged_in_bounded_time(live: Live) -> None:
    """Each flow stands in the table with all its packets; how many are judged follows from how long that takes."""
    flood = [refused(START, "web1", "db1", 1 + i % 60_000, 1024 + i // 60_000) for i in range(FLOWS)]
    datagrams = [datagram for _, datagram in Exporters(NET).datagrams(flood)]
    took = []
    for _ in range(3):  # the pace is known from the second time on
        live.absorb(decode(datagrams).records, START + 3)
        begun = time.perf_counter()
        list(live.judge())
        took.append(time.perf_counter() - begun)
        datagrams = [_later(datagram) for datagram in datagrams]
    rows = live.table.newest(None, FLOWS + 1).rows
    assert (len(rows), set(rows["src_pkts"].tolist())) == (FLOWS, {3})
    assert 0 < live.shedder.shed <= 3 * (FLOWS - NEVER_SHED)
    assert took[-1] < 10 * JUDGING_SECONDS  # a machine that others work on, too, may take several times as long


def _later(datagram: bytes) -> bytes:
    """The same flows, a second later."""
    seconds = struct.unpack_from("!I", datagram, HEADER.fields["seconds"][1])[0]  # type: ignore[index]
    changed = bytearray(datagram)
    struct.pack_into("!I", changed, 8, seconds + 1)
    return bytes(changed)
