"""A session with a bridge's management socket, and the time that things take over it."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from benchmarks.management import ERROR, MULTIPART_REPLY, Management
from mininet_labs.errors import LabError
from ryu_apps.wire import flowmod, multipart, stats
from ryu_apps.wire.bundle import stage

PATIENCE_SECONDS = 60.0


class Connection:
    """One session. Errors of the switch are errors of the measurement."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._management = Management(bridge, PATIENCE_SECONDS)
        self.reports: list[bytes] = []
        """What a flow monitor has reported; for whoever reads it to clear."""

    def send(self, messages: bytes) -> float:
        """Send messages and a barrier, and wait for its reply; returns the seconds that took.

        Raises:
            LabError: the switch refused one of them, or went away.
        """
        begin = time.perf_counter()
        for _ in self._until_barrier(messages):
            pass
        return time.perf_counter() - begin

    def transact(self, bundle: bytes) -> float:
        """Send a bundle as the product does: a barrier, and the commit only after its reply; returns the seconds."""
        staged = stage(bundle)
        return self.send(staged.prepare) + (self.send(staged.commit) if staged.commit else 0.0)

    def stream(self, pieces: Iterable[bytes]) -> None:
        """Send a bundle piece by piece as they are made, so that the switch works meanwhile; the last is the commit."""
        waiting = b""
        for piece in pieces:
            self._management.send(waiting)
            waiting = piece
        self.send(b"")
        self.send(waiting)

    def ask(self, requests: bytes) -> list[multipart.Part]:
        """Send multipart requests; the parts of all replies."""
        return [multipart.split(message) for message in self._until_barrier(requests) if message[1] == MULTIPART_REPLY]

    def entries(self) -> bytes:
        """Flow statistics of every entry, raw."""
        return b"".join(part.body for part in self.ask(stats.request(1)))

    def clear(self) -> None:
        """Delete every entry."""
        self.send(flowmod.delete_by_cookie(0, 0, 1))

    def close(self) -> None:
        """End the session."""
        self._management.close()

    def _until_barrier(self, messages: bytes) -> Iterator[bytes]:
        """Send; then what comes back before the barrier's reply, message by message."""
        for message in self._management.exchange(messages):
            if message[1] == ERROR:
                kind, code = struct.unpack_from("!HH", message, flowmod.HEADER.size)
                raise LabError(f"bridge {self._bridge} answers with error type {kind} code {code}")
            if message[1] == MULTIPART_REPLY and not (part := multipart.split(message)).xid:
                self.reports.append(part.body)
            else:
                yield message


@contextmanager
def connection(bridge: str) -> Iterator[Connection]:
    """A session that ends with the block."""
    session = Connection(bridge)
    try:
        yield session
    finally:
        session.close()
