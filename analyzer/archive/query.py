"""Questions to the archive, answered by DuckDB from the files of the hours that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from analyzer.archive import files
from analyzer.archive.schema import SCHEMA
from analyzer.flows import ACK, FIN, PSH, RST, SYN
from runtime.errors import ArchiveError
from topology.names import nearest

COLUMNS = (*SCHEMA.names, "vfn")
TIMES = ("start", "end", "opened")
"""Columns of epoch seconds."""
ROWS_AT_ONCE = 50_000
_TRIES = 5
"""Times a query is begun anew because files were merged or removed under it."""
_FILES = "read_parquet($paths, hive_partitioning = true, hive_types = {'vfn': VARCHAR, 'hour': VARCHAR})"
_NOTHING = SCHEMA.append(pa.field("vfn", pa.string())).empty_table()
"""Stands for the files of a time of which there are none."""
_FLAGS = {"syn": SYN, "fin": FIN, "rst": RST, "ack": ACK, "psh": PSH}
_COUNTERS = ("src_pkts", "dst_pkts", "src_bytes", "dst_bytes")
_FLOW_KEY = "opened, proto, src_ip, src_port, dst_ip, dst_port"
COMMON_SCHEMA = (
    *("start", "end", "duration", "proto", "src_ip", "src_port", "dst_ip", "dst_port"),
    *(*_COUNTERS, *_FLAGS, "app"),
)  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """Which flows; None: all. Times are epoch seconds of a flow's (or part's) last packet."""

    vm: str | None = None
    """At either end."""
    segment: str | None = None
    """At either end; `outside` is one, too."""
    since: float | None = None
    until: float | None = None
    """Exclusive."""
    verdict: str | None = None
    """Behaviour that the initiator was found in."""
    min_risk: float | None = None
    """Of `score`."""
    decision: str | None = None

    def wants(self, hour: str) -> bool:
        """Can such flows have ended in an hour ("2027-01-15T08")?"""
        begins = files.begins(hour)
        return (self.until is None or begins < self.until) and (self.since is None or begins + 3600 > self.since)

    def where(self) -> tuple[list[str], dict[str, Any]]:
        """Conditions of SQL, all but that for `vm`, and the parameters."""
        conditions = {
            "segment": "(src_segment = $segment OR dst_segment = $segment)",
            "since": '"end" >= make_timestamptz(CAST(round($since * 1e6) AS BIGINT))',
            "until": '"end" < make_timestamptz(CAST(round($until * 1e6) AS BIGINT))',
            "verdict": "behaviour = $verdict",
            "min_risk": "score >= $min_risk",
            "decision": "decision = $decision",
        }
        values = {name: getattr(self, name) for name in conditions if getattr(self, name) is not None}
        return [conditions[name] for name in values], values | ({} if self.vm is None else {"vm": self.vm})


def flows(
    archive: Path, wanted: Filter, columns: Sequence[str] = COLUMNS, limit: int | None = None
) -> pa.RecordBatchReader:
    """Flows, newest first.

    Hours are read from the newest back until there are `limit` rows, so that a look at the latest is quick however
    large the archive is.

    Args:
        archive: its folder.
        wanted: which flows.
        columns: of `COLUMNS`; those of `TIMES` are returned as epoch seconds.
        limit: rows at most.

    Raises:
        ArchiveError: there is no archive, or it holds nothing; a column that does not exist; a damaged file.
    """
    selected = ", ".join(_expression(name) for name in _known(columns))
    steps = _steps(_hours(archive, wanted), all_at_once=limit is None)

    def ask(hours: list[str], rows: int | None) -> pa.RecordBatchReader:
        sql = f'SELECT {selected} FROM ({{source}}) ORDER BY "end" DESC' + _limit(rows)  # noqa: S608
        return _ask(archive, hours, wanted, sql)

    newest = ask(next(steps), limit)

    def batches() -> Iterator[pa.RecordBatch]:
        missing = limit
        for reader in chain([newest], (ask(hours, missing) for hours in steps)):
            for batch in reader:
                missing = None if missing is None else missing - len(batch)
                yield batch
            if missing == 0:
                return

    return pa.RecordBatchReader.from_batches(newest.schema, batches())


def common(archive: Path, wanted: Filter, limit: int | None = None) -> pa.RecordBatchReader:
    """Whole flows (their parts added up) by their end, in the columns of `COMMON_SCHEMA`; `app` is always empty.

    What lies before `since`, or after `until`, of a flow is not in its row.

    Args and raises as `flows`.
    """
    flags = ", ".join(f"CAST(flags & {bit} > 0 AS UTINYINT) AS {name}" for name, bit in _FLAGS.items())
    sums = ", ".join(f"CAST(sum({name}) AS UBIGINT) AS {name}" for name in _COUNTERS)
    sql = f"""
        SELECT {_expression("start")}, {_expression("end")}, round(epoch("end" - start), 6) AS duration, proto, src_ip,
            src_port, dst_ip, dst_port, {", ".join(_COUNTERS)}, {flags}, '' AS app
        FROM (SELECT min(start) AS start, max("end") AS "end", {sums}, bit_or(flags) AS flags, {_FLOW_KEY}
              FROM ({{source}}) GROUP BY {_FLOW_KEY})
        ORDER BY "end", start""" + _limit(limit)  # noqa: S608
    return _ask(archive, _hours(archive, wanted), wanted, sql)


def _known(columns: Sequence[str]) -> Sequence[str]:
    for name in columns:
        if name not in COLUMNS:
            raise ArchiveError(f"there is no column {name}", key="--columns", remedy=nearest(name, COLUMNS))
    return columns


def _expression(name: str) -> str:
    if name in TIMES:
        return f'epoch_us("{name}") / 1e6 AS "{name}"'
    return f'round(CAST("{name}" AS DOUBLE), 1) AS "{name}"' if name in ("risk", "score") else f'"{name}"'


def _hours(archive: Path, wanted: Filter) -> list[str]:
    """Hours to look into, newest first."""
    if not archive.is_dir():
        remedy = "start the analyzer, or name another folder with --archive"
        raise ArchiveError("there is no flow archive here", file=archive, remedy=remedy)
    hours = files.hours(archive)
    if not hours:
        raise ArchiveError("the flow archive is empty so far", file=archive, remedy="wait for the first flows to end")
    return [hour for hour in reversed(hours) if wanted.wants(hour)]


def _steps(hours: list[str], all_at_once: bool) -> Iterator[list[str]]:
    """One hour, two, four ... or all; at least one step, so that an empty answer has its columns."""
    if all_at_once or not hours:
        yield hours
        return
    begin, count = 0, 1
    while begin < len(hours):
        yield hours[begin : begin + count]
        begin, count = begin + count, 2 * count


def _limit(rows: int | None) -> str:
    return "" if rows is None else f" LIMIT {rows:d}"


def _ask(archive: Path, hours: Sequence[str], wanted: Filter, sql: str) -> pa.RecordBatchReader:
    """Run `sql`, in which `{source}` stands for the wanted rows. What it is made of is ours; values are parameters."""
    conditions, values = wanted.where()
    source, connection = _source(conditions, wanted.vm), _connect()
    for _ in range(_TRIES):
        paths = _paths(archive, hours)
        try:
            if not paths:
                connection.register("nothing", _NOTHING)
                return _begun(connection, sql.format(source=source.format(files="nothing")), values)
            return _begun(connection, sql.format(source=source.format(files=_FILES)), {**values, "paths": paths})
        except (duckdb.IOException, duckdb.InvalidInputException, pa.ArrowException, OSError) as error:
            if all(Path(path).exists() for path in paths):
                remedy = "move a damaged file out of the archive"
                message = str(error).split("\n\n", maxsplit=1)[0]
                raise ArchiveError(f"cannot be read: {message}", file=archive, remedy=remedy) from error
    raise ArchiveError("its files change too quickly", file=archive, remedy="ask again")


def _begun(connection: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any]) -> pa.RecordBatchReader:
    """The result, computed as far as its first rows: what is sorted has then read every file that it needs."""
    reader = connection.sql(sql, params=values).to_arrow_reader(ROWS_AT_ONCE)
    assert reader is not None, "a SELECT has a result"
    first = next(iter(reader), None)
    return pa.RecordBatchReader.from_batches(reader.schema, reader if first is None else chain([first], reader))


def _connect() -> duckdb.DuckDBPyConnection:
    """A database for one question. Looking for a VM at both ends reads each file's description twice: it is kept."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET enable_progress_bar = false")
    connection.execute("SET parquet_metadata_cache = true")
    return connection


def _paths(archive: Path, hours: Iterable[str]) -> list[str]:
    partitions = files.partitions(archive, hours)
    return [str(file.path) for partition in partitions for file in files.closed(partition.folder(archive))]


def _source(conditions: Sequence[str], vm: str | None) -> str:
    """The wanted rows of `{files}`. A VM is looked for at each end by itself: so the order of the files helps."""
    ends = [[]] if vm is None else [["src_vm = $vm"], ["dst_vm = $vm", "src_vm IS DISTINCT FROM $vm"]]
    parts = [" AND ".join([*conditions, *end]) or "true" for end in ends]
    return " UNION ALL ".join(f"SELECT * FROM {{files}} WHERE {part}" for part in parts)  # noqa: S608
