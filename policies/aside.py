"""Long work beside the engine's loop: reading a large policy takes seconds, and an isolation must not wait for it."""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

SWITCH_SECONDS = 0.0001
"""So soon the loop has its turn while the worker computes. It asks for one a dozen times for each isolation, after
every call to the database: Python's own 5 ms would be felt, and so would one."""
WAY_SECONDS = 0.25
"""So long, in all, a piece of work lets the loop go first. It is done in the end, however busy the loop stays."""
Work = Callable[[], Any]
Then = Callable[[Any], list[Any]]


class Aside(Protocol):
    """Carries out `work`, which touches nothing that others change, and gives its result to `then`.

    Returns what `then` returned; nothing, if the work is still to be done.
    """

    def __call__(self, work: Work, then: Then) -> list[Any]:
        """Do it, or see to it that it is done."""


def at_once(work: Work, then: Then) -> list[Any]:
    """An `Aside` that does it now."""
    return then(work())


class Way:
    """The loop's right of way over work aside, where both compute: Python runs one of them at a time, in turns.

    What takes a loop half of its time would take all of it while somebody works aside, and what comes then would pile
    up. So work stops at places of its own choosing while the loop has something pressing.
    """

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()
        self._left = 0.0

    def claim(self, pressing: bool) -> None:
        """The loop has something pressing to do, or no longer."""
        if pressing:
            self._free.clear()
        else:
            self._free.set()

    def begin(self) -> None:
        """A piece of work begins; one at a time."""
        self._left = WAY_SECONDS

    def give(self) -> None:
        """Let the loop go first."""
        if self._free.is_set() or self._left <= 0:
            return
        began = time.monotonic()
        self._free.wait(self._left)
        self._left -= time.monotonic() - began


class Worker:
    """An `Aside` with a thread, for a loop that waits for `fileno` and then calls `finished`."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Work, Then]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Callable[[], list[Any]]] = queue.SimpleQueue()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        sys.setswitchinterval(SWITCH_SECONDS)
        # A daemon: the end of the process does not wait for what nobody will hear of.
        threading.Thread(target=self._run, name="aside", daemon=True).start()

    def __call__(self, work: Work, then: Then) -> list[Any]:
        """Have the thread do it when it has done what it was given before."""
        self._waiting.put((work, then))
        return []

    @property
    def fileno(self) -> int:
        """Readable when there is something for `finished`."""
        return self._reader.fileno()

    @property
    def ready(self) -> bool:
        """Has `finished` something to give?"""
        return not self._done.empty()

    def finished(self) -> list[Any]:
        """What follows from the work that is done; raises what that work raised."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        outgoing: list[Any] = []
        while not self._done.empty():
            outgoing += self._done.get()()
        return outgoing

    def _run(self) -> None:
        while True:
            work, then = self._waiting.get()
            self._done.put(_outcome(work, then))
            self._writer.send(b"\0")


def _outcome(work: Work, then: Then) -> Callable[[], list[Any]]:
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - the loop's thread raises it
        failure = error

        def fail() -> list[Any]:
            raise failure

        return fail
    return lambda: then(result)
