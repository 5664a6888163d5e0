"""The thread that writes the archive. Whoever judges only hands rows over, and never waits.

Rows are gathered in an open batch, which is closed (`files.write`) when it is large or old enough. What cannot be
written is kept and tried again; rows beyond `MOST_HELD` are dropped and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from analyzer.archive import files
from analyzer.archive.files import Partition
from analyzer.archive.schema import Encoder, Judged
from analyzer.archive.upkeep import Upkeep
from runtime.settings import ArchiveSettings

BATCH_ROWS = 200_000
"""A batch of so many rows is closed at once."""
MOST_HELD = 1_000_000
"""Rows that wait or could not be written yet, at most: some 200 MB."""
COMPLAIN_SECONDS = 60.0
"""Between two lines in the log about the same trouble."""

log = logging.getLogger("dynseg.analyzer.archive")


class Writer:
    """The archive's writing end."""

    def __init__(self, folder: Path, settings: ArchiveSettings, encoder: Encoder) -> None:
        """Start the thread. Whether `folder` can be written shows with the first batch."""
        self._folder = folder
        self._seconds = settings.batch_seconds
        self._encoder = encoder
        self._upkeep = Upkeep(folder, settings.keep_days * 86400.0, int(settings.most_gigabytes * 1e9))
        self._news = threading.Condition()
        self._waiting: deque[Judged] = deque()
        self._held = 0
        self._closing = False
        self._open: dict[Partition, list[pa.Table]] = defaultdict(list)
        self._due = time.monotonic() + self._seconds
        self._more = False
        self._number = 0
        self._complained = float("-inf")
        self._problem = ""
        self.written = 0
        self.dropped = 0
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()

    def put(self, judged: Judged) -> None:
        """Hand rows over. Never blocks; rows for which there is no room are dropped and counted."""
        if not len(judged):
            return
        with self._news:
            if not self._thread.is_alive() or self._held + len(judged) > MOST_HELD:
                self.dropped += len(judged)
                return
            self._held += len(judged)
            self._waiting.append(judged)
            self._news.notify()

    def status(self) -> dict[str, Any]:
        """Rows written, held and dropped, attempts that failed and why the last one did ("" when all is well)."""
        ended = "" if self._thread.is_alive() else "its thread has ended, see the log"
        return {
            "written": self.written,
            "waiting": self._held,
            "dropped": self.dropped,
            "failures": self.failures,
            "bytes": self._upkeep.bytes,
            "problem": ended or self._problem,
        }

    def close(self) -> None:
        """Write what waits, once, and end the thread."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()
        if self._held:
            log.error("%d flows could not be archived before the end: %s", self._held, self._problem)

    def _run(self) -> None:
        while True:
            judged, closing = self._next()
            for part in judged:
                self._gather(part)
            if closing or time.monotonic() >= self._due or self._rows() >= BATCH_ROWS:
                self._close_batch()
                self._due = time.monotonic() + self._seconds
            if closing:
                return
            self._more = False
            self._guarded("keep the archive in order", self._look_after)

    def _next(self) -> tuple[list[Judged], bool]:
        """What has come in, as soon as something has or something is due."""
        with self._news:
            if not self._waiting and not self._closing and not self._more:
                self._news.wait(max(0.0, self._due - time.monotonic()))
            judged = list(self._waiting)
            self._waiting.clear()
            return judged, self._closing

    def _look_after(self) -> None:
        self._more = self._upkeep.step(time.time())

    def _gather(self, judged: Judged) -> None:
        for place, table in self._encoder.split(judged).items():
            self._open[Partition(*place)].append(table)

    def _rows(self) -> int:
        return sum(len(table) for tables in self._open.values() for table in tables)

    def _close_batch(self) -> None:
        """Write each partition of the open batch; what cannot be written stays open."""
        self._number = max(self._number + 1, int(time.time() * 1000))
        for partition in list(self._open):
            if not self._guarded("write flows", lambda place=partition: self._write(place)):  # type: ignore[misc]
                return
            self._problem = ""

    def _write(self, partition: Partition) -> None:
        table = pa.concat_tables(self._open[partition]).unify_dictionaries()
        folder = partition.folder(self._folder)
        files.write(folder, self._number, table)
        self._upkeep.written(partition)
        del self._open[partition]
        with self._news:
            self._held -= len(table)
            self.written += len(table)

    def _guarded(self, what: str, action: Callable[[], None]) -> bool:
        """Do it. A disk that is full, or anything else about files, is counted and told now and then."""
        try:
            action()
            return True
        except OSError as error:
            self._problem = f"cannot {what}: {error}"
        self.failures += 1
        if time.monotonic() >= self._complained + COMPLAIN_SECONDS:
            self._complained = time.monotonic()
            log.error("%s (%d times so far, %d flows dropped)", self._problem, self.failures, self.dropped)
        return False
