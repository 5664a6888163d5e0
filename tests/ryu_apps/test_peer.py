"""Control's end of a channel, over a real socket pair in eventlet's hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import eventlet
import pytest
from eventlet.green import socket

from runtime.channel import Connection, Message
from runtime.errors import TransientError
from ryu_apps.peer import MAX_QUEUED, Answer, Peer


class Line:
    """A peer in conversation, and the other end as the process would hold it."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.peer = Peer("engine", self.got.append, self._greet)
        self.other, self._near = (Connection(end) for end in socket.socketpair())
        self.reader = eventlet.spawn(self._converse)
        eventlet.sleep(0)

    def _greet(self) -> None:
        self.peer.send(Message("greeting"))

    def _converse(self) -> str:
        try:
            self.peer.converse(self._near)
        except TransientError as error:
            return str(error)
        return "closed"

    def hear(self) -> Message:
        message = self.other.receive()
        assert message is not None
        return message


@pytest.fixture
def line() -> Iterator[Line]:
    with eventlet.Timeout(10):
        line = Line()
        yield line
        line.other.close()
        line.reader.wait()


def ask(peer: Peer, seconds: float = 5.0) -> Any:
    """A call in a greenthread; its outcome is the answer or the error's text."""

    def outcome() -> Answer | str:
        try:
            return peer.call("vms", {"a": 1}, "ann", "viewer", seconds)
        except TransientError as error:
            return str(error)

    return eventlet.spawn(outcome)


def test_what_is_sent_on_connecting_comes_first(line: Line) -> None:
    """The greeting stands before anything else."""
    assert line.peer.connected
    line.peer.send(Message("later"))
    assert [line.hear().kind, line.hear().kind] == ["greeting", "later"]


def test_a_call_gets_its_own_answer(line: Line) -> None:
    """Answers may come in another order than the calls."""
    line.hear()
    first, second = ask(line.peer), ask(line.peer)
    calls = [line.hear().data, line.hear().data]
    assert {key: calls[0][key] for key in ("method", "params", "actor", "role")} == {
        "method": "vms",
        "params": {"a": 1},
        "actor": "ann",
        "role": "viewer",
    }
    line.other.send(Message("result", {"request": calls[1]["request"], "status": 404, "value": None}))
    line.other.send(Message("result", {"request": calls[0]["request"], "status": 200}, b"[1]"))
    assert (first.wait(), second.wait()) == (Answer(200, b"[1]"), Answer(404, b"null"))


def test_other_messages_are_handed_on(line: Line) -> None:
    """Everything but results, an answer to nobody's call included in silence."""
    line.other.send(Message("result", {"request": 99, "status": 200, "value": 1}))
    line.other.send(Message("read", {"dpid": 1}))
    while not line.got:
        eventlet.sleep(0.001)
    assert line.got == [Message("read", {"dpid": 1})]


def test_a_call_without_an_answer_ends(line: Line) -> None:
    """After its time, with a remedy."""
    assert "did not answer within 0.05 s (" in ask(line.peer, 0.05).wait()


def test_a_call_ends_when_the_process_goes(line: Line) -> None:
    """At once, not after its time."""
    waiting = ask(line.peer, 60)
    line.hear()
    line.hear()
    line.other.close()
    assert "went away before it answered" in waiting.wait()
    assert "is away" in ask(line.peer).wait()
    assert not line.peer.send(Message("later"))


@pytest.mark.parametrize("rubbish", [b"\xff" * 64, b"\0" * 64])
def test_rubbish_ends_the_conversation(line: Line, rubbish: bytes) -> None:
    """What is no message is told, and the connection is given up."""
    line.other._sock.sendall(rubbish)
    assert "message" in line.reader.wait()
    assert not line.peer.connected


def test_a_process_that_does_not_read_is_given_up(line: Line) -> None:
    """The queue is bounded; sending never blocks."""
    filler = Message("counters", {}, bytes(4096))
    sent = 0
    while line.peer.send(filler):
        sent += 1
        assert sent <= 2 * MAX_QUEUED
        if sent % 64 == 0:
            eventlet.sleep(0)
    assert sent >= MAX_QUEUED
    _eventually(lambda: not line.peer.connected)


def _eventually(holds: Callable[[], bool]) -> None:
    with eventlet.Timeout(5):
        while not holds():
            eventlet.sleep(0.001)
