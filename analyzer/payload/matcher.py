"""The analyzer's end of the process that searches: a bounded number of packets wait for it, and for a bounded time."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from analyzer.payload.worker import LARGEST, Match
from runtime.channel import Message, decode, encode
from runtime.errors import ChannelError

MOST_WAITING = 64
"""Packets that wait for an answer; what is over it is not looked at, and counted."""
PATIENCE = 4.0
"""Seconds after which a process that does not answer is ended, and another one started."""

log = logging.getLogger("dynseg.analyzer.payload")
T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What was found in one payload."""

    about: T
    matches: tuple[Match, ...]
    wrong: Mapping[str, str]
    """Files that could not be used, and why."""


class Matcher(Generic[T]):
    """Hands payload to the process and takes its answers. The process runs while there is something to search for.

    Args:
        folder: of the patterns; None: there are none.
        key: file of the key of hashes.
    """

    def __init__(self, folder: Path | None, key: Path) -> None:
        self._command = [sys.executable, "-m", "analyzer.payload.worker"]
        self._ends = ["" if folder is None else str(folder), str(key)]
        self._child: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._answers: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()
        self._waiting: dict[int, tuple[float, T]] = {}
        self._number = 0
        self.searched = 0
        self.shed = 0
        self.given_up = 0

    @cached_property
    def _bell(self) -> int:
        """A file (eventfd(2)) that is readable from an answer's coming until `answers` is called."""
        return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Readable whenever `answers` has something."""
        return self._bell

    @property
    def running(self) -> bool:
        """Is there a process?"""
        return self._child is not None

    def search(
        self, about: T, payload: bytes, wanted: Mapping[str, Iterable[str]], digests: Mapping[str, str], now: float
    ) -> None:
        """Have payload searched; never waits. Arguments as `worker.Searcher.search`; `now` in steady seconds."""
        self.check(now)
        if len(self._waiting) >= MOST_WAITING:
            self.shed += 1
            return
        self._number += 1
        asked = {"number": self._number, "wanted": {f: list(r) for f, r in wanted.items()}, "digests": dict(digests)}
        try:
            data = encode(Message("search", asked, payload))
            if self._sock is None:
                self._sock = self._start()
            self._sock.send(data, socket.MSG_DONTWAIT)
        except (BlockingIOError, ChannelError):
            self.shed += 1
            return
        except OSError as error:
            log.warning("the process that searches payload is gone (%s): it is started anew", error.strerror)
            self._abandon()
            return
        self._waiting[self._number] = now, about

    def answers(self) -> list[Answer[T]]:
        """All answers that came since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        found = []
        while not self._answers.empty():
            pid, message = self._answers.get_nowait()
            if self._child is None or pid != self._child.pid:
                continue
            if message is None:
                log.warning("the process that searches payload has ended: it is started anew")
                self._abandon()
            elif (asked := self._waiting.pop(message.data["number"], None)) is not None:
                self.searched += 1
                matches = tuple(Match(*values) for values in message.data["matches"])
                found.append(Answer(asked[1], matches, message.data["wrong"]))
        return found

    def check(self, now: float) -> None:
        """End a process that does not answer any more."""
        oldest = next(iter(self._waiting.values()), None)
        if oldest is not None and now > oldest[0] + PATIENCE:
            log.warning(
                "searching payload took more than %.0f s: given up, with %d waiting", PATIENCE, len(self._waiting)
            )
            self._abandon()

    def rest(self) -> None:
        """There is nothing to search for any more: end the process, and forget what waits for it."""
        self._end()
        self._waiting.clear()

    def close(self) -> None:
        """End the process for good."""
        self.rest()
        if "_bell" in self.__dict__:
            os.close(self.__dict__.pop("_bell"))

    def status(self) -> dict[str, Any]:
        """For people."""
        counts = {"searched": self.searched, "shed": self.shed, "given_up": self.given_up}
        return {"running": self.running, "waiting": len(self._waiting), **counts}

    def _abandon(self) -> None:
        self.given_up += len(self._waiting)
        self.rest()

    def _start(self) -> socket.socket:
        """A new process. What it might print goes nowhere."""
        own, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._child = subprocess.Popen(
                [*self._command, str(its.fileno()), *self._ends],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self._reader = threading.Thread(
            target=self._read, args=(own.dup(), self._child.pid, self._bell), name="payload", daemon=True
        )
        self._reader.start()
        return own

    def _read(self, sock: socket.socket, pid: int, bell: int) -> None:
        """In a thread: take answers until the process is gone."""
        with sock:
            while True:
                try:
                    data = sock.recv(LARGEST)
                    message = decode(bytearray(data)) if data else None
                except (OSError, ChannelError):
                    message = None
                self._answers.put((pid, message))
                os.eventfd_write(bell, 1)
                if message is None:
                    return

    def _end(self) -> None:
        if self._child is None or self._sock is None or self._reader is None:
            return
        self._child.kill()
        self._child.wait()
        self._sock.close()
        self._reader.join()
        self._child = self._sock = self._reader = None
