"""Sums for the time-series database: every packet once, names bounded, intervals kept until they are taken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.telemetry import START, Exporters, Talk, inventory, ports

from analyzer.flows import NOBODY, TCP, UDP, Fate, FlowBatch, FlowState
from analyzer.intervals import DECISIONS, Interval, decode
from analyzer.live import Live
from analyzer.netflow import decode as decode_netflow
from analyzer.risk import Verdict
from analyzer.tally import MOST_WAITING, Tally
from runtime.settings import MetricsSettings, Settings

NET = inventory()
SERVICES = ("tcp/443", "udp/53")
SECONDS = 10.0


def tally(most_pairs: int = 100) -> Tally:
    return Tally(NET, SERVICES, most_pairs, SECONDS, START)


def event(src: int, dst: int, **more: Any) -> np.ndarray:
    batch = FlowBatch.empty(1)
    fields = {
        "src_vm": src,
        "dst_vm": dst,
        "proto": TCP,
        "dst_port": 443,
        "src_pkts": 3,
        "src_bytes": 300,
        "dst_pkts": 2,
        "dst_bytes": 2000,
        "state": FlowState.NEW,
        "fate": Fate.DELIVERED,
        "vfn": 1,
        "start": START,
        "end": START,
        **more,
    }
    for name, value in fields.items():
        batch.rows[name] = value
    return batch.rows


def closed(one: Tally, now: float = START + SECONDS, risk: dict[str, float] | None = None) -> Interval:
    one.close(now, risk or {})
    interval = one.after(0)
    assert interval is not None
    return interval


def named(one: Tally, interval: Interval) -> dict[tuple[str, str, str, str], tuple[int, ...]]:
    found: dict[tuple[str, str, str, str], tuple[int, ...]] = {}
    for row in interval.pairs:
        ends = one.tags.segments[row["src"]], one.tags.segments[row["dst"]]
        key = (*ends, one.tags.services[row["service"]], DECISIONS[row["decision"]])
        found[key] = row["flows"], row["packets"], row["reply_packets"], row["failed"]
    return found


def test_a_live_analyzer_counts_every_packet_that_is_reported_once(tmp_path: Path) -> None:
    """NetFlow of every hop comes in; the sums are those of the conversations, in whatever intervals they fall."""
    live = Live(Settings(state_dir=tmp_path, metrics=MetricsSettings(url="http://127.0.0.1:9")), NET)
    assert live.tally is not None
    for vfn in NET.vfns.values():
        live.set_ports(vfn.dpid, ports(NET, vfn.name))
    talks = [Talk(START + i, "web1", "db1", 5432, 40000 + i, pkts=6, reply_pkts=5) for i in range(8)]
    talks.append(Talk(START + 3, "app1", "mirror", 443, 50000, pkts=4, reply_pkts=0))
    for sent, datagram in Exporters(NET, 1).datagrams(talks):
        list(live.take_records(decode_netflow([datagram]).records, sent))
    packets: Counter[tuple[str, str]] = Counter()
    list(live.tick(START + 60, 60.0))
    number = 0
    while (interval := live.tally.after(number)) is not None:
        number = interval.number
        for pair in interval.pairs:
            ends = live.tally.tags.segments[pair["src"]], live.tally.tags.segments[pair["dst"]]
            packets[ends] += int(pair["packets"]) + int(pair["reply_packets"])
    live.close()
    assert packets == {("web", "db"): 8 * 11, ("app", "outside"): 4}


def test_nothing_is_counted_where_nothing_is_written(tmp_path: Path) -> None:
    """Without a database there are no sums to be kept."""
    live = Live(Settings(state_dir=tmp_path), NET)
    assert live.tally is None
    live.close()


def test_a_flow_counts_for_its_pair_its_vms_and_its_vfn() -> None:
    """web1 opens one to db1: once for the pair of segments, once for each of the two, once where it came in."""
    one = tally()
    web1, db1 = NET.vms["web1"].number, NET.vms["db1"].number
    one.take(event(web1, db1))
    one.take(event(web1, db1, state=0))
    interval = closed(one)
    assert named(one, interval) == {("web", "db", "tcp/443", "allowed"): (1, 6, 4, 0)}
    rows = {int(row["vm"]): row for row in interval.vms}
    assert (rows[web1]["flows_out"], rows[web1]["bytes_out"], rows[web1]["bytes_in"]) == (1, 600, 4000)
    assert (rows[db1]["flows_in"], rows[db1]["bytes_out"], rows[db1]["bytes_in"]) == (1, 4000, 600)
    (vfn,) = interval.vfns
    assert (one.tags.vfns[vfn["vfn"]], vfn["flows"], vfn["packets"]) == ("leaf1", 1, 10)


@pytest.mark.parametrize(
    ("more", "service"),
    [
        ({}, "tcp/443"),
        ({"dst_port": 444}, "tcp/other"),
        ({"proto": UDP, "dst_port": 53}, "udp/53"),
        ({"proto": UDP, "dst_port": 443}, "udp/other"),
        ({"proto": 1, "dst_port": 0}, "icmp"),
        ({"proto": 58, "dst_port": 443}, "icmp"),
        ({"proto": 47, "dst_port": 443}, "other"),
        ({"proto": 132, "dst_port": 443}, "other"),
    ],
)
def test_services_are_few(more: dict[str, int], service: str) -> None:
    """A port that nobody has named is one with all others of its protocol."""
    one = tally()
    one.take(event(1, 2, **more))
    assert [key[2] for key in named(one, closed(one))] == [service]


def test_decisions_and_ends_have_words() -> None:
    """What was dropped is denied; the outside and groups are segments of their own; who failed is counted."""
    one = tally()
    one.take(event(1, 0, fate=Fate.DROPPED))
    one.take(event(1, NOBODY, fate=0, dst_pkts=0))
    one.take(event(1, 2, state=FlowState.FAILED, src_pkts=0, dst_pkts=0))
    interval = closed(one)
    found = named(one, interval)
    assert found["web", "outside", "tcp/443", "denied"][0] == 1
    assert found["web", "group", "tcp/443", "unknown"][0] == 1
    assert found["web", "web", "tcp/443", "allowed"] == (0, 0, 0, 1)
    (row,) = (row for row in interval.vms if row["vm"] == 1)
    assert (row["denied_out"], row["failed"], row["flows_out"]) == (1, 1, 2)


def test_copies_of_first_packets_do_not_count() -> None:
    """The flow's own report follows."""
    one = tally()
    one.take(event(1, 2, state=FlowState.ASKED | FlowState.NEW))
    assert not len(closed(one).pairs)


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 14), st.integers(-1, 14), st.sampled_from([80, 443, 53, 9999]), st.integers(0, 2**33)
        ),
        max_size=60,
    ),
    st.integers(0, 5),
)
def test_nothing_is_lost_however_few_series_there_may_be(flows: list[tuple[int, int, int, int]], most: int) -> None:
    """Sums over all series are those of the events, and there are no more series than allowed, and one a decision."""
    one = tally(most)
    for src, dst, port, octets in flows:
        one.take(event(src, dst, dst_port=port, src_bytes=octets))
    pairs = closed(one).pairs
    assert int(pairs["bytes"].sum()) == sum(octets for *_, octets in flows)
    assert int(pairs["flows"].sum()) == len(flows)
    assert len(pairs) <= most + len(DECISIONS)


def test_a_series_keeps_its_place_and_what_comes_later_is_with_the_others() -> None:
    """Of three pairs, with room for two, the third is `(others)`, in this interval and the next."""
    one = tally(2)
    for dst in (NET.vms["web2"].number, NET.vms["app1"].number, NET.vms["db1"].number):
        one.take(event(1, dst))
    first = named(one, closed(one))
    assert set(first) == {
        ("web", "web", "tcp/443", "allowed"),
        ("web", "app", "tcp/443", "allowed"),
        ("(others)", "(others)", "other", "allowed"),
    }
    one.take(event(1, NET.vms["db1"].number))
    one.close(START + 2 * SECONDS, {})
    second = one.after(closed_number(one))
    assert second is not None
    assert set(named(one, second)) == {("(others)", "(others)", "other", "allowed")}


def closed_number(one: Tally) -> int:
    first = one.after(0)
    assert first is not None
    return first.number


def test_risk_and_verdicts_are_told_and_end_with_a_zero() -> None:
    """A VM with risk has a point without traffic, then one of zeros, then none; outside addresses are one number."""
    one = tally()
    one.verdict(Verdict(0, 1, None, START, 80.0, 1e-6, (), confirmed=True))
    one.verdict(Verdict(1, 0, (0, 5), START, 60.0, 1e-6, (), confirmed=False))
    interval = closed(one, risk={"web1": 80.0, "198.51.100.7": 60.0, "198.51.100.8": 30.0})
    assert [(int(row["vm"]), float(row["risk"])) for row in interval.vms] == [(1, 80.0)]
    assert interval.outside == (2, 60.0)
    assert set(interval.verdicts) == {("unusual", "web", True, 1, 80.0), ("unusual", "outside", False, 1, 60.0)}
    one.close(START + 20, {})
    one.close(START + 30, {})
    second = one.after(interval.number)
    assert second is not None
    assert [(int(row["vm"]), float(row["risk"])) for row in second.vms] == [(1, 0.0)]
    third = one.after(second.number)
    assert third is not None
    assert not len(third.vms)


def test_an_interval_is_given_until_it_has_arrived() -> None:
    """Asked with the number before, it is given again; what nobody takes is dropped, counted, and the newest stay."""
    one = tally()
    for i in range(1, MOST_WAITING + 3):
        one.close(START + i * SECONDS, {})
    assert one.dropped == 2
    first = one.after(0)
    assert first is not None
    assert one.after(0) is first
    later = one.after(first.number)
    assert later is not None
    assert later.number == first.number + 1
    assert one.after(later.number + MOST_WAITING) is None


def test_numbers_rise_over_a_restart() -> None:
    """An analyzer that begins anew gives numbers beyond those that were taken from the one before."""
    old = tally()
    for i in range(1, 10):
        old.close(START + i * SECONDS, {})
    new = Tally(NET, SERVICES, 100, SECONDS, START + 10 * SECONDS)
    new.close(START + 11 * SECONDS, {})
    assert new.after(int(START) + 9) is not None


def test_an_interval_survives_the_channel() -> None:
    """What comes out of the message is what went in; a body that is cut is refused."""
    one = tally()
    one.take(event(1, 2))
    one.verdict(Verdict(0, 1, None, START, 80.0, 1e-6, (), confirmed=True))
    interval = closed(one, risk={"web1": 80.0})
    data, body = interval.encode()
    again = decode(data, body)
    assert again.encode() == (data, body)
    with pytest.raises(ValueError, match=r"buffer|bytes"):
        decode(data, body[:-3])
