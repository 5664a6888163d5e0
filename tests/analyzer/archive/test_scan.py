"""Reading whole times of the archive: every row of the time once, with texts as dictionaries."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from support.archived import ENCODER, flow, judged
from support.telemetry import START

from analyzer.archive import files, scan
from analyzer.archive.files import Partition
from analyzer.archive.query import Filter
from runtime.errors import ArchiveError

COLUMNS = ("src_vm", "dst_ip", "dst_port")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Flows that end every ten minutes of three hours, in several files."""
    for batch in range(3):
        rows = [flow(at=600.0 * (6 * batch + number), dst_port=1000 + 6 * batch + number) for number in range(6)]
        rows += [flow("db1", "192.0.2.7", at=3600.0 * batch + 60, dst_port=2000 + batch)]
        for place, table in ENCODER.split(judged(rows)).items():
            files.write(Partition(*place).folder(tmp_path), batch, table)
    return tmp_path


def ports(archive: Path, wanted: Filter) -> list[int]:
    return sorted(port for table in scan.scan(archive, wanted, COLUMNS) for port in table["dst_port"].to_pylist())


def test_every_row_is_read_once(archive: Path) -> None:
    """Also from files that were merged, which hold names as plain texts."""
    everything = [*range(1000, 1018), 2000, 2001, 2002]
    assert ports(archive, Filter()) == everything
    for partition in files.partitions(archive):
        files.merge(partition.folder(archive))
    assert ports(archive, Filter()) == everything
    for table in scan.scan(archive, Filter(), COLUMNS):
        assert table.column_names == list(COLUMNS)
        assert all(pa.types.is_dictionary(table[name].type) for name in ("src_vm", "dst_ip"))


def test_times_are_those_of_a_flows_end(archive: Path) -> None:
    """From `since` on, before `until`; hours that have no such flow are not looked into."""
    assert ports(archive, Filter(since=START + 600.0, until=START + 1800.0)) == [1001, 1002]
    assert ports(archive, Filter(since=START + 1e6)) == []


def test_pieces_are_read_one_after_the_other(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they are."""
    monkeypatch.setattr(scan, "_BYTES", 1)
    assert len(ports(archive, Filter())) == 21


def test_an_archive_that_is_not_there_or_damaged_is_told(archive: Path, tmp_path: Path) -> None:
    """With its place and a remedy."""
    with pytest.raises(ArchiveError, match="no flow archive"):
        ports(tmp_path / "nowhere", Filter())
    file = next(archive.rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArchiveError, match="cannot be read") as caught:
        ports(archive, Filter())
    assert caught.value.remedy
