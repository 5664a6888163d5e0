"""From a network's NetFlow to the archive's rows: every flow of a day once, with what is known of it."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest
from support.telemetry import START, SYN, Exporters, Talk, inventory, ports, refused, workload

from analyzer.archive.decisions import Decision
from analyzer.archive.recorder import Recorder
from analyzer.archive.schema import Encoder, Judged
from analyzer.live import Live
from analyzer.netflow import decode
from runtime.channel import Message
from runtime.settings import AnalyzerSettings, ArchiveSettings, Settings

NET = inventory()
ENCODER = Encoder(NET)
LEARN = 30.0


class Kept:
    """Stands where the archive does and keeps rows as dictionaries."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def put(self, judged: Judged) -> None:
        for (_, vfn), table in ENCODER.split(judged).items():
            self.rows += [{**row, "vfn": vfn} for row in table.to_pylist()]


def live(folder: Path, sink: Kept, part_seconds: float = 300.0) -> Live:
    archive = ArchiveSettings(part_seconds=part_seconds)
    made = Live(Settings(state_dir=folder, analyzer=AnalyzerSettings(learn_seconds=LEARN), archive=archive), NET, sink)
    for name, vfn in NET.vfns.items():
        made.attribution.set_ports(vfn.dpid, ports(NET, name))
    return made


def pass_(day: Live, talks: list[Talk], begin: float, until: float) -> None:
    """Let NetFlow of `talks` come in, and time pass."""
    clock = begin
    for sent, datagram in [*Exporters(NET).datagrams(talks), (until, b"")]:
        while clock < min(sent, until):
            list(day.tick(clock, clock))
            clock += 1
            if day.phase == "fitting":
                day.learning.wait()
        if sent < until:
            list(day.take_records(decode([datagram]).records, sent))


def sums(rows: list[dict[str, object]]) -> Counter[tuple[object, ...]]:
    """Packets and bytes of each 5-tuple, seen from the initiator."""
    found: Counter[tuple[object, ...]] = Counter()
    for row in rows:
        key = (row["src_vm"] or row["src_ip"], row["src_port"], row["dst_vm"] or row["dst_ip"], row["dst_port"])
        for name in ("src_pkts", "dst_pkts", "src_bytes", "dst_bytes"):
            found[*key, name] += int(str(row[name]))
    return found


def expected(talks: list[Talk]) -> Counter[tuple[object, ...]]:
    found: Counter[tuple[object, ...]] = Counter()
    for talk in talks:
        ends = [name if name in NET.vms else str(NET.outside[name].addresses[0]) for name in (talk.source, talk.target)]
        key = (ends[0], talk.src_port, ends[1], talk.dst_port)
        found[*key, "src_pkts"] += talk.pkts
        found[*key, "dst_pkts"] += talk.reply_pkts
        found[*key, "src_bytes"] += talk.pkts * talk.size
        found[*key, "dst_bytes"] += talk.reply_pkts * talk.reply_size
    return found


def test_every_packet_of_a_day_is_archived_once(tmp_path: Path) -> None:
    """Packets and bytes of every conversation, each way, at its primary VFN only; lasting ones in parts that add up."""
    kept = Kept()
    day = live(tmp_path, kept, part_seconds=5.0)
    talks = workload(START, START + 25, 3)
    pass_(day, talks, START, START + 45)
    day.close()
    assert +sums(kept.rows) == +expected(talks)
    whole = [row for row in kept.rows if row["part"] == 0]
    assert len(whole) == len(talks)
    assert max(int(str(row["part"])) for row in kept.rows) >= 2
    assert {row["vfn"] for row in kept.rows if row["src_vm"] == "web1"} == {NET.vms["web1"].vfn}
    assert all(row["decision"] == "allowed" for row in whole if row["proto"] == "tcp")


def test_what_is_open_at_the_end_is_archived(tmp_path: Path) -> None:
    """Stopping the analyzer in the middle of a flow loses nothing that was reported."""
    kept = Kept()
    day = live(tmp_path, kept)
    talk = Talk(START, "web1", "db1", 5432, 40000, 6, 0.5)
    pass_(day, [talk], START, START + 4)
    assert kept.rows == []
    day.close()
    assert +sums(kept.rows) == +expected([talk])


def test_what_a_rule_is_about_is_recorded_before_and_after_it(tmp_path: Path) -> None:
    """A lasting flow of an isolated VM becomes two rows, that of another VM stays one; no packet is in two."""
    kept = Kept()
    day = live(tmp_path, kept)
    talks = [Talk(START, name, "db2", 5432, 40000, 6, 9.0, 90, 100, 90) for name in ("web1", "web2")]
    rule = {"id": "r7", "action": "isolate", "source_vm": "web1", "scope": "all", "source_ip": None}
    told = False
    for sent, datagram in Exporters(NET).datagrams(talks):
        if sent > START + 5 and not told:
            day.take_from_engine(Message("rules", {"rules": [rule]}), sent)
            told = True
        list(day.take_records(decode([datagram]).records, sent))
    day.close()
    assert +sums(kept.rows) == +expected(talks)
    rows = {name: [row for row in kept.rows if row["src_vm"] == name] for name in ("web1", "web2")}
    assert [(row["part"], row["rule"]) for row in rows["web1"]] == [(0, None), (1, "r7")]
    assert [(row["part"], row["rule"]) for row in rows["web2"]] == [(0, None)]


@pytest.mark.slow
def test_scores_reasons_and_decisions_of_an_attack(tmp_path: Path) -> None:
    """A scan's flows carry its reasons, those after the isolation are denied by its rule, forged ones by the guard."""
    kept = Kept()
    day = live(tmp_path, kept)
    pass_(day, workload(START, START + LEARN + 5, 1), START, START + LEARN + 6)
    assert day.phase == "judging"
    kept.rows.clear()
    begin = START + LEARN + 10
    scan = [refused(begin + i / 100, "web1", f"db{i % 3 + 1}", 1 + i // 3, 33000 + i) for i in range(500)]
    forged = Talk(begin, "web4", "db1", 80, 50000, 6, 0.01, 3, 74, 0, 0, SYN, 0, "10.0.2.5")
    pass_(day, [*scan, forged], START + LEARN + 6, begin + 15)
    rule = {"id": "r7", "action": "isolate", "source_vm": "web1", "scope": "all", "source_ip": None}
    day.take_from_engine(Message("rules", {"rules": [rule]}), begin + 15)
    later = [Talk(begin + 16 + i, "web1", "db1", 22, 44000 + i, 6, 0.01, 2, 74, 0, 0, SYN, 0) for i in range(3)]
    pass_(day, later, begin + 15, begin + 35)
    day.close()

    scanned = [row for row in kept.rows if row["src_vm"] == "web1" and str(row["dst_vm"]).startswith("db")]
    blamed = [row for row in scanned if row["behaviour"] == "scan"]
    assert len(blamed) > 400
    assert {row["decision"] for row in blamed if row["rule"] is None} == {"allowed"}
    assert all(float(str(row["score"])) >= 50 and str(row["reasons"][0]).startswith("scan") for row in blamed[:400])  # type: ignore[index]
    cut = [row for row in scanned if row["dst_port"] == 22 and int(str(row["src_port"])) >= 44000]
    assert [(row["decision"], row["rule"]) for row in cut] == [(Decision.DENIED.name.lower(), "r7")] * 3
    (spoofed,) = [row for row in kept.rows if row["spoofed"]]
    assert (spoofed["src_vm"], spoofed["src_ip"], spoofed["decision"]) == ("web4", "10.0.2.5", "denied")
    assert (spoofed["src_pkts"], spoofed["vfn"]) == (3, NET.vms["web4"].vfn)


def test_a_recorder_without_flows_puts_nothing(tmp_path: Path) -> None:
    """Ticks of a silent network do not reach the archive."""
    kept = Kept()
    day = live(tmp_path, kept)
    assert isinstance(day._recorder, Recorder)
    list(day.take_records(decode([struct.pack("!HHIIIIHH", 5, 1, 0, 0, 0, 0, 0, 0) + bytes(48)]).records, START))
    pass_(day, [], START, START + 3)
    day.close()
    assert kept.rows == []
