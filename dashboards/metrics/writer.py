"""The thread that writes points. Whoever makes them only hands them over, and never waits.

Every point that was handed over is, at any moment, exactly one of: waiting, written (the database has confirmed it),
refused (it would not have it), or dropped (there was no room while it was away, or no time at the end).
A request that got no answer is repeated as it was: the same point of the same moment, written twice, is one.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dashboards.metrics.target import Answer, Fate

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a request is repeated: doubled each time, and up to half of it left out by chance."""
LONGEST_WISH = 300.0
"""Seconds that a database may ask us to wait."""
MOST_TRIES = 200
"""Requests to find the points of a batch that the database would not have; what is left then counts as refused."""
COMPLAIN_SECONDS = 60.0
"""Between two lines in the log about the same trouble."""

LOG = logging.getLogger("dynseg.metrics.writer")


@dataclass(frozen=True)
class Counts:
    """Points, since the writer began."""

    accepted: int = 0
    """Handed over; the sum of the four below."""
    waiting: int = 0
    written: int = 0
    refused: int = 0
    dropped: int = 0
    bytes: int = 0
    """Of the requests that were confirmed."""
    retries: int = 0
    """Requests that were to be repeated."""
    slowest_seconds: float = 0.0
    """The slowest confirmed request since `Writer.counts` was last asked to begin anew."""
    clock_offset: float | None = None
    problem: str = ""
    """Why the last request was not confirmed; empty when it was."""


@dataclass(frozen=True)
class _Batch:
    lines: Sequence[str]
    body: bytes

    @classmethod
    def of(cls, lines: Sequence[str]) -> _Batch:
        return cls(lines, "\n".join(lines).encode())


class Writer:
    """Writes in batches, in the order of the points' coming.

    Args:
        send: one request; waits for its answer.
        batch_points: points of a request.
        most_bytes: of line protocol that may wait; when more comes the oldest batches are dropped.
    """

    def __init__(self, send: Callable[[bytes], Answer], batch_points: int, most_bytes: int) -> None:
        self._send = send
        self._batch_points = batch_points
        self._most_bytes = most_bytes
        self._news = threading.Condition()
        self._waiting: deque[_Batch] = deque()
        self._held = 0
        self._counts = Counts()
        self._deadline: float | None = None
        self._complained = float("-inf")
        self._thread = threading.Thread(target=self._run, name="metrics-writer", daemon=True)
        self._thread.start()

    def put(self, lines: Sequence[str]) -> None:
        """Hand points over. Never waits for the database."""
        batches = [_Batch.of(lines[i : i + self._batch_points]) for i in range(0, len(lines), self._batch_points)]
        with self._news:
            self._count(accepted=len(lines), waiting=len(lines))
            for batch in batches:
                self._held += len(batch.body)
                self._waiting.append(batch)
            while self._held > self._most_bytes and self._waiting:
                lost = self._waiting.popleft()
                self._held -= len(lost.body)
                self._count(waiting=-len(lost.lines), dropped=len(lost.lines))
            self._news.notify()

    def counts(self, *, anew: bool = False) -> Counts:
        """What has become of all points; `anew`: the slowest request is looked for afresh from now on."""
        with self._news:
            counts = self._counts
            if anew:
                self._counts = replace(counts, slowest_seconds=0.0)
            return counts

    @property
    def held_bytes(self) -> int:
        """Line protocol that waits, but for the request under way."""
        return self._held

    def close(self, seconds: float) -> None:
        """Write what waits for so long at most, and end the thread; what is left is dropped."""
        with self._news:
            self._deadline = time.monotonic() + seconds
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._write(batch)
        with self._news:
            left = sum(len(batch.lines) for batch in self._waiting)
            self._waiting.clear()
            self._count(waiting=-left, dropped=left)
        if left:
            LOG.error("%d points could not be written before the end: %s", left, self._counts.problem)

    def _next(self) -> _Batch | None:
        """The oldest batch, as soon as there is one; None when it is time to end."""
        with self._news:
            while not self._waiting:
                if self._deadline is not None:
                    return None
                self._news.wait()
            if self._ended():
                return None
            batch = self._waiting.popleft()
            self._held -= len(batch.body)
            return batch

    def _write(self, batch: _Batch) -> None:
        """Write a batch; where the database would not have it, its halves, until only the bad points are left."""
        pieces, tries = [batch], 0
        while pieces:
            piece = pieces.pop()
            answer = self._confirmed(piece)
            tries += 1
            if answer is None:
                self._settle(sum(len(one.lines) for one in (piece, *pieces)), dropped=True)
                return
            if answer.fate is Fate.TAKEN:
                LOG.debug("%d points, %d bytes are written", len(piece.lines), len(piece.body))
                refused = min(answer.refused, len(piece.lines))
                self._settle(len(piece.lines), refused=refused, size=len(piece.body))
                if refused:
                    self._complain(f"{refused} points were refused: {answer.reason}")
            elif len(piece.lines) > 1 and tries < MOST_TRIES:
                pieces += reversed(_halves(piece))
            else:
                self._settle(len(piece.lines), refused=len(piece.lines))
                self._complain(f"{len(piece.lines)} points were refused: {answer.reason}; the first: {piece.lines[0]}")

    def _confirmed(self, batch: _Batch) -> Answer | None:
        """The database's last word on a batch, asked for again and again; None: it is time to end."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            answer = self._send(batch.body)
            took = time.monotonic() - began
            self._note(answer, took)
            if answer.fate is not Fate.LATER:
                return answer
            self._complain(f"the database does not take points: {answer.reason}")
            wait = pause * random.uniform(0.5, 1.0)
            if answer.retry_after is not None:
                wait = max(wait, min(answer.retry_after, LONGEST_WISH))
            if self._rest(wait):
                return None
            pause = min(2 * pause, LONGEST_PAUSE)

    def _rest(self, seconds: float) -> bool:
        """Wait, but no longer than there is time; is it time to end?"""
        with self._news:
            self._news.wait_for(lambda: self._deadline is not None, timeout=seconds)
            if self._deadline is None:
                return False
            left = self._deadline - time.monotonic()
        if left > 0:
            time.sleep(min(left, seconds, FIRST_PAUSE))
        return self._ended()

    def _ended(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _note(self, answer: Answer, seconds: float) -> None:
        with self._news:
            later = answer.fate is Fate.LATER
            slowest = self._counts.slowest_seconds if later else max(self._counts.slowest_seconds, seconds)
            offset = self._counts.clock_offset if answer.clock_offset is None else answer.clock_offset
            self._counts = replace(
                self._counts,
                slowest_seconds=slowest,
                clock_offset=offset,
                problem="" if answer.fate is Fate.TAKEN else answer.reason,
                retries=self._counts.retries + later,
            )

    def _settle(self, points: int, *, refused: int = 0, size: int = 0, dropped: bool = False) -> None:
        """So many points wait no longer."""
        with self._news:
            if dropped:
                self._count(waiting=-points, dropped=points)
            else:
                self._count(waiting=-points, written=points - refused, refused=refused, bytes=size)

    def _count(self, **more: int) -> None:
        counts = self._counts
        self._counts = replace(counts, **{name: getattr(counts, name) + by for name, by in more.items()})

    def _complain(self, what: str) -> None:
        if time.monotonic() >= self._complained + COMPLAIN_SECONDS:
            self._complained = time.monotonic()
            counts = self._counts
            LOG.error(
                "%s (%d points wait, %d refused and %d dropped so far)",
                *(what, counts.waiting, counts.refused, counts.dropped),
            )


def _halves(batch: _Batch) -> list[_Batch]:
    middle = len(batch.lines) // 2
    return [_Batch.of(batch.lines[:middle]), _Batch.of(batch.lines[middle:])]
