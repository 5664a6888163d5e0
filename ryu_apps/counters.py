"""Reads entry counters of the VFNs and hands them to the analyzer."""

from __future__ import annotations

import logging
import time

import numpy as np
from ryu.lib import hub

from runtime.channel import Message
from runtime.errors import TransientError
from ryu_apps.peer import Peer
from ryu_apps.session import Session, SessionLostError
from ryu_apps.sessions import Sessions
from ryu_apps.wire.stats import decode_counters

LOG = logging.getLogger("dynseg.control.counters")

TABLES = (5, 8)
"""Source class (what each VM sends at all) and enforcement (what became of it)."""


class Counters:
    """Asks every VFN every `seconds`; one that has not answered the last question is not asked again."""

    def __init__(self, sessions: Sessions, analyzer: Peer, seconds: float) -> None:
        self._sessions = sessions
        self._analyzer = analyzer
        self._seconds = seconds
        self._asked: set[int] = set()

    def run(self) -> None:
        """Ask for ever."""
        while True:
            hub.sleep(self._seconds)
            if not self._analyzer.connected:
                continue
            for session in self._sessions:
                if session.vfn.dpid not in self._asked:
                    self._asked.add(session.vfn.dpid)
                    hub.spawn(self._ask, session)

    def _ask(self, session: Session) -> None:
        try:
            parts = [decode_counters(part.raw) for table in TABLES for part in session.read(table)]
        except SessionLostError as error:
            LOG.warning("no counters of %s: %s", session.vfn.name, error)
            session.end(error.message)
        except TransientError as error:
            LOG.warning("counters of %s are not readable: %s", session.vfn.name, error)
        else:
            counters = np.concatenate(parts)
            data = {"dpid": session.vfn.dpid, "time": time.time(), "n": len(counters)}
            self._analyzer.send(Message("counters", data, counters.tobytes()))
        finally:
            self._asked.discard(session.vfn.dpid)
