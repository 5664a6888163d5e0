"""The analyzer's line to the engine, kept up by threads: the main loop never waits for an engine that is gone."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from pathlib import Path

from runtime.channel import Connection, Message, connect
from runtime.errors import ChannelError

SHORTEST, LONGEST = 0.1, 5.0
"""Pause between two tries to connect, in seconds: doubled each time."""
MOST_WAITING = 4096
"""Messages that wait for an engine that is slow (beyond, the oldest are lost and counted), and for our main loop."""
CONNECTED = "connected"
"""Kind of the message that `received` yields first on each new connection."""

log = logging.getLogger("dynseg.analyzer.engine")


class EngineLink:
    """Connects to the engine's socket, again and again."""

    def __init__(self, path: Path, version: str) -> None:
        self._path = path
        self._hello = Message("hello", {"role": "analyzer", "pid": os.getpid(), "version": version})
        self._incoming: queue.Queue[Message] = queue.Queue(MOST_WAITING)
        self._outgoing: queue.Queue[Message] = queue.Queue(MOST_WAITING)
        self._wake, self._awake = socket.socketpair()
        self._wake.setblocking(False)
        self._awake.setblocking(False)
        self._ending = threading.Event()
        self._connection: Connection | None = None
        self.dropped = 0
        self._thread = threading.Thread(target=self._keep_up, name="engine", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Is the engine there?"""
        return self._connection is not None

    def fileno(self) -> int:
        """Readable whenever `received` has something."""
        return self._awake.fileno()

    def send(self, message: Message) -> None:
        """Queue a message. While the engine is away it is dropped: proposals are asked for again on `CONNECTED`."""
        if self._connection is None:
            self.dropped += 1
            return
        while True:
            try:
                self._outgoing.put_nowait(message)
                return
            except queue.Full:
                self._outgoing.get_nowait()
                self.dropped += 1

    def received(self) -> list[Message]:
        """All messages that came since the last call."""
        try:
            while self._awake.recv(4096):
                pass
        except BlockingIOError:
            pass
        messages = []
        while not self._incoming.empty():
            messages.append(self._incoming.get_nowait())
        return messages

    def close(self) -> None:
        """End the threads."""
        self._ending.set()
        if self._connection is not None:
            self._connection.close()
        self._thread.join(timeout=2)
        self._wake.close()
        self._awake.close()

    def _keep_up(self) -> None:
        pause = SHORTEST
        while not self._ending.is_set():
            try:
                connection = connect(self._path)
                connection.send(self._hello)
            except ChannelError as error:
                log.debug("%s; trying again in %.1f s", error, pause)
                self._ending.wait(pause)
                pause = min(2 * pause, LONGEST)
                continue
            pause = SHORTEST
            self._converse(connection)

    def _converse(self, connection: Connection) -> None:
        while not self._outgoing.empty():
            self._outgoing.get_nowait()
        self._connection = connection
        gone = threading.Event()
        writer = threading.Thread(target=self._write, args=(connection, gone), name="engine-send", daemon=True)
        writer.start()
        self._put(Message(CONNECTED))
        try:
            while (message := connection.receive()) is not None:
                self._put(message)
            log.info("the engine closed the connection")
        except ChannelError as error:
            log.warning("lost the engine: %s", error)
        self._connection = None
        gone.set()
        connection.close()
        writer.join()

    def _write(self, connection: Connection, gone: threading.Event) -> None:
        while not gone.is_set():
            try:
                connection.send(self._outgoing.get(timeout=0.5))
            except queue.Empty:
                continue
            except ChannelError as error:
                log.debug("%s", error)
                connection.close()  # the reader sees the end
                return

    def _put(self, message: Message) -> None:
        """Hand over to the main loop; where that is behind, the engine's messages wait in the socket."""
        while not self._ending.is_set():
            try:
                self._incoming.put(message, timeout=0.5)
                break
            except queue.Full:
                continue
        try:
            self._wake.send(b"x")
        except BlockingIOError:
            log.debug("the main loop has %d messages waiting", self._incoming.qsize())
