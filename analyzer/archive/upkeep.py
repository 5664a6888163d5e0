"""Keeping the archive small: merges the files of hours that are over, and lets the oldest hours go."""

from __future__ import annotations

import logging
from pathlib import Path

from analyzer.archive import files
from analyzer.archive.files import Partition
from runtime.errors import ArchiveError

LATE_SECONDS = 120.0
"""An hour's files are merged so long after its end: its last flows are written a little later."""
PAUSE_SECONDS = 10.0
"""Between two looks at what is over or too old."""

log = logging.getLogger("dynseg.analyzer.archive")


class Upkeep:
    """Knows how large each partition is and which ones are to be merged. Used by one thread.

    Args:
        archive: the folder.
        keep: seconds after which an hour goes.
        most: bytes of the whole archive; beyond, the oldest hours go. The newest one stays.
    """

    def __init__(self, archive: Path, keep: float, most: int) -> None:
        self._archive = archive
        self._keep = keep
        self._most = most
        self._sizes: dict[Partition, int] | None = None
        self._unmerged: set[Partition] = set()
        self._looked = float("-inf")
        self.bytes = 0
        """Of the whole archive, once it has been looked at."""

    def written(self, partition: Partition) -> None:
        """A file has come into a partition."""
        self._unmerged.add(partition)
        self._measure(partition)

    def step(self, now: float) -> bool:
        """Do a piece of what is to be done at `now` (epoch seconds); True when there is more to do at once.

        Raises:
            OSError: a file or folder could not be written or removed; it is tried again later.
        """
        if abs(now - self._looked) < PAUSE_SECONDS:
            return False
        self._looked = now
        if self._sizes is None:
            self._take_stock()
        self._expire(now)
        over = sorted(partition for partition in self._unmerged if partition.over + LATE_SECONDS <= now)
        if over:
            self._merge(over[0])
        if len(over) < 2:
            return False
        self._looked = float("-inf")
        return True

    def _take_stock(self) -> None:
        """Whatever an earlier process left, half-done mergers included."""
        there = list(files.partitions(self._archive))
        self._sizes = {}
        for partition in there:
            self._measure(partition)
            if files.is_untidy(partition.folder(self._archive)):
                self._unmerged.add(partition)

    def _measure(self, partition: Partition) -> None:
        if self._sizes is not None:
            here = files.size(partition.folder(self._archive))
            self.bytes += here - self._sizes.get(partition, 0)
            self._sizes[partition] = here

    def _merge(self, partition: Partition) -> None:
        try:
            files.merge(partition.folder(self._archive))
        except ArchiveError as error:
            log.warning("%s; the files of its hour are not merged", error)
        self._unmerged.discard(partition)
        self._measure(partition)

    def _expire(self, now: float) -> None:
        """Remove hours that are too old, and the oldest ones while there is too much."""
        assert self._sizes is not None
        hours = sorted({partition.hour for partition in self._sizes})
        for hour in hours:
            gone = [partition for partition in self._sizes if partition.hour == hour]
            old = gone[0].over + self._keep <= now
            if not old and (self.bytes <= self._most or hour == hours[-1]):
                return
            log.info("hour %s leaves the archive: it is %s", hour, "old enough" if old else "the oldest of too much")
            files.remove_hour(self._archive, hour)
            for partition in gone:
                self.bytes -= self._sizes.pop(partition)
                self._unmerged.discard(partition)
