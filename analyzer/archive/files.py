"""The archive's files: `hour=2027-01-15T08/vfn=NAME/FIRST-LAST.parquet` in one folder.

FIRST and LAST are the numbers of the batches within, which rise in time. A file appears under its name only when it is
whole and on the disk (temporary name, fsync, rename), and is never changed. Merging files makes one whose range covers
theirs; they are removed after it has appeared, and whoever sees both reads only the covering one. So no crash, at any
moment, loses or doubles a row of a file that was closed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analyzer.archive.schema import SCHEMA
from analyzer.flows import Array
from runtime.errors import ArchiveError

ROW_GROUP, ROW_GROUPS = 5_000, 50
"""A merged file's rows are read in groups of so many, or in so many groups: few at a time, so that a VM's flows are
found without reading everybody's, but not so few that most of a file tells of its groups."""
MERGED_ROWS = 1_000_000
"""Rows of a merged file at most."""
ORDER = ("dst_vm", "src_vm", "end")
"""Of a merged file. A partition's initiators are the VMs of one VFN, but anybody may be whom they talk to: by him it is
sorted first, so that both are found in few row groups."""
TEMPORARY = ".part"
_FILE = re.compile(r"(\d{1,19})-(\d{1,19})\.parquet")
_HOUR = re.compile(r"hour=(\d{4}-\d\d-\d\dT\d\d)")


@dataclass(frozen=True, order=True)
class Partition:
    """Flows of one hour and VFN."""

    hour: str
    """"2027-01-15T08", UTC; of the flows' end."""
    vfn: str

    def folder(self, archive: Path) -> Path:
        """Where its files are."""
        return archive / f"hour={self.hour}" / f"vfn={self.vfn}"

    @property
    def over(self) -> float:
        """Epoch seconds when its hour is over."""
        return begins(self.hour) + 3600


@dataclass(frozen=True, order=True)
class File:
    """A closed file and the batches it holds."""

    first: int
    last: int
    path: Path

    def covers(self, other: File) -> bool:
        """Is all of the other one within this one?"""
        return self.path != other.path and self.first <= other.first and other.last <= self.last


def begins(hour: str) -> float:
    """Epoch seconds of an hour such as "2027-01-15T08"."""
    return datetime.fromisoformat(f"{hour}:00+00:00").timestamp()


def hours(archive: Path) -> list[str]:
    """All hours of which there is anything, in order."""
    return sorted(named[1] for folder in _folders(archive) if (named := _HOUR.fullmatch(folder.name)))


def partitions(archive: Path, of: Iterable[str] | None = None) -> Iterator[Partition]:
    """The partitions of some hours, or all."""
    for hour in hours(archive) if of is None else of:
        for vfn in sorted(_folders(archive / f"hour={hour}")):
            if vfn.name.startswith("vfn="):
                yield Partition(hour, vfn.name.removeprefix("vfn="))


def closed(folder: Path) -> list[File]:
    """The files of a partition's folder that count, in order of their batches; none when it is gone."""
    files = _listed(folder)
    return [file for file in files if not any(other.covers(file) for other in files)]


def is_untidy(folder: Path) -> bool:
    """Is there anything that `merge` would remove or put together?"""
    return len(_listed(folder)) > 1 or any(folder.glob(f".*{TEMPORARY}"))


def size(folder: Path) -> int:
    """Bytes of everything in a partition's folder."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except FileNotFoundError:
        return 0


def row_group(rows: int) -> int:
    """Size of the groups of a merged file with so many rows."""
    return max(ROW_GROUP, rows // ROW_GROUPS)


def write(folder: Path, number: int, table: pa.Table, group: int = MERGED_ROWS) -> File:
    """Close a batch: its file is on the disk when this returns.

    Args:
        folder: of the partition, made if absent.
        number: of the batch; raised where the folder has later ones (a clock was put back).
        table: of `SCHEMA`.
        group: rows that are read together.

    Raises:
        OSError: there is no room, or no right; nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = max(number, *(file.last + 1 for file in _listed(folder)), 0)
    return _close(folder, number, number, table, group)


def merge(folder: Path) -> None:
    """Make few files of the many in a partition's folder; removes what was merged and what a crash left there.

    Raises:
        OSError: as `write`; whatever was there counts as before.
        ArchiveError: a file is damaged.
    """
    for left in folder.glob(f".*{TEMPORARY}"):
        left.unlink()
    for run in _runs(closed(folder)):
        table = _ordered(pa.concat_tables([_read(file) for file in run]).unify_dictionaries())
        _close(folder, run[0].first, run[-1].last, table, row_group(len(table)))
    for file in set(_listed(folder)) - set(closed(folder)):
        file.path.unlink()


def remove_hour(archive: Path, hour: str) -> None:
    """Take an hour out of the archive.

    Raises:
        OSError: no right.
    """
    top = archive / f"hour={hour}"
    for folder in _folders(top):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    top.rmdir()


def _read(file: File) -> pa.Table:
    with _readable(file):
        return pq.read_table(file.path, schema=SCHEMA, partitioning=None, page_checksum_verification=True)


@contextmanager
def _readable(file: File) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(f"is damaged: {error}", file=file.path, remedy="move it out of the archive") from error


def _close(folder: Path, first: int, last: int, table: pa.Table, group: int) -> File:
    path = folder / f"{first}-{last}.parquet"
    fresh = folder / f".{path.name}{TEMPORARY}"
    try:
        with fresh.open("wb") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=group, write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    _sync(folder)
    return File(first, last, path)


def _sync(folder: Path) -> None:
    """Names in a folder are on the disk only when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ordered(table: pa.Table) -> pa.Table:
    """Rows in `ORDER`. Names become plain text, so that a row group's dictionary holds its own names only."""
    keys = [_ranks(table.column(name).combine_chunks()) for name in reversed(ORDER)]
    plain = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in SCHEMA]
    return table.take(pa.array(np.lexsort(keys))).cast(pa.schema(plain))


def _ranks(column: pa.Array) -> Array:
    """Numbers in the order of a column's values; nulls first."""
    if not pa.types.is_dictionary(column.type):
        return np.asarray(column.cast(pa.int64()))
    names = column.dictionary.to_numpy(zero_copy_only=False)
    ranks = np.empty(len(names) + 1, np.int64)
    ranks[np.argsort(names)], ranks[-1] = np.arange(len(names)), -1
    return np.asarray(ranks[column.indices.fill_null(-1).to_numpy()])


def _runs(files: list[File]) -> Iterator[list[File]]:
    """Neighbours to merge into one file each."""
    run: list[File] = []
    rows = 0
    for file in files:
        with _readable(file):
            here = pq.read_metadata(file.path).num_rows
        if run and rows + here > MERGED_ROWS:
            yield from [run] if len(run) > 1 else []
            run, rows = [], 0
        run.append(file)
        rows += here
    yield from [run] if len(run) > 1 else []


def _listed(folder: Path) -> list[File]:
    try:
        found = [(named, path) for path in folder.iterdir() if (named := _FILE.fullmatch(path.name))]
    except FileNotFoundError:
        return []
    return sorted(File(int(named[1]), int(named[2]), path) for named, path in found)


def _folders(folder: Path) -> Iterable[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    except FileNotFoundError:
        return []
