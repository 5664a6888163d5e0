"""A TCP port in front of another that lets through so many bytes, and then nothing until it is opened again."""

from __future__ import annotations

import contextlib
import socket
import threading

from support.control import free_port


class Severing:
    """Listens at `port` and forwards to a port of this machine.

    Args:
        target: where to.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.passed = bytearray()
        """What has come from the target since `sever_after` was called."""
        self._target = target
        self._left: int | None = None
        self.severed = threading.Event()
        self.listen()

    def listen(self) -> None:
        """Take connections."""
        self.severed.clear()
        self._left = None
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def sever_after(self, count: int) -> None:
        """Let so many bytes from the target through, then close everything; who connects then finds nobody."""
        self.passed.clear()
        self._left = count

    def close(self) -> None:
        """Close everything."""
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.severed.set()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [near, far]
                threading.Thread(target=_copy, args=(near, far), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(4096):
                if self._left is not None:
                    data = data[: self._left]
                    self._left -= len(data)
                    self.passed += data
                near.sendall(data)
                if self._left == 0:
                    self.close()
                    return
            near.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
