"""Messages that leave only when what was written before them is on the disk, which is waited for beside the loop.

A disk takes some milliseconds to be sure, at times a second. Meanwhile the loop goes on, and what it writes is made
sure of next time. What contains an attack does not wait for it: such a message leaves once what tells of it was
written, ahead of all but messages to the same VFN. See "Store and audit" in docs/architecture.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

from policies.aside import Worker
from policies.store import Store

LINGER_SECONDS = 0.02
"""So long what no message waits for goes on waiting for more that goes to the disk with it."""


class Safely:
    """Messages in their order, on their way out.

    Args:
        store: what is written there in `together(durable=False)` has to be on the disk before what comes after it.
        disk: waits for the disk, and does nothing else.
        tidier: keeps the store's log short, which waits for the disk, too.
        hurried: of a message, may it leave before the disk is sure?
        lane: of a message, where it must not overtake another.
    """

    def __init__(
        self,
        store: Store,
        disk: Worker,
        tidier: Worker,
        hurried: Callable[[Any], bool],
        lane: Callable[[Any], Hashable],
    ) -> None:
        self._store = store
        self._disk = disk
        self._tidier = tidier
        self._tidying = False
        self._hurried = hurried
        self._lane = lane
        self._waiting: list[Any] = []
        self._syncing = False
        self._last = 0.0
        """When the disk was last waited for, or all was on it already."""

    @property
    def busy(self) -> bool:
        """Is the disk waited for just now?"""
        return self._syncing or self._tidying

    @property
    def ready(self) -> bool:
        """Has it become sure of something?"""
        return self._disk.ready

    def leave(self, messages: list[Any]) -> list[Any]:
        """Take these, written about already; returns those that may leave now, those of a lane in their order.

        Raises:
            AuditError: the disk does not take what was written.
        """
        leaving = self._disk.finished()
        self._tidier.finished()
        if not self._syncing and not self._store.unsafe:
            self._last = time.monotonic()
            return [*leaving, *self._take(len(self._waiting)), *messages]
        leaving += self._overtaking(messages)
        if not self._syncing and (self._waiting or not self.seconds()):
            self._begin()
        return leaving

    def _overtaking(self, messages: list[Any]) -> list[Any]:
        """Those that do not wait; the others do from now on."""
        leaving, lanes = [], set(map(self._lane, self._waiting))
        for message in messages:
            lane = self._lane(message)
            if self._hurried(message) and lane not in lanes:
                leaving.append(message)
            else:
                lanes.add(lane)
                self._waiting.append(message)
        return leaving

    def seconds(self) -> float | None:
        """Until `leave` will have something to do; None: until it is `ready`, or there are messages."""
        if self._syncing or not self._store.unsafe:
            return None
        return max(0.0, self._last + LINGER_SECONDS - time.monotonic())

    def _begin(self) -> None:
        count, self._syncing = len(self._waiting), True
        self._disk(self._store.sync(), lambda _: self._done(count))
        if not self._tidying and (tidy := self._store.tidy()) is not None:
            self._tidying = True
            self._tidier(tidy, self._tidied)

    def _tidied(self, _: None) -> list[Any]:
        self._tidying = False
        return []

    def _done(self, count: int) -> list[Any]:
        self._syncing, self._last = False, time.monotonic()
        return self._take(count)

    def _take(self, count: int) -> list[Any]:
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken
