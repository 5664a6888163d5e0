"""Messages between the three processes, over Unix sockets.

A message is a kind, a JSON object and an optional block of bytes (OpenFlow messages, numpy arrays). On the wire:
``!II`` (length of the JSON text, length of the body), the JSON text ``{"kind": ..., "data": ...}``, the body.

`Connection` is the blocking end: it works in plain threads and, since it only uses `socket`, under eventlet's
green sockets. `Server` is the many-peers end for a single-threaded process: it never blocks on a peer, and a peer
that does not read is dropped when its outgoing buffer is full rather than slowing the process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import ChannelError

_LENGTHS = struct.Struct("!II")
_CREDENTIALS = struct.Struct("3i")
MAX_JSON = 64 << 20
MAX_BODY = 256 << 20
MAX_OUTGOING = 64 << 20


@dataclass(frozen=True)
class Message:
    """One message: what it is, its fields, and bytes that are not worth spelling in JSON."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""


def encode(message: Message) -> bytes:
    """Bytes of a message as they stand on the wire."""
    text = json.dumps({"kind": message.kind, "data": dict(message.data)}, separators=(",", ":")).encode()
    return b"".join((_LENGTHS.pack(len(text), len(message.body)), text, message.body))


def decode(buffer: bytearray) -> Message | None:
    """Take one message off the front of `buffer`, or None when it is not whole yet.

    Raises:
        ChannelError: what is there cannot be a message.
    """
    if len(buffer) < _LENGTHS.size:
        return None
    text_length, body_length = _LENGTHS.unpack_from(buffer)
    if text_length > MAX_JSON or body_length > MAX_BODY:
        raise ChannelError(f"message of {text_length} + {body_length} bytes is over the limit")
    end = _LENGTHS.size + text_length + body_length
    if len(buffer) < end:
        return None
    middle = _LENGTHS.size + text_length
    try:
        raw = json.loads(bytes(buffer[_LENGTHS.size : middle]))
        message = Message(raw["kind"], raw["data"], bytes(buffer[middle:end]))
    except (ValueError, KeyError, TypeError) as error:
        raise ChannelError(f"not a message: {error}") from error
    del buffer[:end]
    return message


class Connection:
    """The blocking end of a channel. `send` may be called from several threads; `receive` from one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            ChannelError: the other end is gone.
        """
        data = encode(message)
        try:
            with self._sending:
                self._sock.sendall(data)
        except OSError as error:
            raise ChannelError(f"cannot send {message.kind}: {error}") from error

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other end has closed.

        Raises:
            ChannelError: rubbish came in, or a message was cut.
        """
        while (message := decode(self._buffer)) is None:
            try:
                chunk = self._sock.recv(1 << 18)
            except OSError as error:
                raise ChannelError(f"cannot receive: {error}") from error
            if not chunk:
                if self._buffer:
                    raise ChannelError(f"connection closed within a message ({len(self._buffer)} bytes of it came)")
                return None
            self._buffer += chunk
        return message

    def peer_pid(self) -> int:
        """Process id of the other end, as the kernel knows it (for a connection made by `connect`: who listens)."""
        credentials = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid: int = _CREDENTIALS.unpack(credentials)[0]
        return pid

    def close(self) -> None:
        """Close at once; a `receive` that waits in another thread ends."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def connect(path: Path, timeout: float = 0.0) -> Connection:
    """Connect to the process that listens at `path`, trying for up to `timeout` seconds.

    Raises:
        ChannelError: nobody listens there.
    """
    deadline = time.monotonic() + timeout
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            if time.monotonic() >= deadline:
                raise ChannelError(f"nobody listens at {path}: {error}") from error
            time.sleep(0.05)
        else:
            return Connection(sock)


@dataclass
class Peer:
    """One connected process, as the server sees it."""

    number: int
    sock: socket.socket
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)
    closed: bool = False


@dataclass(frozen=True)
class Event:
    """What `Server.poll` saw: a message, or (message None) that the peer is gone. `fileno` is set instead for a watched file."""

    peer: Peer | None
    message: Message | None
    fileno: int | None = None


class Server:
    """Listens at a Unix socket and exchanges messages with any number of peers, in one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = itertools.count(1)
        self._selector = selectors.DefaultSelector()
        self._peers: dict[int, Peer] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = _bind(path)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def watch(self, fileno: int) -> None:
        """Report `fileno` from `poll` whenever it is readable (a UDP socket, a signal pipe)."""
        self._selector.register(fileno, selectors.EVENT_READ, data=fileno)

    def poll(self, timeout: float) -> list[Event]:
        """Everything that happened, waiting up to `timeout` seconds for the first event."""
        events: list[Event] = []
        for key, mask in self._selector.select(max(0.0, timeout)):
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.data, Peer):
                if mask & selectors.EVENT_WRITE:
                    self._flush(key.data)
                if mask & selectors.EVENT_READ:
                    events += self._read(key.data)
            else:
                events.append(Event(None, None, key.data))
        for peer in [p for p in self._peers.values() if p.closed]:
            self._drop(peer)
            events.append(Event(peer, None))
        return events

    def send(self, peer: Peer, message: Message) -> bool:
        """Queue a message; False when the peer is gone or does not read (it is then dropped)."""
        if peer.closed:
            return False
        data = encode(message)
        if len(peer.outgoing) + len(data) > MAX_OUTGOING:
            peer.closed = True
            return False
        peer.outgoing += data
        self._flush(peer)
        return not peer.closed

    def close(self) -> None:
        """Close every peer and take the socket's file away."""
        for peer in list(self._peers.values()):
            self._flush(peer)
            self._drop(peer)
        self._selector.close()
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        peer = Peer(next(self._numbers), sock)
        self._peers[peer.number] = peer
        self._selector.register(sock, selectors.EVENT_READ, data=peer)

    def _read(self, peer: Peer) -> list[Event]:
        try:
            chunk = peer.sock.recv(1 << 20)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        if not chunk:
            peer.closed = True
            return []
        peer.incoming += chunk
        events = []
        try:
            while (message := decode(peer.incoming)) is not None:
                events.append(Event(peer, message))
        except ChannelError:
            peer.closed = True
        return events

    def _flush(self, peer: Peer) -> None:
        try:
            while peer.outgoing:
                sent = peer.sock.send(peer.outgoing)
                del peer.outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            peer.closed = True
        if not peer.closed:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.outgoing else 0)
            self._selector.modify(peer.sock, wanted, data=peer)

    def _drop(self, peer: Peer) -> None:
        self._peers.pop(peer.number, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(peer.sock)
        peer.sock.close()
        peer.closed = True


def _bind(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600; a socket that a dead process left is replaced.

    Raises:
        ChannelError: a living process listens there already.
    """
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(str(path))
    except OSError:
        path.unlink(missing_ok=True)
    else:
        raise ChannelError(f"another process already listens at {path}", remedy="stop it first")
    finally:
        probe.close()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old)
    listener.listen(16)
    listener.setblocking(False)
    return listener
