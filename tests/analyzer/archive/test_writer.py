"""The archive's thread: nothing lost, nothing doubled, never in the way; killed, full disk, too much, too old."""

from __future__ import annotations

import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.archived import ENCODER, flow, judged
from support.telemetry import START

from analyzer.archive import files, query, upkeep, writer
from analyzer.archive.files import Partition
from analyzer.archive.query import Filter
from analyzer.archive.writer import Writer
from runtime.settings import ArchiveSettings

DEADLINE = 30.0
HOUR = 3600.0


def until(condition: Callable[[], object], what: str) -> None:
    """Poll until `condition` holds, or fail."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.005)


def settings(batch_seconds: float) -> ArchiveSettings:
    """Whatever the clock says, the flows of these tests are not too old."""
    return ArchiveSettings(batch_seconds=batch_seconds, keep_days=1e5)


def ports(archive: Path) -> list[int]:
    """Source ports of all rows, sorted."""
    return sorted(query.flows(archive, Filter(), ["src_port"]).read_all().column("src_port").to_pylist())


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "flows", settings(0.05), ENCODER)
    yield made
    made.close()


def test_flows_are_on_the_disk_soon(archive: Writer, tmp_path: Path) -> None:
    """Handed over, gathered, closed; the count says so."""
    for port in range(20):
        archive.put(judged([flow(src_port=port)]))
    until(lambda: archive.status()["written"] == 20, "written")
    assert ports(tmp_path / "flows") == list(range(20))
    status = archive.status()
    assert (status["waiting"], status["dropped"], status["failures"], status["problem"]) == (0, 0, 0, "")
    until(lambda: archive.status()["bytes"] > 0, "its size is known")


def test_the_end_writes_what_is_open(tmp_path: Path) -> None:
    """A batch that is not due is closed when the archive is."""
    made = Writer(tmp_path, settings(1000), ENCODER)
    made.put(judged([flow(src_port=7), flow("web2", src_port=8)]))
    made.close()
    assert ports(tmp_path) == [7, 8]


def test_a_large_batch_is_closed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far off the next due time is."""
    monkeypatch.setattr(writer, "BATCH_ROWS", 50)
    made = Writer(tmp_path, settings(1000), ENCODER)
    made.put(judged([flow(src_port=port) for port in range(60)]))
    until(lambda: made.status()["written"] == 60, "written")
    made.close()


def test_too_much_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hands rows over is never kept waiting; what fits is written."""
    monkeypatch.setattr(writer, "MOST_HELD", 100)
    made = Writer(tmp_path, settings(1000), ENCODER)
    began = time.monotonic()
    for first in range(0, 300, 30):
        made.put(judged([flow(src_port=first + i) for i in range(30)]))
    assert time.monotonic() - began < 1.0
    made.close()
    assert (made.dropped, made.written) == (210, 90)
    assert ports(tmp_path) == list(range(90))


def test_hours_that_are_over_are_merged(tmp_path: Path) -> None:
    """Batches of a past hour become one file by themselves; those an earlier process left do, too."""
    folder = Partition("2027-01-15T08", "leaf1").folder(tmp_path)
    for number in (1, 2):
        files.write(folder, number, ENCODER.table(judged([flow(src_port=number)])))
    keeper = upkeep.Upkeep(tmp_path, keep=10 * HOUR, most=10**9)
    assert not keeper.step(START + HOUR)
    assert len(files.closed(folder)) == 2
    keeper.step(START + HOUR + upkeep.LATE_SECONDS)
    assert len(files.closed(folder)) == 1
    files.write(folder, 3, ENCODER.table(judged([flow(src_port=3)])))
    keeper.written(Partition("2027-01-15T08", "leaf1"))
    assert keeper.bytes == files.size(folder)
    keeper.step(START + 2 * HOUR)
    assert len(files.closed(folder)) == 1
    assert ports(tmp_path) == [1, 2, 3]
    assert keeper.bytes == files.size(folder)


def test_a_merger_that_fails_is_not_tried_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle of many: after a pause the next try, from where it stood."""
    fill(tmp_path, 2)
    for partition in list(files.partitions(tmp_path)):
        files.write(partition.folder(tmp_path), 2, ENCODER.table(judged([flow(src_port=77)])))
    keeper = upkeep.Upkeep(tmp_path, keep=1000 * HOUR, most=10**9)
    with monkeypatch.context() as patch:
        patch.setattr(files, "_sync", lambda _: os.fsync(9999))
        with pytest.raises(OSError, match="Bad file descriptor"):
            keeper.step(START + 9 * HOUR)
    assert not keeper.step(START + 9 * HOUR + upkeep.PAUSE_SECONDS / 2)
    later = START + 9 * HOUR + upkeep.PAUSE_SECONDS
    while keeper.step(later):
        pass
    assert {len(files.closed(partition.folder(tmp_path))) for partition in files.partitions(tmp_path)} == {1}


def fill(archive: Path, hours: int) -> None:
    for hour in range(hours):
        flows = [flow(at=hour * HOUR, src_port=hour), flow("web2", at=hour * HOUR)]
        for place, table in ENCODER.split(judged(flows)).items():
            files.write(Partition(*place).folder(archive), 1, table)


def test_old_hours_go(tmp_path: Path) -> None:
    """By age: hours that ended longer ago than is kept."""
    fill(tmp_path, 5)
    upkeep.Upkeep(tmp_path, keep=2 * HOUR, most=10**9).step(START + 5 * HOUR)
    assert sorted({p.hour for p in files.partitions(tmp_path)}) == ["2027-01-15T11", "2027-01-15T12"]


def test_the_oldest_hours_go_when_there_is_too_much(tmp_path: Path) -> None:
    """By size, but never the newest one."""
    fill(tmp_path, 5)
    total = sum(files.size(p.folder(tmp_path)) for p in files.partitions(tmp_path))
    keeper = upkeep.Upkeep(tmp_path, keep=1000 * HOUR, most=total // 2)
    keeper.step(START + HOUR)
    assert sorted({p.hour for p in files.partitions(tmp_path)}) == ["2027-01-15T11", "2027-01-15T12"]
    assert keeper.bytes <= total // 2
    upkeep.Upkeep(tmp_path, keep=1000 * HOUR, most=1).step(START + HOUR)
    assert sorted({p.hour for p in files.partitions(tmp_path)}) == ["2027-01-15T12"]


def test_a_folder_that_cannot_be_written_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and told once; when the trouble is over, everything that was kept is written."""
    monkeypatch.setattr(logging.getLogger("dynseg"), "propagate", True)
    blocked = tmp_path / "flows"
    blocked.write_text("a file where the folder should be")
    made = Writer(blocked, settings(0.02), ENCODER)
    made.put(judged([flow(src_port=1)]))
    until(lambda: made.status()["failures"] >= 3, "several attempts")
    assert "cannot write flows" in made.status()["problem"]
    assert len([r for r in caplog.records if "cannot" in r.message]) == 1
    blocked.unlink()
    made.put(judged([flow(src_port=2)]))
    until(lambda: made.status()["written"] == 2, "written after all")
    assert made.status()["problem"] == ""
    made.close()
    assert ports(blocked) == [1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_the_thread_is_told_and_stops_nobody(tmp_path: Path) -> None:
    """A mistake of the program ends the archive, not the analyzer: status says so and rows are counted as dropped."""
    made = Writer(tmp_path, settings(0.01), ENCODER)
    made.put("no rows")  # type: ignore[arg-type]
    until(lambda: made.status()["problem"], "it is told")
    made.put(judged([flow()]))
    assert made.status()["dropped"] == 1
    made.close()


WRITE = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
import resource
import time
from pathlib import Path
from support.archived import ENCODER, flow, judged
from analyzer.archive import upkeep, writer
from analyzer.archive.writer import Writer
from runtime.settings import ArchiveSettings
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
writer.BATCH_ROWS = {batch}
upkeep.PAUSE_SECONDS = {pause}
archive = Writer(Path({folder!r}), ArchiveSettings(batch_seconds={seconds}, keep_days=1e5), ENCODER)
"""
ENDLESS = """
number = {first}
while True:
    # An hour that is over, so that files are merged while others are written.
    archive.put(judged([flow(("web1", "web2")[i % 2], at=-1e7, src_pkts=number + i) for i in range(40)]))
    number += 40
    while archive.status()["waiting"] > 400:
        time.sleep(0.001)
    print(number, archive.status()["written"], flush=True)
"""


def script(root: Path, folder: Path, rest: str, **values: object) -> list[str]:
    """A program that writes flows into an archive in `folder`."""
    known = {"root": str(root), "tests": str(root / "tests"), "folder": str(folder), "limit": resource.RLIM_INFINITY}
    text = (WRITE + rest).format(**{**known, "batch": 120, "seconds": 0.01, "pause": 10, **values})
    return [sys.executable, "-c", text]


@pytest.mark.slow
def test_killed_while_writing_it_loses_the_open_batch_at_most(root_dir: Path, tmp_path: Path) -> None:
    """Killed -9 again and again at any moment, merging included: all that was closed reads back, in order, once."""
    rng = random.Random(5)
    first = 0
    for _ in range(4):
        command = script(root_dir, tmp_path, ENDLESS, first=first, pause=0)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(rng.randint(5, 50))]
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().splitlines()
        assert process.returncode == -signal.SIGKILL
        told = [line.split() for line in [*lines, *rest] if len(line.split()) == 2]
        handed, written = int(told[-1][0]), int(told[-1][1])
        numbers = sorted(query.flows(tmp_path, Filter(), ["src_pkts"]).read_all().column("src_pkts").to_pylist())
        mine = [number for number in numbers if number >= first]
        assert len(set(numbers)) == len(numbers)
        assert len(mine) >= written
        # Handed over in order: what is there is a prefix for each of the two VFNs.
        for vm in (0, 1):
            there = [number for number in mine if number % 2 == vm]
            assert there == list(range(first + vm, first + vm + 2 * len(there), 2))
        first = handed + 100_000
    survivor = Writer(tmp_path, settings(0.01), ENCODER)
    until(lambda: sum(len(files.closed(p.folder(tmp_path))) for p in files.partitions(tmp_path)) == 2, "all is merged")
    until(lambda: not list(tmp_path.rglob(f".*{files.TEMPORARY}")), "halves are gone")
    survivor.close()
    assert sorted(query.flows(tmp_path, Filter(), ["src_pkts"]).read_all().column("src_pkts").to_pylist()) == numbers


FULL = """
import logging
logging.basicConfig()
for number in range(0, 4000, 50):
    archive.put(judged([flow("web1", src_port=number + i) for i in range(50)]))
    while archive.status()["waiting"] > 50 and not archive.status()["failures"]:
        time.sleep(0.001)
while archive.status()["failures"] < 3:
    time.sleep(0.001)
print(archive.status()["written"], archive.status()["failures"])
archive.close()
"""


def test_a_full_disk_corrupts_nothing(root_dir: Path, tmp_path: Path) -> None:
    """A small file system fills up: one line in the log, the process goes on, and what was closed reads back."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        command = script(root_dir, disk / "flows", FULL, batch=50)
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
        written, failures = map(int, done.stdout.split())
        assert "No space left on device" in done.stderr
        assert done.stderr.count("cannot write flows") <= 2, "told once, and at the end what was lost"
        assert failures >= 3
        assert 0 < written < 4000
        assert ports(disk / "flows") == list(range(written))
        assert not list(disk.rglob(f".*{files.TEMPORARY}"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_a_full_disk(root_dir: Path, tmp_path: Path) -> None:
    """The same with a limit on the size of files, for which nobody needs to be root."""
    command = script(root_dir, tmp_path, FULL, batch=50, limit=5000)
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert "File too large" in done.stderr
    assert not list(tmp_path.rglob(f".*{files.TEMPORARY}"))
    assert not list(tmp_path.rglob("*.parquet"))
