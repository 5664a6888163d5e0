"""`python -m benchmarks.archive`: how many flows a second the archive takes, and how soon it tells a VM's day.

First flows are handed to the archive's thread as fast as it takes them, and counted when they are in closed files on
the disk. Then an archive of ten days is made, of 1,000 VMs on 20 VFNs, in the files that merged hours have, and VM-days
are asked for; pyarrow's own dataset reader is asked the same. Prints a table and writes `out/bench/archive.json`
(`benchmarks.rows`). Exit status 0 when every target is met.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from analyzer.archive import files, query
from analyzer.archive.decisions import InForce
from analyzer.archive.files import Partition
from analyzer.archive.query import Filter
from analyzer.archive.schema import Encoder, Judged, Note, hour_name
from analyzer.archive.writer import MOST_HELD, Writer
from analyzer.flows import ACK, FIN, PSH, SYN, Array, FlowBatch, address_halves
from analyzer.ledger import Parts
from analyzer.names import Names
from benchmarks.rows import Row, conclude
from runtime.settings import ArchiveSettings
from topology.model import Inventory, Segment, Vfn, Vm

VMS, VFNS, SEGMENTS, DAYS = 1000, 20, 8, 10
START = 1_800_000_000.0 - 1_800_000_000.0 % 86400
FLOWS = 100_000_000
WRITTEN = 6_000_000
AT_ONCE = 20_000
"""Flows that the analyzer hands over in one go."""
BYTES = 40
"""Of an archived flow at most: what the disk has to have room for."""
ASKED = 12
"""VM-days."""
MIN_WRITTEN = 300_000
MAX_SECONDS = 1.0
MAX_PUT_MS = 5.0
_PORTS = np.array([443, 80, 53, 5432, 22, 8080, 123, 445], np.uint16)


def inventory() -> Inventory:
    """A thousand VMs."""
    segments = {f"seg{i}": Segment(f"seg{i}", i) for i in range(1, SEGMENTS + 1)}
    vfns = {f"vfn{i:02d}": Vfn(f"vfn{i:02d}", i, 0x100 + i, f"vfn{i:02d}") for i in range(VFNS)}
    vms = {}
    for number in range(1, VMS + 1):
        name = f"vm{number:04d}"
        address = IPv4Address(int(IPv4Address("10.0.0.0")) + 256 * (number % VFNS) + number // VFNS)
        mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        vfn = f"vfn{number % VFNS:02d}"
        vms[name] = Vm(name, number, f"seg{number % SEGMENTS + 1}", vfn, f"port{number}", mac, (address,))
    return Inventory(segments, vfns, (), vms)


class Workload:
    """Flows as a network of that size has them: VMs to popular VMs, a fifth of them to the outside."""

    def __init__(self, network: Inventory) -> None:
        self._rng = np.random.default_rng(7)
        self._rules = InForce(Names(network))
        self._low = np.zeros(VMS + 1, np.uint64)
        self._segment = np.array(network.segment_numbers, np.int16)
        for vm in network.vms.values():
            self._low[vm.number] = address_halves(str(vm.addresses[0]))[1]
        self._outside = np.uint64(address_halves("198.18.0.0")[1])

    def flows(self, count: int, begin: float, seconds: float, vfn: int | None = None) -> Judged:
        """`count` flows that end within `seconds` from `begin` on, opened at one VFN or at any."""
        rng = self._rng
        rows = FlowBatch.empty(count).rows
        place = rng.integers(0, VFNS, count) if vfn is None else np.full(count, vfn)
        rows["vfn"], rows["src_vm"] = place, (rng.integers(1, VMS // VFNS, count)) * VFNS + place
        target = np.minimum((rng.pareto(1.0, count) * 20).astype(np.int64) + 1, VMS)
        rows["dst_vm"] = np.where(rng.random(count) < 0.2, 0, target)
        for end in ("src", "dst"):
            rows[f"{end}_lo"], rows[f"{end}_segment"] = self._low[rows[f"{end}_vm"]], self._segment[rows[f"{end}_vm"]]
        strangers = rows["dst_vm"] == 0
        rows["dst_lo"][strangers] = self._outside + rng.integers(0, 1 << 17, int(strangers.sum())).astype(np.uint64)
        rows["end"] = begin + rng.random(count) * seconds
        rows["start"] = rows["end"] - rng.exponential(2.0, count)
        rows["src_port"], rows["dst_port"] = rng.integers(32768, 61000, count), rng.choice(_PORTS, count)
        rows["proto"], rows["flags"] = np.where(rng.random(count) < 0.7, 6, 17), SYN | ACK | PSH | FIN
        for name, most in (("src_pkts", 60), ("dst_pkts", 80), ("src_bytes", 60_000), ("dst_bytes", 90_000)):
            rows[name] = rng.integers(0, most, count)
        rows["risk"] = rng.exponential(2.0, count)
        return self._judged(rows)

    def _judged(self, rows: Array) -> Judged:
        parts = Parts.whole(rows)
        score = np.minimum(rows["risk"].astype(np.float64), 100.0)
        note = np.where(self._rng.random(len(rows)) < 0.01, 0, -1)
        notes = [Note("scan", ("tried 40 services in 1.0 s", "half of them failed"))]
        return Judged(parts, self._rules.decide(rows, parts.opened), score, note, notes)


def written(folder: Path, network: Inventory, workload: Workload) -> list[Row]:
    """Flows a second from the hand-over to the disk, and how long handing over takes."""
    batches = [workload.flows(AT_ONCE, START + 10 * i, 10.0) for i in range(20)]
    archive = Writer(folder, ArchiveSettings(keep_days=1e6, most_gigabytes=1e6), Encoder(network))
    took = []
    began = time.perf_counter()
    for i in range(WRITTEN // AT_ONCE):
        while archive.status()["waiting"] > MOST_HELD - AT_ONCE:
            time.sleep(0.002)
        before = time.perf_counter()
        archive.put(batches[i % len(batches)])
        took.append(time.perf_counter() - before)
    archive.close()
    seconds = time.perf_counter() - began
    status = archive.status()
    partitions = list(files.partitions(folder))
    began = time.perf_counter()
    for partition in partitions:
        files.merge(partition.folder(folder))
    merging = time.perf_counter() - began
    note = f"{status['dropped']} dropped; merging the hour once it is over: {WRITTEN / merging:,.0f} flows/s"
    rate = status["written"] / seconds
    return [
        Row("flows written, closed on the disk", round(rate), "flows/s", ">=", MIN_WRITTEN, status["written"],
            reason=note),
        Row("handing 20,000 flows over, p99", round(1000 * float(np.quantile(took, 0.99)), 3), "ms", "<=", MAX_PUT_MS,
            len(took), reason=f"longest {1000 * max(took):.1f} ms; it shares the interpreter with the writing thread"),
    ]  # fmt: skip


def fill(folder: Path, flows: int, days: int, network: Inventory, workload: Workload) -> None:
    """Make an archive of so many days with about so many flows, as merging makes them. A VFN's hours are alike."""
    encoder = Encoder(network)
    each = flows // (days * 24 * VFNS)
    for vfn in range(VFNS):
        first = Partition(hour_name(START), f"vfn{vfn:02d}").folder(folder)
        whole = encoder.table(workload.flows(each, START, 3600.0, vfn))
        for number, half in enumerate((whole.slice(0, each // 2), whole.slice(each // 2))):
            files.write(first, number, half)
        files.merge(first)
        merged = pq.read_table(files.closed(first)[0].path, partitioning=None)
        for hour in range(1, days * 24):
            later = Partition(hour_name(START + 3600.0 * hour), f"vfn{vfn:02d}").folder(folder)
            table_ = _shifted(merged, np.timedelta64(3600 * hour, "s"))
            files.write(later, 0, table_, files.row_group(len(table_)))


def _shifted(table: pa.Table, by: np.timedelta64) -> pa.Table:
    for name in query.TIMES:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pc.add(table.column(at), pa.scalar(by)))
    return table


def vm_days(folder: Path, days: int) -> Iterator[tuple[Filter, list[str]]]:
    """What is asked, and the files that have the answer."""
    rng = np.random.default_rng(3)
    for _ in range(ASKED):
        since = START + 86400.0 * int(rng.integers(0, days))
        wanted = Filter(vm=f"vm{int(rng.integers(VFNS, VMS)):04d}", since=since, until=since + 86400.0)
        there = files.partitions(folder, filter(wanted.wants, files.hours(folder)))
        yield wanted, [str(file.path) for partition in there for file in files.closed(partition.folder(folder))]


def asked(folder: Path, days: int) -> list[Row]:
    """Seconds for all columns of all flows of one VM on one of the days, from files that are not in memory."""
    everything = [str(file.path) for part in files.partitions(folder) for file in files.closed(part.folder(folder))]
    flows = ds.dataset(everything).count_rows()
    size = sum(Path(path).stat().st_size for path in everything) / max(flows, 1)
    ours, warm, theirs, rows = [], [], [], []
    for wanted, paths in vm_days(folder, days):
        _evict(paths)
        began = time.perf_counter()
        found = query.flows(folder, wanted).read_all()
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        query.flows(folder, wanted).read_all()
        warm.append(time.perf_counter() - began)
        _evict(paths)
        began = time.perf_counter()
        either = (ds.field("src_vm") == wanted.vm) | (ds.field("dst_vm") == wanted.vm)
        same = ds.dataset(paths).to_table(filter=either)
        theirs.append(time.perf_counter() - began)
        assert len(found) == len(same), "both find the same flows"
        rows.append(len(found))
    note = f"{min(rows):,} to {max(rows):,} flows each, all columns; from memory {statistics.median(warm):.2f} s"
    return [
        Row(f"one VM-day in {flows / 1e6:.0f} million flows, median", round(statistics.median(ours), 3), "s", "<=",
            MAX_SECONDS, len(ours), "pyarrow.dataset with the day's files, s", round(statistics.median(theirs), 3),
            f"{note}; longest {max(ours):.2f} s; {size:.0f} bytes a flow"),
    ]  # fmt: skip


def measure(made: Path, wished: int, days: int, archive: Path | None = None) -> list[Row]:
    """Both rows.

    Args:
        made: folder for what is made.
        wished: flows of the archive that is asked; fewer are made where the disk has no room for them.
        days: over which they are spread.
        archive: ask this one, which is made if it is not there, and kept.
    """
    network = inventory()
    workload = Workload(network)
    found = written(made / "written", network, workload)
    shutil.rmtree(made / "written")
    archive = archive or made / "asked"
    if not archive.exists():
        flows = min(wished, shutil.disk_usage(made).free // 2 // BYTES)
        print(f"making an archive of {flows:,} flows, of {wished:,} that were wished for ...", flush=True)
        fill(archive, flows, days, network, workload)
    return [*found, *asked(archive, days)]


def _evict(paths: Sequence[str]) -> None:
    """Take files out of the page cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="flows that the archive takes a second, and its answers")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--flows", type=int, default=FLOWS, help="in the archive that is asked")
    parser.add_argument("--archive", type=Path, help="ask this one, made if it is not there, and keep it")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="archive-", dir=args.out) as made:
        found = measure(Path(made), args.flows, DAYS, args.archive)
    return conclude(found, args.out / "archive.json")


if __name__ == "__main__":
    sys.exit(main())
