"""The channel between processes: what goes in comes out, and nothing that comes in can hurt."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import channel
from runtime.channel import Connection, Event, Message, Server, connect, decode, encode
from runtime.errors import ChannelError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
MESSAGES = st.builds(Message, st.text(), st.dictionaries(st.text(), JSON, max_size=5), st.binary(max_size=300))


def test_messages_can_be_watched(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, shortened, with what they are about as fields; otherwise nothing is told."""
    message = Message("apply", {"request": 7, "rules": ["54a2e9d5ab0f"], "text": "x" * 1000}, b"12345")
    with caplog.at_level("INFO", "dynseg.channel"):
        decode(bytearray(encode(message)))
    assert caplog.records == []
    with caplog.at_level("DEBUG", "dynseg.channel"):
        assert decode(bytearray(encode(message))) == message
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["goes", "came"]
    for record in caplog.records:
        assert (vars(record)["request"], vars(record)["rules"]) == (7, ["54a2e9d5ab0f"])
        assert record.getMessage().endswith("... + 5 bytes")
        assert len(record.getMessage()) < 400


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "s.sock")
    yield made
    made.close()


def until(server: Server, wanted: Callable[[list[Event]], bool], seconds: float = 5.0) -> list[Event]:
    """Poll until the events so far are what is wanted."""
    events: list[Event] = []
    deadline = time.monotonic() + seconds
    while not wanted(events):
        assert time.monotonic() < deadline, f"only {events}"
        events += server.poll(0.1)
    return events


def gone(events: list[Event]) -> bool:
    return any(event.message is None and event.peer is not None for event in events)


@given(st.lists(MESSAGES, max_size=4), st.integers(1, 50))
def test_messages_survive_any_cutting_of_the_stream(messages: list[Message], step: int) -> None:
    """Messages come out equal and in order, however the stream is cut into chunks."""
    stream = b"".join(map(encode, messages))
    buffer, seen = bytearray(), []
    for start in range(0, len(stream), step):
        buffer += stream[start : start + step]
        while (message := decode(buffer)) is not None:
            seen.append(message)
    assert seen == messages
    assert not buffer


@given(st.binary(max_size=200))
def test_rubbish_is_refused_or_waited_for(rubbish: bytes) -> None:
    """Any bytes are a message, the start of one, or a ChannelError; nothing else can come of them."""
    try:
        message = decode(bytearray(rubbish))
    except ChannelError:
        return
    assert message is None or isinstance(message.kind, str)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"kind": "a"}',
        b'{"kind": 1, "data": {}}',
        b'{"kind": "a", "data": []}',
        b"[" * 99999,
    ],
    ids=["empty", "null", "list", "no-kind", "no-data", "number-kind", "list-data", "deep"],
)
def test_json_that_is_no_message_is_refused(text: bytes) -> None:
    """Sound JSON of another shape, and JSON too deep to parse, are no messages."""
    with pytest.raises(ChannelError, match="not a message"):
        decode(bytearray(struct.pack("!II", len(text), 0) + text))


def test_lengths_over_the_limit_are_refused_before_the_bytes_come() -> None:
    """A length of 4 GB is refused from its header alone, so nobody can make a process collect it."""
    with pytest.raises(ChannelError, match="over the limit"):
        decode(bytearray(struct.pack("!II", 10, 0xFFFFFFFF)))


def test_a_message_over_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender of an oversized message is told, instead of being dropped by the other end."""
    monkeypatch.setattr(channel, "MAX_BODY", 1000)
    with pytest.raises(ChannelError, match="over the limit"):
        encode(Message("big", body=bytes(1001)))


def test_server_and_connections_exchange_messages(server: Server) -> None:
    """Each of two clients gets the answer to its own message."""
    clients = [connect(server.path) for _ in range(2)]
    for number, client in enumerate(clients):
        client.send(Message("ask", {"n": number}, b"\0" * number))
    events = until(server, lambda seen: len(seen) == 2)
    for event in events:
        assert event.peer is not None
        assert event.message is not None
        assert server.send(event.peer, Message("answer", event.message.data, event.message.body))
    for number, client in enumerate(clients):
        assert client.receive() == Message("answer", {"n": number}, b"\0" * number)
        client.close()


def test_close_ends_a_waiting_receive(server: Server) -> None:
    """`close` wakes the thread that waits in `receive`."""
    client = connect(server.path)
    ended = threading.Event()

    def wait() -> None:
        with contextlib.suppress(ChannelError):
            client.receive()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    client.close()
    assert ended.wait(5)


def test_a_closed_server_is_an_end_not_an_error(tmp_path: Path) -> None:
    """A client sees None when the server closes between messages, and the socket's file is gone."""
    server = Server(tmp_path / "s.sock")
    client = connect(server.path)
    client.send(Message("hello"))
    until(server, bool)
    server.close()
    assert client.receive() is None
    assert not server.path.exists()
    with pytest.raises(ChannelError, match="cannot send"):
        for _ in range(100):
            client.send(Message("more", body=bytes(10_000)))
    client.close()


def test_a_cut_message_is_an_error_for_the_client() -> None:
    """A connection that ends inside a message raises, and says how much came."""
    ours, theirs = socket.socketpair()
    theirs.sendall(encode(Message("hello", {"pid": 1}))[:-3])
    theirs.close()
    with pytest.raises(ChannelError, match="closed within a message"):
        Connection(ours).receive()
    ours.close()


def test_a_cut_message_costs_only_its_sender(server: Server) -> None:
    """A client that dies inside a message is dropped with the reason; another goes on."""
    bad = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bad.connect(str(server.path))
    bad.sendall(encode(Message("hello"))[:-1])
    bad.close()
    (event,) = until(server, gone)
    assert event.peer is not None
    assert "closed within a message" in event.peer.fault
    good = connect(server.path)
    good.send(Message("hello"))
    assert until(server, bool)[0].message == Message("hello")
    good.close()


def test_rubbish_drops_its_sender_with_the_reason(server: Server) -> None:
    """Messages before the rubbish are delivered, then the peer is dropped and its fault named."""
    bad = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bad.connect(str(server.path))
    bad.sendall(encode(Message("fine")) + b"GET / HTTP/1.1\r\n\r\n")
    events = until(server, gone)
    assert [event.message for event in events] == [Message("fine"), None]
    peer = events[-1].peer
    assert peer is not None
    assert "over the limit" in peer.fault
    assert bad.recv(1) == b""
    assert not server.send(peer, Message("too late"))
    bad.close()


def test_a_peer_that_does_not_read_is_dropped_and_others_go_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full outgoing buffer drops the slow peer at once, without ever blocking the server."""
    monkeypatch.setattr(channel, "MAX_OUTGOING", 1 << 20)
    slow, quick = connect(server.path), connect(server.path)
    slow.send(Message("slow"))
    quick.send(Message("quick"))
    hellos = until(server, lambda seen: len(seen) == 2)
    peers = {event.message.kind: event.peer for event in hellos if event.message and event.peer}
    block = Message("block", body=bytes(100_000))
    started = time.monotonic()
    sent = 0
    while server.send(peers["slow"], block):
        sent += 1
        assert sent < 100, "nothing bounds the buffer"
    events = server.poll(60)
    assert time.monotonic() - started < 5
    assert [event.peer for event in events] == [peers["slow"]]
    assert "does not read" in peers["slow"].fault
    assert server.send(peers["quick"], block)
    assert quick.receive() == block
    slow.close()
    quick.close()


def test_a_large_message_waits_for_its_reader(server: Server) -> None:
    """A message larger than the kernel's buffer arrives whole once the peer reads."""
    client = connect(server.path)
    client.send(Message("hello"))
    peer = until(server, bool)[0].peer
    assert peer is not None
    large = Message("apply", {"dpid": 1}, os.urandom(5 << 20))
    assert server.send(peer, large)
    received: list[Message | None] = []
    reader = threading.Thread(target=lambda: received.append(client.receive()))
    reader.start()
    deadline = time.monotonic() + 5
    while reader.is_alive():
        assert time.monotonic() < deadline
        server.poll(0.05)
    assert received == [large]
    client.close()


def test_a_watched_file_wakes_the_server(server: Server) -> None:
    """A datagram on a watched socket is an event with its file number, as long as it is watched."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    server.watch(udp.fileno())
    udp.sendto(b"x", udp.getsockname())
    assert until(server, bool) == [Event(None, None, udp.fileno())]
    server.unwatch(udp.fileno())
    assert server.poll(0) == []
    server.watch(udp.fileno())
    assert server.poll(0) == [Event(None, None, udp.fileno())]
    udp.close()


def test_a_living_server_is_not_replaced(server: Server) -> None:
    """A second process at the same path is refused, and the first keeps its clients."""
    with pytest.raises(ChannelError, match="another process already listens"):
        Server(server.path)
    client = connect(server.path)
    client.send(Message("still there"))
    assert until(server, bool)[0].message == Message("still there")
    client.close()


def test_a_killed_servers_socket_is_replaced(tmp_path: Path, root_dir: Path) -> None:
    """After kill -9 the socket's file stays behind, and the next server takes its place."""
    path = tmp_path / "s.sock"
    code = f"from runtime.channel import Server; from pathlib import Path; s = Server(Path({str(path)!r}))\n"
    dying = subprocess.Popen([sys.executable, "-c", code + "while True: s.poll(1)"], cwd=root_dir)
    connect(path, timeout=10).close()
    dying.send_signal(signal.SIGKILL)
    dying.wait(10)
    assert path.is_socket()
    server = Server(path)
    client = connect(path)
    client.send(Message("hello"))
    assert until(server, bool)[0].message == Message("hello")
    client.close()
    server.close()


def test_a_file_in_the_way_is_not_deleted(tmp_path: Path) -> None:
    """Somebody's file at the socket's path is an error, not a casualty, and the path can be used afterwards."""
    path = tmp_path / "s.sock"
    path.write_text("mine")
    with pytest.raises(ChannelError, match="is not a socket"):
        Server(path)
    assert path.read_text() == "mine"
    path.unlink()
    Server(path).close()


def test_a_path_that_is_no_place_for_a_socket_says_so(tmp_path: Path) -> None:
    """A path longer than the kernel takes, or below a file, is a ChannelError with a remedy."""
    with pytest.raises(ChannelError, match="run_dir"):
        Server(tmp_path / ("x" * 120) / "s.sock")
    (tmp_path / "file").touch()
    with pytest.raises(ChannelError, match="run_dir"):
        Server(tmp_path / "file" / "s.sock")


def test_the_socket_is_for_its_owner_only(server: Server) -> None:
    """Nobody else on the machine may talk to the engine."""
    assert server.path.stat().st_mode & 0o777 == 0o600


def test_connect_waits_for_a_late_server(tmp_path: Path) -> None:
    """`connect` with a timeout finds a server that starts meanwhile, and without one says that nobody listens."""
    path = tmp_path / "s.sock"
    with pytest.raises(ChannelError, match="nobody listens"):
        connect(path)
    found: list[Connection] = []
    client = threading.Thread(target=lambda: found.append(connect(path, timeout=10)))
    client.start()
    server = Server(path)
    client.join(10)
    assert len(found) == 1
    found[0].close()
    server.close()


def test_numbers_of_64_bits_pass_unharmed() -> None:
    """Datapath ids and cookies use all 64 bits; JSON text must not round them."""
    dpid = (1 << 64) - 1
    message = decode(bytearray(encode(Message("vfn_up", {"dpid": dpid}))))
    assert message is not None
    assert message.data["dpid"] == dpid
    assert json.dumps(dpid) == "18446744073709551615"
