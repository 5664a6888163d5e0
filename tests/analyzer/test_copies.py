"""Copies of opening packets: read, attributed, counted once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.copies import Copy, body_of, copy_of
from support.frames import frame
from support.telemetry import START, inventory, ports

from analyzer.copies import Opened, openings, read
from analyzer.flows import NOBODY, FlowState, address_halves
from analyzer.known import Known
from analyzer.live import Live
from analyzer.observe import DISTINCT, SUMS, contributions
from runtime.errors import ChannelError
from runtime.settings import Settings

NET = inventory()
words = st.integers(0, 0xFFFF)


def decode(*copied: Copy, vfn: int = 0) -> Opened:
    """What the copies of a VFN open."""
    return openings(read(len(copied), body_of(*copied)), vfn)


def syn(source: str, target: str, src_port: int = 50_000, dst_port: int = 80, flags: int = 2) -> bytes:
    """A TCP segment over IPv4."""
    numbers = {"ipv4_src": address_halves(source)[1], "ipv4_dst": address_halves(target)[1]}
    ends = {name: number & 0xFFFFFFFF for name, number in numbers.items()}
    ports_ = {"tcp_src": src_port, "tcp_dst": dst_port, "tcp_flags": flags}
    return frame({"eth_dst": 2, "eth_src": 1, "eth_type": 0x0800, "ip_proto": 6, **ends, **ports_})


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), words, words, st.integers(0, 10))
def test_ipv4_with_options_is_read(source: int, target: int, src_port: int, dst_port: int, options: int) -> None:
    """Addresses and ports, however long the IP header is."""
    fields = {"ipv4_src": source, "ipv4_dst": target, "tcp_src": src_port, "tcp_dst": dst_port, "tcp_flags": 2}
    plain = frame({"eth_dst": 2, "eth_src": 1, "eth_type": 0x0800, "ip_proto": 6, **fields})
    made = plain[:14] + bytes([0x45 + options]) + plain[15:34] + bytes(4 * options) + plain[34:]
    opened = decode(copy_of(made, port=9), vfn=3)
    (side,) = opened.sides
    assert opened.rubbish == 0
    assert (side["src_hi"], side["src_lo"], side["dst_lo"]) == (0, 0xFFFF << 32 | source, 0xFFFF << 32 | target)
    assert (side["src_port"], side["dst_port"], side["vfn"], side["port"]) == (src_port, dst_port, 3, 9)
    assert (side["first"], side["pkts"], side["bytes"]) == (START, 0, 0)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1), words, words)
def test_ipv6_is_read(source: int, target: int, src_port: int, dst_port: int) -> None:
    """Both halves of both addresses."""
    fields = {"ipv6_src": source, "ipv6_dst": target, "tcp_src": src_port, "tcp_dst": dst_port, "tcp_flags": 2}
    (side,) = decode(copy_of(frame({"eth_dst": 2, "eth_src": 1, "eth_type": 0x86DD, "ip_proto": 6, **fields}))).sides
    low = 2**64 - 1
    assert [int(side[name]) for name in ("src_hi", "src_lo")] == [source >> 64, source & low]
    assert [int(side[name]) for name in ("dst_hi", "dst_lo")] == [target >> 64, target & low]
    assert (side["src_port"], side["dst_port"]) == (src_port, dst_port)


@pytest.mark.parametrize(
    "rubbish",
    [
        copy_of(b""),
        copy_of(syn("10.0.0.1", "10.0.0.2", flags=0x12)),
        copy_of(syn("10.0.0.1", "10.0.0.2"), length=40),
        copy_of(syn("10.0.0.1", "10.0.0.2")[:14] + b"\x41" + syn("10.0.0.1", "10.0.0.2")[15:]),
        copy_of(syn("10.0.0.1", "10.0.0.2")[:12] + b"\x81\0" + syn("10.0.0.1", "10.0.0.2")[12:]),
    ],
    ids=["empty", "answer", "cut", "short header", "vlan"],
)
def test_what_is_no_opening_packet_is_counted(rubbish: Copy) -> None:
    """It stands beside good copies and does them no harm."""
    opened = decode(rubbish, copy_of(syn("10.0.0.1", "10.0.0.2")))
    assert (len(opened.sides), opened.rubbish) == (1, 1)


@given(st.lists(st.binary(max_size=128), max_size=5), words)
def test_any_bytes_are_read_or_counted(heads: list[bytes], length: int) -> None:
    """Nothing that a VM sends stops the analyzer."""
    opened = decode(*(copy_of(head, length=length) for head in heads))
    assert len(opened.sides) + opened.rubbish == len(heads)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_each_copy_gets_its_own_bytes_back(packets: list[bytes]) -> None:
    """However long each is, and whichever table made it."""
    copied = [copy_of(packet, table=24 + number % 3) for number, packet in enumerate(packets)]
    whole = read(len(copied), body_of(*copied))
    assert list(whole.packets()) == packets
    assert list(whole.made_by(25).packets()) == packets[1::3]
    assert [bytes(head) for head in whole.heads()] == [packet[:128].ljust(128, b"\0") for packet in packets]


def test_a_torn_body_is_refused() -> None:
    """Half a copy is no copy, nor is more than was announced."""
    whole = body_of(copy_of(b"abc"))
    for count, body in ((1, whole[:-1]), (2, whole), (1, whole[:10]), (1, whole + b"d"), (0, b"d"), (-1, whole)):
        with pytest.raises(ChannelError, match="copies"):
            read(count, body)


@pytest.fixture
def live(tmp_path: Path) -> Live:
    made = Live(Settings(state_dir=tmp_path), NET)
    for name, vfn in NET.vfns.items():
        made.set_ports(vfn.dpid, ports(NET, name))
    return made


def take(live: Live, dpid: int, *copied: Copy) -> None:
    """Copies of a VFN come in."""
    live.take_copies(dpid, len(copied), body_of(*copied))


def test_only_the_vm_on_the_port_is_counted(live: Live) -> None:
    """Forged sources, cables, unknown ports and unknown VFNs are left out."""
    web1 = NET.vms["web1"]
    own, other = str(web1.addresses[0]), str(NET.vms["db1"].addresses[0])
    dpid, port = NET.vfns[web1.vfn].dpid, ports(NET, web1.vfn)[web1.port]
    take(live, dpid, copy_of(syn(own, other), port))
    assert (live.copies, live.copies_unread, live.copies_waiting) == (1, 0, 1)
    take(live, dpid, copy_of(syn("10.0.99.1", other), port), copy_of(syn(own, other), 1))
    take(live, 0x999, copy_of(syn(own, other), port))
    assert (live.copies, live.copies_unread, live.copies_waiting) == (1, 3, 1)
    assert list(live.feed_copies()) == []
    assert live.copies_waiting == 0


def test_a_copy_counts_for_what_is_distinct_and_its_record_adds_no_item(live: Live) -> None:
    """Sums are the record's alone; the items of both are the same."""
    web1 = NET.vms["web1"]
    own, other = str(web1.addresses[0]), str(NET.vms["db1"].addresses[0])
    take(live, NET.vfns[web1.vfn].dpid, copy_of(syn(own, other, dst_port=22), ports(NET, web1.vfn)[web1.port]))
    (events,) = live._opened
    rows = live._with_segments(np.repeat(events.rows, 2))
    rows["state"][1] = FlowState.NEW
    rows["src_pkts"][1] = 5
    nobody, known, others = np.full(2, NOBODY), Known(1), rows.copy()
    others["src_vm"], others["dst_vm"], others["dst_port"] = rows["dst_vm"], rows["src_vm"], 443
    known.learn(np.array([0, 2]), others, np.ones(2, bool))
    added = contributions(rows, rows["src_vm"].astype(np.int64), nobody, known.judge(rows), np.zeros(2, bool))
    assert [SUMS[column] for column in np.flatnonzero(added.sums[0])] == ["asked"]
    assert added.sums[1, SUMS.index("flows")] == 1
    assert np.array_equal(added.items[:, 0], added.items[:, 1])
    assert {DISTINCT[column] for column in np.flatnonzero(added.items[:, 0])} == {
        "in_hosts",
        "in_services",
        "admin_pairs",
        "new_peers",
        "new_services",
        "new_doors",
    }
