"""Flows become rows of the archive, in the right partition, with names for numbers."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.archived import ENCODER, flow, judged
from support.telemetry import START

from analyzer.archive.decisions import Decision
from analyzer.archive.schema import NO_VFN, SCHEMA, Note, _texts, hour_name
from analyzer.flows import ACK, NOBODY, SYN, FlowState, address_halves, address_text

HOUR = 3600.0


def test_a_row_says_everything() -> None:
    """Each column, of a flow of a VM with the outside."""
    cells = flow("web1", "203.0.113.66", at=1.5, flags=SYN | ACK, risk=12.5, state=int(FlowState.FAILED))
    note = Note("scan", ("tried 30 services", "half of them failed"))
    row = ENCODER.table(judged([cells], Decision.DENIED, 88.0, note, "abc")).to_pylist()[0]
    at = datetime.fromtimestamp(START, UTC)
    assert row == {
        "start": at.replace(microsecond=500_000),
        "end": at.replace(second=at.second + 1, microsecond=500_000),
        "opened": at.replace(microsecond=500_000),
        "part": 0,
        "proto": "tcp",
        "src_ip": "10.0.1.1",
        "src_port": 40_000,
        "dst_ip": "203.0.113.66",
        "dst_port": 443,
        "src_vm": "web1",
        "dst_vm": None,
        "src_segment": "web",
        "dst_segment": "outside",
        "src_pkts": 3,
        "dst_pkts": 2,
        "src_bytes": 300,
        "dst_bytes": 2000,
        "flags": SYN | ACK,
        "failed": True,
        "spoofed": False,
        "decision": "denied",
        "rule": "abc",
        "risk": 12.5,
        "score": 88.0,
        "behaviour": "scan",
        "reasons": ["tried 30 services", "half of them failed"],
    }


def test_whoever_is_nobody_has_no_names() -> None:
    """Multicast has neither VM nor segment; without a verdict there is no behaviour; unnamed protocols are numbers."""
    cells = flow("web1", "224.0.0.251", dst_vm=NOBODY, dst_segment=NOBODY, proto=89)
    row = ENCODER.table(judged([cells])).to_pylist()[0]
    assert [row[name] for name in ("dst_vm", "dst_segment", "rule", "behaviour", "reasons")] == [None] * 5
    assert row["proto"] == "89"


def test_rows_are_split_by_hour_of_their_end_and_primary_vfn() -> None:
    """Where the initiator's packets came in; if only answers were seen, where those did; else nowhere."""
    place = {name: ENCODER.split(judged([flow(name, "db1")])).popitem()[0][1] for name in ("web1", "web2", "web3")}
    assert place == {"web1": "leaf1", "web2": "leaf2", "web3": "leaf3"}
    flows = [
        flow("web1", "db1", at=0),
        flow("web2", "db1", at=HOUR - 0.001, seconds=HOUR),
        flow("web1", "db1", at=HOUR, dst_bytes=7),
        flow("web1", "web2", at=HOUR, vfn=-1),
        flow("web1", "203.0.113.66", at=HOUR, vfn=-1),
    ]
    found = ENCODER.split(judged(flows))
    first, second = hour_name(START), hour_name(START + HOUR)
    assert {key: len(table) for key, table in found.items()} == {
        (first, "leaf1"): 1, (first, "leaf2"): 1, (second, "leaf1"): 1, (second, "leaf2"): 1, (second, NO_VFN): 1,
    }  # fmt: skip
    assert found[second, "leaf1"].column("dst_bytes").to_pylist() == [7]
    assert all(table.schema == SCHEMA for table in found.values())
    assert ENCODER.split(judged([])) == {}


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=8))
def test_addresses_are_written_as_everywhere(addresses: list[str]) -> None:
    """All at once they come out as one by one."""
    halves = np.array([address_halves(text) for text in addresses], np.uint64)
    assert _texts(halves[:, 0], halves[:, 1]).to_pylist() == [address_text(*pair) for pair in halves.tolist()]


@pytest.mark.parametrize("addresses", [("10.0.0.1", "203.0.113.9"), ("2001:db8::1", "10.0.0.1")])
def test_addresses_stay_with_their_flow(addresses: tuple[str, str]) -> None:
    """Sharing texts between rows and ends mixes nothing up."""
    one, other = addresses
    rows = [flow(one, other), flow(other, one), flow(one, other)]
    table = ENCODER.table(judged(rows))
    assert table.column("src_ip").to_pylist() == [addresses[0], addresses[1], addresses[0]]
    assert table.column("dst_ip").to_pylist() == [addresses[1], addresses[0], addresses[1]]
