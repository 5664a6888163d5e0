"""`dynseg flows`: the analyzer's memory over REST, or the archive from its files, whether anything runs or not."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.asking import as_json, ask, show
from runtime.errors import DynsegError
from topology.names import nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from analyzer.archive.query import Filter

SHOWN = 50
"""Rows of a table or JSON list when no limit is given."""
MEMORY = (
    *("start", "end", "proto", "src", "src_port", "dst", "dst_port", "name"),
    *("src_pkts", "dst_pkts", "src_bytes", "dst_bytes", "failed", "risk"),
)
ARCHIVED = (
    *("start", "end", "proto", "src_ip", "src_vm", "src_port", "dst_ip", "dst_vm", "dst_port"),
    *("src_pkts", "dst_pkts", "src_bytes", "dst_bytes", "decision", "score", "behaviour", "reasons"),
)
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Moment(click.ParamType[float]):
    """A time: ISO 8601 (local without a zone), epoch seconds, or an age such as `90s`, `30m`, `2h`, `7d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As epoch seconds."""
        text = str(value).strip()
        try:
            if ago := _AGO.fullmatch(text):
                return datetime.now().astimezone().timestamp() - float(ago[1]) * _UNITS[ago[2]]
            if re.fullmatch(r"\d+(\.\d+)?", text):
                return datetime.fromtimestamp(float(text)).astimezone().timestamp()
            return datetime.fromisoformat(text).astimezone().timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{text!r} is no time; write 2026-11-22T10:00, epoch seconds, or an age such as 30m, 2h, 7d")


@click.command()
@click.argument("memory_of", metavar="[VM]", required=False)
@click.option("--vm", help="Flows of this VM.")
@click.option("--segment", help="Flows with an end in this segment; `outside` is one, too.")
@click.option("--since", type=Moment(), help="Flows that ended then or later: 2026-11-22T10:00, 30m, 2h, 7d ago.")
@click.option("--until", type=Moment(), help="Flows that ended before.")
@click.option("--verdict", metavar="BEHAVIOUR", help="Flows whose initiator was found in it: scan, brute-force ...")
@click.option("--min-risk", type=click.FloatRange(0, 100), help="Flows that score as much.")
@click.option("--decision", type=click.Choice(["allowed", "denied", "unknown"]), help="Flows that this became of.")
@click.option("--columns", metavar="NAME,...", help="Columns of the archive to show.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--common-schema", is_flag=True, help="Print whole flows as CSV that `dynseg replay` reads, oldest first."
)
@click.option("--archive", type=click.Path(file_okay=False, path_type=Path), help="Its folder; the node's by default.")
@click.option("--limit", type=click.IntRange(1), help=f"At most this many; {SHOWN} by default, all as CSV.")
@as_json
def flows(
    *,
    memory_of: str | None,
    columns: str | None,
    as_csv: bool,
    common_schema: bool,
    archive: Path | None,
    limit: int | None,
    as_json: bool,
    **wanted: Any,
) -> None:
    """The latest flows of a VM from the analyzer's memory, or flows from the archive.

    `dynseg flows VM` asks the running analyzer. With any other option, or without a VM, the archive is read.
    """
    given = [value for value in (*wanted.values(), columns, archive) if value is not None]
    if memory_of is not None and not (given or as_csv or common_schema):
        rows = ask("GET", f"/v1/vms/{quote(memory_of, safe='')}/flows", limit=limit or SHOWN)
        show(rows, as_json, MEMORY)
        return
    if sum((as_csv, common_schema, as_json)) > 1:
        raise click.UsageError("give one of --json, --csv and --common-schema")
    if memory_of is not None and wanted["vm"] not in (None, memory_of):
        raise click.UsageError(f"{memory_of} and --vm {wanted['vm']} are two VMs; give one")
    from analyzer.archive.query import Filter

    filter_ = Filter(**{**wanted, "vm": wanted["vm"] or memory_of})
    if filter_.since is not None and filter_.until is not None and filter_.since >= filter_.until:
        raise click.UsageError("--until is not later than --since")
    names = ARCHIVED if columns is None else tuple(name.strip() for name in columns.split(",") if name.strip())
    _print(archive or _folder(), filter_, names, limit, as_json=as_json, as_csv=as_csv, common=common_schema)


def _print(
    archive: Path,
    wanted: Filter,
    columns: Sequence[str],
    limit: int | None,
    *,
    as_json: bool,
    as_csv: bool,
    common: bool,
) -> None:
    from analyzer.archive import query

    if common:
        _print_csv(query.common(archive, wanted, limit))
    elif as_csv:
        _print_csv(query.flows(archive, wanted, columns, limit))
    else:
        rows = query.flows(archive, wanted, columns, limit or SHOWN).read_all().to_pylist()
        if not rows and wanted.vm is not None:
            _known(wanted.vm)
        show(rows, as_json, columns)


def _known(vm: str) -> None:
    """A VM of which nothing is recorded is one of this network, if this machine knows any.

    Raises:
        DynsegError: it is none, so the name is wrong.
    """
    from runtime import settings
    from topology import inventory

    file = settings.load().inventory
    if file.is_file() and vm not in (vms := inventory.load(file).vms):
        raise DynsegError(f"no flow of a VM {vm!r}, and none in the inventory", remedy=nearest(vm, vms))


def _print_csv(reader: pa.RecordBatchReader) -> None:
    """As it comes, however much it is; lists joined."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    def plain(column: pa.Array) -> pa.Array:
        return pc.binary_join(column, "; ") if pa.types.is_list(column.type) else column

    schema = pa.schema([(f.name, pa.string() if pa.types.is_list(f.type) else f.type) for f in reader.schema])
    options = csv.WriteOptions(quoting_header="none")
    with csv.CSVWriter(sys.stdout.buffer, schema, write_options=options) as writer:
        for batch in reader:
            writer.write_batch(pa.RecordBatch.from_arrays([plain(column) for column in batch.columns], schema=schema))


def _folder() -> Path:
    from runtime import settings

    return settings.load().flow_archive
