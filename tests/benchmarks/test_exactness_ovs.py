"""What is on record of flows through real VFNs, and of forged ones: as the benchmarks compare, with fewer flows."""

import pytest

from benchmarks.rows import Row
from benchmarks.traffic import exactness, forged

pytestmark = pytest.mark.ovs


def values(rows: list[Row]) -> dict[str, float | None]:
    return {row.measure: row.value for row in rows}


def test_every_flow_is_on_record_as_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP, UDP, ICMP; allowed and denied; with and without connection tracking; over one VFN or three."""
    monkeypatch.setattr(exactness, "FLOWS", 600)
    found = exactness.rows()
    assert set(values(found).values()) == {0}, [row.reason for row in found]


def test_forged_evidence_accuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spoofed packets count for the port they came in at, datagrams of strangers for nothing."""
    monkeypatch.setattr(forged, "PACKETS", 400)
    monkeypatch.setattr(forged, "DATAGRAMS", 400)
    found = forged.rows()
    assert set(values(found).values()) == {0}, [row.reason for row in found]
