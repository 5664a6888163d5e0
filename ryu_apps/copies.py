"""Passes copies of packets on to the analyzer: gathered for a moment, never waited for."""

from __future__ import annotations

import time
from typing import Any

from ryu.lib import hub

from runtime.channel import Message
from ryu_apps.peer import Peer
from ryu_apps.sessions import Sessions
from ryu_apps.wire.packetin import encode_copy

GATHER_SECONDS = 0.005
"""Copies of a VFN that come within this time go on together."""
MOST_WAITING = 64
"""Messages that may wait for the analyzer; copies are dropped rather than queued behind them."""


class Copies:
    """Copies of each VFN, on their way. How many go on and how many do not is counted."""

    def __init__(self, sessions: Sessions, analyzer: Peer) -> None:
        self._sessions = sessions
        self._analyzer = analyzer
        self._gathered: dict[int, list[bytes]] = {}
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
        gathered = self._gathered.setdefault(session.vfn.dpid, [])
        gathered.append(copy)
        if len(gathered) == 1:
            hub.spawn_after(GATHER_SECONDS, self._pass_on, session.vfn.dpid)

    def _pass_on(self, dpid: int) -> None:
        gathered = self._gathered.pop(dpid)
        message = Message("copies", {"dpid": dpid, "n": len(gathered)}, b"".join(gathered))
        if self._analyzer.waiting < MOST_WAITING and self._analyzer.send(message):
            self.passed += len(gathered)
        else:
            self.dropped += len(gathered)
