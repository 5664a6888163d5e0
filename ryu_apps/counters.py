"""Reads entry counters of the VFNs and hands them to whoever counts by them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

import numpy as np
from ryu.lib import hub

from policies.pipeline.tables import Table
from runtime.channel import Message
from runtime.errors import TransientError
from ryu_apps.peer import Peer
from ryu_apps.session import Session, SessionLostError
from ryu_apps.sessions import Sessions
from ryu_apps.wire import stats

LOG = logging.getLogger("dynseg.control.counters")

TABLES = (
    Table.SOURCE,
    Table.ENFORCEMENT,
    Table.REVERSE,
    Table.DENIED,
    Table.SENT,
    Table.RECEIVED,
    Table.SHADOW_DENIED,
)
"""What each VM sends at all, and what the rules decided about it."""
SHARE = 0.02
"""At most this part of a VFN's time goes into counting: while a switch gathers counters it does nothing else."""
FEW = 1000
"""So many counters a switch gives within a millisecond."""


class Counters:
    """Asks every VFN every `seconds`, one with many entries less often; never again before it has answered.

    Args:
        sessions: the VFNs.
        takers: who gets the counters, as far as they are there.
        seconds: time between two readings of a VFN.
    """

    def __init__(self, sessions: Sessions, takers: Collection[Peer], seconds: float) -> None:
        self._sessions = sessions
        self._takers = takers
        self._seconds = seconds
        self._asked: set[int] = set()
        self._large: set[int] = set()
        """VFNs that had more than `FEW` counters when they were last asked."""

    def run(self) -> None:
        """Ask for ever, one VFN after the other: the answers of hundreds at once would hold the hub."""
        while True:
            sessions = tuple(self._sessions) if any(taker.connected for taker in self._takers) else ()
            for session in sessions:
                if session.vfn.dpid not in self._asked:
                    self._asked.add(session.vfn.dpid)
                    hub.spawn(self._ask, session)
                hub.sleep(self._seconds / len(sessions))
            if not sessions:
                hub.sleep(self._seconds)

    def _ask(self, session: Session) -> None:
        began = time.monotonic()
        try:
            self._hand_out(session)
        except SessionLostError as error:
            LOG.warning("no counters of %s: %s", session.vfn.name, error)
            session.end(error.message)
        except TransientError as error:
            LOG.warning("counters of %s are not readable: %s", session.vfn.name, error)
        else:
            took = time.monotonic() - began
            hub.sleep(max(0.0, took / SHARE - took - self._seconds))
        finally:
            self._asked.discard(session.vfn.dpid)

    def _hand_out(self, session: Session) -> None:
        requests = [stats.request(0, table) for table in TABLES]
        if session.vfn.dpid not in self._large:
            requests = [b"".join(requests)]  # each waking of a switch costs it more than a few entries
        counters = np.concatenate([stats.decode_counters(part.raw) for one in requests for part in session.read(one)])
        # Table by table where there are many, so that what is urgent does not wait for the answers to all of them.
        (self._large.add if len(counters) > FEW else self._large.discard)(session.vfn.dpid)
        data = {"dpid": session.vfn.dpid, "time": time.time(), "n": len(counters)}
        message = Message("counters", data, counters.tobytes())
        for taker in self._takers:
            taker.send(message)
