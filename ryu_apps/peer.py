"""The channel to the engine or the analyzer, as control uses it: sends that never block, calls with answers."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ryu.lib import hub

from runtime.channel import Connection, Message
from runtime.errors import ChannelError, TransientError
from runtime.tokens import Token

LOG = logging.getLogger("dynseg.control.peer")

MAX_QUEUED = 4096
"""Messages that may wait for a process that does not read; then its connection is closed and it starts afresh."""


@dataclass(frozen=True)
class Answer:
    """The answer to a call: an HTTP status and a value as text, which control does not read."""

    status: int
    text: bytes
    content: str = "application/json"

    @classmethod
    def problem(cls, status: int, error: str, remedy: str | None) -> Answer:
        """What is wrong, and what can be done about it."""
        return cls(status, json.dumps({"error": error, "remedy": remedy or ""}).encode())


class Peer:
    """One other process, `engine` or `analyzer`, which may be away.

    Args:
        name: for messages to people.
        on_message: takes what the process sends, except results of calls; must not block.
        on_connected: called whenever a connection stands, before anything else is sent.
    """

    def __init__(
        self, name: str, on_message: Callable[[Message], None], on_connected: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self._on_message = on_message
        self._on_connected = on_connected
        self._connection: Connection | None = None
        self._outgoing: Any = hub.Queue(MAX_QUEUED)
        self._requests = itertools.count(1)
        self._calls: dict[int, Any] = {}

    @property
    def connected(self) -> bool:
        """Is the process there?"""
        return self._connection is not None

    @property
    def waiting(self) -> int:
        """Messages that wait to be sent."""
        return int(self._outgoing.qsize())

    def send(self, message: Message) -> bool:
        """Queue a message; False when the process is away. It asks anew for what it missed when it is back."""
        if self._connection is None:
            return False
        if self._outgoing.full():
            LOG.error("%s does not read its messages: closing the connection to it", self.name)
            self._connection.shut_down()
            return False
        self._outgoing.put(message)
        return True

    def call(self, method: str, params: Mapping[str, Any], actor: str, role: str, seconds: float) -> Answer:
        """Ask the process and wait for its answer.

        Raises:
            TransientError: it is away, goes away, or does not answer within `seconds`.
        """
        remedy = "control starts it again; try once more in a moment, then see its log"
        request = next(self._requests)
        answers = self._calls[request] = hub.Queue(1)
        data = {"request": request, "method": method, "params": dict(params), "actor": actor, "role": role}
        try:
            if not self.send(Message("call", data)):
                raise TransientError(f"the {self.name} is away", remedy=remedy)
            answer: Answer | None = answers.get(timeout=seconds)
        except hub.QueueEmpty:
            raise TransientError(f"the {self.name} did not answer within {seconds:g} s", remedy=remedy) from None
        finally:
            del self._calls[request]
        if answer is None:
            raise TransientError(f"the {self.name} went away before it answered", remedy=remedy)
        return answer

    def ask(self, method: str, params: Mapping[str, Any], token: Token, seconds: float) -> Answer:
        """`call`, for an answer of all processes together: one that is away says why, and the others are told of."""
        try:
            return self.call(method, params, token.name, token.role, seconds)
        except TransientError as error:
            return Answer.problem(200, error.message, error.remedy)

    def converse(self, connection: Connection) -> None:
        """Exchange messages over a connection until it closes.

        Raises:
            ChannelError: it broke off, or what came is not a message.
        """
        self._outgoing = hub.Queue(MAX_QUEUED)
        self._connection = connection
        writer = hub.spawn(self._write, connection, self._outgoing)
        try:
            self._on_connected()
            while (message := connection.receive()) is not None:
                self._take(message)
                # Of many messages at once each has its turn, and OpenFlow its own between them.
                hub.sleep(0)
        finally:
            self._connection = None
            hub.kill(writer)
            connection.close()
            for answers in self._calls.values():
                if answers.empty():
                    answers.put(None)

    def _write(self, connection: Connection, outgoing: Any) -> None:
        try:
            while True:
                connection.send(outgoing.get())
        except ChannelError as error:
            LOG.debug("%s: %s", self.name, error)
            connection.shut_down()  # the reader sees the end and says so

    def _take(self, message: Message) -> None:
        if message.kind != "result":
            self._on_message(message)
            return
        answers = self._calls.get(message.data["request"])
        if answers is not None and answers.empty():
            text = message.body or json.dumps(message.data["value"]).encode()
            answers.put(Answer(int(message.data["status"]), text))
