"""All flows of a time as Arrow tables, as fast as the files can be read: for who looks at every row."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analyzer.archive import files
from analyzer.archive.files import Partition
from analyzer.archive.query import Filter
from analyzer.archive.schema import SCHEMA
from runtime.errors import ArchiveError

_BYTES = 32 << 20
"""Of files that become one table: some hundred thousand rows."""
_THREADS = 2
_TRIES = 5
_TEXTS = [field.name for field in SCHEMA if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type)]


def scan(archive: Path, wanted: Filter, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Flows that ended within a time, in no order; columns of text are dictionaries, one for each chunk.

    To make one dictionary of them all would take longer than reading them does.

    Args:
        wanted: its `since` and `until`; all else of it is ignored.
        columns: of `SCHEMA`.

    Raises:
        ArchiveError: there is no archive, or a file is damaged.
    """
    if not archive.is_dir():
        remedy = "start the analyzer, or name another folder with --archive"
        raise ArchiveError("there is no flow archive here", file=archive, remedy=remedy)
    pieces = _pieces(archive, [hour for hour in files.hours(archive) if wanted.wants(hour)])
    with closing(_ahead(archive, pieces, wanted, columns)) as tables:
        yield from (table for table in tables if len(table))


def _ahead(
    archive: Path, pieces: Iterator[list[Partition]], wanted: Filter, columns: Sequence[str]
) -> Generator[pa.Table]:
    """Tables in the order of the pieces, the next ones being read meanwhile."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: list[Future[pa.Table]] = []
        for piece in pieces:
            waiting.append(pool.submit(_read, archive, piece, wanted, columns))
            if len(waiting) > _THREADS:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _pieces(archive: Path, hours: Sequence[str]) -> Iterator[list[Partition]]:
    piece: list[Partition] = []
    size = 0
    for partition in files.partitions(archive, hours):
        piece.append(partition)
        size += files.size(partition.folder(archive))
        if size > _BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _read(archive: Path, piece: Sequence[Partition], wanted: Filter, columns: Sequence[str]) -> pa.Table:
    tables = [table for partition in piece for table in _partition(archive, partition, wanted, columns)]
    if not tables:
        return SCHEMA.empty_table().select(columns)
    return pa.concat_tables(tables)


def _partition(archive: Path, partition: Partition, wanted: Filter, columns: Sequence[str]) -> list[pa.Table]:
    """A partition's rows. Its files may be merged meanwhile: then those that count are looked up again."""
    for _ in range(_TRIES):
        found = files.closed(partition.folder(archive))
        try:
            return [_rows(file.path, wanted, columns) for file in found]
        except FileNotFoundError:
            continue
        except (pa.ArrowException, OSError) as error:
            remedy = "move a damaged file out of the archive"
            raise ArchiveError(f"cannot be read: {error}", file=partition.folder(archive), remedy=remedy) from error
    raise ArchiveError("its files change too quickly", file=partition.folder(archive), remedy="ask again")


def _rows(path: Path, wanted: Filter, columns: Sequence[str]) -> pa.Table:
    bounded = [edge for edge in (wanted.since, wanted.until) if edge is not None]
    read = list(dict.fromkeys([*columns, *(["end"] if bounded else [])]))
    with pq.ParquetFile(path, read_dictionary=_TEXTS) as file:
        table = file.read(columns=read, use_threads=False)
    if bounded:
        end = pc.cast(table["end"], pa.int64())
        keep = pa.scalar(True)
        if wanted.since is not None:
            keep = pc.and_(keep, pc.greater_equal(end, round(wanted.since * 1e6)))
        if wanted.until is not None:
            keep = pc.and_(keep, pc.less(end, round(wanted.until * 1e6)))
        if not pc.all(keep).as_py():
            table = table.filter(keep)
    return table.select(list(columns)).replace_schema_metadata()
