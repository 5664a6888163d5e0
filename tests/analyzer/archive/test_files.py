"""Closed files are whole, count once, and survive being merged at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.archived import ENCODER, flow, judged

from analyzer.archive import files
from analyzer.archive.files import File, Partition
from analyzer.archive.schema import SCHEMA
from runtime.errors import ArchiveError


def batch(folder: Path, number: int, ports: Sequence[int]) -> File:
    """A closed batch of flows from these source ports."""
    flows = [flow("web1", ("db1", "app2", "203.0.113.66")[port % 3], src_port=port) for port in ports]
    return files.write(folder, number, ENCODER.table(judged(flows)))


def ports(folder: Path) -> list[int]:
    """Source ports of all rows that count, sorted."""
    tables = [pq.read_table(file.path, partitioning=None) for file in files.closed(folder)]
    return sorted(port for table in tables for port in table.column("src_port").to_pylist())


def test_batches_become_one_file(tmp_path: Path) -> None:
    """All rows once, ordered so that a VM's stand together, the old files gone."""
    for number in range(5):
        batch(tmp_path, 100 + number, range(number * 10, number * 10 + 10))
    before = files.size(tmp_path)
    files.merge(tmp_path)
    (merged,) = files.closed(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["100-104.parquet"]
    assert ports(tmp_path) == list(range(50))
    table = pq.read_table(merged.path, partitioning=None)
    assert set(table.schema.names) == set(SCHEMA.names)
    targets = [name or "" for name in table.column("dst_vm").to_pylist()]
    assert targets == sorted(targets)
    assert 0 < files.size(tmp_path) < before


def test_a_late_batch_is_merged_in(tmp_path: Path) -> None:
    """Merging again takes what came since; a single file is left as it is."""
    batch(tmp_path, 1, [1])
    batch(tmp_path, 2, [2])
    files.merge(tmp_path)
    batch(tmp_path, 3, [3])
    files.merge(tmp_path)
    (file,) = files.closed(tmp_path)
    assert (file.first, file.last, ports(tmp_path)) == (1, 3, [1, 2, 3])
    stamp = file.path.stat().st_mtime_ns
    files.merge(tmp_path)
    assert file.path.stat().st_mtime_ns == stamp


def test_large_hours_stay_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for merging is bounded: files are put together up to a size."""
    monkeypatch.setattr(files, "MERGED_ROWS", 25)
    for number in range(6):
        batch(tmp_path, number, range(number * 10, number * 10 + 10))
    files.merge(tmp_path)
    assert [(file.first, file.last) for file in files.closed(tmp_path)] == [(0, 1), (2, 3), (4, 5)]
    assert ports(tmp_path) == list(range(60))


def test_what_a_crash_leaves_in_the_middle_of_a_merger_counts_once(tmp_path: Path) -> None:
    """The merged file beside those it was made of, and half a file: nothing is doubled; the next merger tidies up."""
    folder = tmp_path / "now"
    for number in range(3):
        batch(folder, number, [number])
    shutil.copytree(folder, tmp_path / "before")
    files.merge(folder)
    for name in ("0-0.parquet", "2-2.parquet"):
        shutil.copy(tmp_path / "before" / name, folder)
    (folder / f".3-3.parquet{files.TEMPORARY}").write_bytes(b"PAR1half")
    assert ports(folder) == [0, 1, 2]
    assert files.is_untidy(folder)
    files.merge(folder)
    assert [path.name for path in folder.iterdir()] == ["0-2.parquet"]
    assert not files.is_untidy(folder)


def test_a_clock_put_back_hides_nothing(tmp_path: Path) -> None:
    """A batch with a smaller number than what is there gets a larger one, so that no merged range covers it."""
    batch(tmp_path, 500, [1])
    batch(tmp_path, 600, [2])
    files.merge(tmp_path)
    late = batch(tmp_path, 550, [3])
    assert late.first == 601
    assert ports(tmp_path) == [1, 2, 3]


def test_a_damaged_file_stops_the_merger_and_is_named(tmp_path: Path) -> None:
    """Bytes that changed on the disk are found out and not carried into another file."""
    batch(tmp_path, 1, range(500))
    damaged = batch(tmp_path, 2, range(500)).path
    content = bytearray(damaged.read_bytes())
    content[len(content) // 4] ^= 0xFF
    damaged.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"2-2\.parquet: is damaged"):
        files.merge(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"1-1.parquet", "2-2.parquet"}


def test_partitions_are_found_in_order_and_other_things_left_alone(tmp_path: Path) -> None:
    """Folders by hour and VFN; what else lies there is nobody's."""
    hours = ("2027-01-15T08", "2027-01-15T09")
    wanted = [Partition(hours[0], "core"), Partition(hours[0], "leaf1"), Partition(hours[1], "a.b")]
    for partition in wanted:
        batch(partition.folder(tmp_path), 1, [1])
    (tmp_path / "hour=yesterday").mkdir()
    (tmp_path / "hour=2027-01-15T08" / "notes").mkdir()
    (tmp_path / "README").write_text("mine")
    assert list(files.partitions(tmp_path)) == wanted
    assert wanted[0].over == 1_800_003_600.0
    files.remove_hour(tmp_path, "2027-01-15T09")
    assert list(files.partitions(tmp_path)) == wanted[:2]
    assert files.closed(tmp_path / "nowhere") == []
    assert files.size(tmp_path / "nowhere") == 0
