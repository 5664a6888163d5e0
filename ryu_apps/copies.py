"""Passes copies of packets on to the analyzer: at once after a pause, else gathered for a moment; never waited for."""

from __future__ import annotations

import time
from typing import Any

from ryu.lib import hub

from runtime.channel import Message
from ryu_apps.peer import Peer
from ryu_apps.sessions import Sessions
from ryu_apps.wire.packetin import Copied, encode_copy

GATHER_SECONDS = 0.005
"""Messages with copies of a VFN go on this far apart, however many copies come."""
MOST_WAITING = 64
"""Messages that may wait for the analyzer; copies are dropped rather than queued behind them."""
MOST_GATHERED = 2048
"""Copies of a VFN in one message; the meters let fewer come."""


class Copies:
    """Copies of each VFN, on their way. How many go on and how many do not is counted."""

    def __init__(self, sessions: Sessions, analyzer: Peer) -> None:
        self._sessions = sessions
        self._analyzer = analyzer
        self._gathered: dict[int, list[Copied]] = {}
        self._last: dict[int, float] = {}
        self.passed = 0
        self.dropped = 0

    def take(self, datapath: Any, raw: bytes) -> None:
        """A PACKET_IN has come.

        Raises:
            TransientError: it is not one.
        """
        copy = encode_copy(raw, time.time())
        session = self._sessions.of(datapath)
        if session is None or not self._analyzer.connected:
            self.dropped += 1
            return
        dpid = session.vfn.dpid
        gathered = self._gathered.setdefault(dpid, [])
        if len(gathered) >= MOST_GATHERED:
            self.dropped += 1
            return
        gathered.append(copy)
        if len(gathered) == 1:
            # Also "at once" is after everything that is to be read from the switch now: it goes on in one message.
            pause = self._last.get(dpid, 0.0) + GATHER_SECONDS - time.monotonic()
            hub.spawn_after(max(0.0, pause), self._pass_on, dpid)

    def _pass_on(self, dpid: int) -> None:
        self._last[dpid] = time.monotonic()
        gathered = self._gathered.pop(dpid)
        rows, data = zip(*gathered, strict=True)
        message = Message("copies", {"dpid": dpid, "n": len(gathered)}, b"".join((*rows, *data)))
        if self._analyzer.waiting < MOST_WAITING and self._analyzer.send(message):
            self.passed += len(gathered)
        else:
            self.dropped += len(gathered)
