"""Asks engine and analyzer, over their sockets, what they have counted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.channel import Connection, Message, connect
from runtime.errors import ChannelError

ANSWER_SECONDS = 5.0


class Source:
    """One process, which may be away. Not for several threads.

    Args:
        path: its socket.
        version: of the product.
    """

    def __init__(self, path: Path, version: str) -> None:
        self._path = path
        self._hello = Message("hello", {"role": "metrics", "pid": os.getpid(), "version": version})
        self._connection: Connection | None = None

    def ask(self, question: Mapping[str, Any]) -> Message | None:
        """The answer (`measured`) to a `measure`; None: it is away, or does not answer in `ANSWER_SECONDS`."""
        try:
            if self._connection is None:
                self._connection = connect(self._path)
                self._connection.limit(ANSWER_SECONDS)
                self._connection.send(self._hello)
            self._connection.send(Message("measure", question))
            while (answer := self._connection.receive()) is not None:
                if answer.kind == "measured":
                    return answer
        except ChannelError:
            pass  # as told by the answer: nobody is there
        self.close()
        return None

    def close(self) -> None:
        """Give the connection up; the next question makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
