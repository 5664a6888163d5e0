"""How a process ends: because it is told to, or because nobody has needed it for a while."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ORPHAN_SECONDS = 30.0
"""Without control for so long, a process ends; the switches go on by themselves."""


class Ending:
    """Whether SIGTERM or SIGINT has come."""

    def __init__(self, file: socket.socket) -> None:
        self.asked = False
        self._file = file

    def fileno(self) -> int:
        """A file that is readable from the first signal on."""
        return self._file.fileno()

    def come(self, *_: object) -> None:
        """One has come."""
        self.asked = True


@contextmanager
def on_signals() -> Iterator[Ending]:
    """Have SIGTERM and SIGINT interrupt nothing: a loop of the main thread asks whether they came.

    Their coming ends a wait of the server that watches the file (`runtime.channel.Server.watch`) at once.
    """
    with ExitStack() as stack:
        reader, writer = map(stack.enter_context, socket.socketpair())
        writer.setblocking(False)
        ending = Ending(reader)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False))
        for number in SIGNALS:
            stack.callback(signal.signal, number, signal.signal(number, ending.come))
        yield ending


class Company:
    """Who needs this process; at first nobody."""

    def __init__(self) -> None:
        self._there: set[object] = set()
        self._alone_since = time.monotonic()

    def __bool__(self) -> bool:
        return bool(self._there)

    def came(self, peer: object) -> None:
        """Somebody needs it from now on."""
        self._there.add(peer)

    def left(self, peer: object) -> None:
        """Somebody has gone, who may never have needed it."""
        if peer in self._there:
            self._there.remove(peer)
            self._alone_since = time.monotonic()

    def missed(self) -> bool:
        """Has nobody been there for `ORPHAN_SECONDS`? Then the process is to end."""
        return not self._there and time.monotonic() > self._alone_since + ORPHAN_SECONDS
