"""Messages between the three processes, over Unix sockets.

A message is a kind, a JSON object and an optional block of bytes (OpenFlow messages, numpy arrays). On the wire:
``!II`` (length of the JSON text, length of the body), the JSON text ``{"kind": ..., "data": ...}``, the body.

`Connection` is the blocking end: it works in plain threads and, since it only uses `socket`, under eventlet's
green sockets. `Server` is the many-peers end for a single-threaded process: it never blocks on a peer, and a peer
that does not read is dropped when its outgoing buffer is full rather than slowing the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging
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
LOG = logging.getLogger("dynseg.channel")
"""At DEBUG every message that comes or goes, for who looks for where something got stuck."""
_FIELDS = ("rule", "rules", "proposal", "request", "dpid", "vm")
_LONGEST = 300


@dataclass(frozen=True)
class Message:
    """One message: what it is, its fields, and bytes that are not worth spelling in JSON."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""


def encode(message: Message) -> bytes:
    """Bytes of a message as they stand on the wire.

    Raises:
        ChannelError: it is larger than the other end would take.
    """
    text = json.dumps({"kind": message.kind, "data": dict(message.data)}, separators=(",", ":")).encode()
    _check_lengths(len(text), len(message.body))
    _tell("goes", message, text)
    return b"".join((_LENGTHS.pack(len(text), len(message.body)), text, message.body))


def decode(buffer: bytearray) -> Message | None:
    """Take one message off the front of `buffer`, or None when it is not whole yet.

    Raises:
        ChannelError: what is there cannot be a message.
    """
    if len(buffer) < _LENGTHS.size:
        return None
    text_length, body_length = _LENGTHS.unpack_from(buffer)
    _check_lengths(text_length, body_length)
    end = _LENGTHS.size + text_length + body_length
    if len(buffer) < end:
        return None
    middle = _LENGTHS.size + text_length
    text = bytes(buffer[_LENGTHS.size : middle])
    try:
        raw = json.loads(text)
        kind, data = raw["kind"], raw["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChannelError(f"not a message: {type(error).__name__}: {error}") from error
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise ChannelError("not a message: kind must be a string and data an object")
    message = Message(kind, data, bytes(buffer[middle:end]))
    _tell("came", message, text)
    del buffer[:end]
    return message


def _tell(way: str, message: Message, text: bytes) -> None:
    if LOG.isEnabledFor(logging.DEBUG):
        about = {name: message.data[name] for name in _FIELDS if message.data.get(name)}
        shown = text[:_LONGEST].decode(errors="replace") + ("..." if len(text) > _LONGEST else "")
        LOG.debug("%s: %s + %d bytes", way, shown, len(message.body), extra=about)


def _check_lengths(text: int, body: int) -> None:
    if text > MAX_JSON or body > MAX_BODY:
        raise ChannelError(f"message of {text} + {body} bytes is over the limit of {MAX_JSON} + {MAX_BODY}")


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

    def limit(self, seconds: float) -> None:
        """From now on, each wait for the other end that lasts so long is a `ChannelError`."""
        self._sock.settimeout(seconds)

    def peer_pid(self) -> int:
        """Process id of the other end, as the kernel knows it (for a connection made by `connect`: who listens)."""
        credentials = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid: int = _CREDENTIALS.unpack(credentials)[0]
        return pid

    def shut_down(self) -> None:
        """End the exchange: a `receive` that waits elsewhere ends, and whoever runs it closes the connection.

        For greenthreads: the hub forgets a file that is closed while one of them waits for it.
        """
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close at once; a `receive` that waits in another thread ends."""
        self.shut_down()
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


@dataclass(eq=False)
class Peer:
    """One connected process, as the server sees it. Two peers are equal only when they are the same one."""

    number: int
    sock: socket.socket
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)
    closed: bool = False
    fault: str = ""
    """Why the server dropped it; empty: it closed its end itself, between two messages."""


@dataclass(frozen=True)
class Event:
    """What `Server.poll` saw: a message, or (message None) that the peer is gone.

    For a watched file `fileno` is set and `peer` is None.
    """

    peer: Peer | None
    message: Message | None
    fileno: int | None = None


class Server:
    """Listens at a Unix socket and exchanges messages with any number of peers, in one thread."""

    def __init__(self, path: Path) -> None:
        """Listen at `path`, making its folder if need be.

        Raises:
            ChannelError: a living process listens there already, or the path is no place for a socket.
        """
        self.path = path
        self._numbers = itertools.count(1)
        self._peers: dict[int, Peer] = {}
        self._lock = _lock(path)
        try:
            self._listener = _bind(path)
        except ChannelError:
            os.close(self._lock)
            raise
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def watch(self, fileno: int) -> None:
        """Report `fileno` from `poll` whenever it is readable (a UDP socket, a signal pipe)."""
        self._selector.register(fileno, selectors.EVENT_READ, data=fileno)

    def unwatch(self, fileno: int) -> None:
        """Report it no more, until it is watched again."""
        self._selector.unregister(fileno)

    def poll(self, timeout: float) -> list[Event]:
        """Everything that happened, waiting up to `timeout` seconds for the first event."""
        events: list[Event] = []
        if any(peer.closed for peer in self._peers.values()):
            timeout = 0.0  # `send` found that one is gone: that is an event already
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
        """Queue a message; False when the peer is gone or does not read (it is then dropped).

        Raises:
            ChannelError: the message is larger than the other end would take.
        """
        if peer.closed:
            return False
        data = encode(message)
        if len(peer.outgoing) + len(data) > MAX_OUTGOING:
            _give_up(peer, f"does not read: {len(peer.outgoing)} bytes wait for it")
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
        os.close(self._lock)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone again in the meantime
        sock.setblocking(False)
        peer = Peer(next(self._numbers), sock)
        self._peers[peer.number] = peer
        self._selector.register(sock, selectors.EVENT_READ, data=peer)

    def _read(self, peer: Peer) -> list[Event]:
        try:
            chunk = peer.sock.recv(1 << 20)
        except BlockingIOError:
            return []
        except OSError as error:
            _give_up(peer, str(error))
            return []
        if not chunk:
            cut = f"closed within a message ({len(peer.incoming)} bytes of it came)" if peer.incoming else ""
            _give_up(peer, cut)
            return []
        peer.incoming += chunk
        events = []
        try:
            while (message := decode(peer.incoming)) is not None:
                events.append(Event(peer, message))
        except ChannelError as error:
            _give_up(peer, str(error))
        return events

    def _flush(self, peer: Peer) -> None:
        try:
            while peer.outgoing:
                sent = peer.sock.send(peer.outgoing)
                del peer.outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            _give_up(peer, str(error))
        if not peer.closed:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.outgoing else 0)
            self._selector.modify(peer.sock, wanted, data=peer)

    def _drop(self, peer: Peer) -> None:
        self._peers.pop(peer.number, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(peer.sock)
        peer.sock.close()
        peer.closed = True


def _give_up(peer: Peer, fault: str) -> None:
    """Mark a peer for dropping at the next poll; the first reason stays."""
    if not peer.closed:
        peer.closed, peer.fault = True, fault


def _lock(path: Path) -> int:
    """Take the lock of the socket at `path`, as a file descriptor; the kernel gives it back when this process ends.

    The lock, not the socket, says who listens: between finding a socket dead and replacing it another process could
    have done the same.

    Raises:
        ChannelError: a living process holds it, or it cannot be made.
    """
    file = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ChannelError(
            f"cannot be made: {error.strerror}", file=file, remedy="see run_dir in the settings"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ChannelError(f"another process already listens at {path}", remedy="stop it first") from error
    return descriptor


def _bind(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600; a socket that a dead process left is replaced.

    Raises:
        ChannelError: something else is in the way, or the path is no place for a socket.
    """
    if path.exists() and not path.is_socket():
        raise ChannelError("is not a socket", file=path, remedy="take it away")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ChannelError(f"cannot listen: {error}", file=path, remedy="see run_dir in the settings") from error
    finally:
        os.umask(old)
    listener.listen(16)
    listener.setblocking(False)
    return listener
