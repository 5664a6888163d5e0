"""What `GET /v1/status` says: control's own part, and what engine and analyzer say of themselves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from ryu.lib import hub

from runtime.tokens import Token
from ryu_apps.copies import Copies
from ryu_apps.lag import LagMeter
from ryu_apps.ovsdb import Ovsdb
from ryu_apps.peer import Peer
from ryu_apps.routes import CALL_SECONDS
from ryu_apps.sessions import Sessions
from ryu_apps.supervisor import Supervisor
from topology.model import Inventory


class Status:
    """Collects the status of the node."""

    def __init__(
        self,
        *,
        version: str,
        inventory: Inventory,
        sessions: Sessions,
        ovsdb: Ovsdb,
        lag: LagMeter,
        copies: Copies,
        supervisors: Mapping[str, Supervisor],
        peers: Mapping[str, Peer],
    ) -> None:
        self._version = version
        self._inventory = inventory
        self._sessions = sessions
        self._ovsdb = ovsdb
        self._lag = lag
        self._copies = copies
        self._supervisors = supervisors
        self._peers = peers
        self._started = time.time()

    def collect(self, token: Token) -> Mapping[str, Any]:
        """`{"control": ..., "engine": ..., "analyzer": ...}`; a process that is away gives {"error", "remedy"}."""
        asked = {name: hub.spawn(peer.ask, "status", {}, token, CALL_SECONDS) for name, peer in self._peers.items()}
        told = {name: json.loads(thread.wait().text) for name, thread in asked.items()}
        return {"control": self.control(), **told}

    def control(self) -> Mapping[str, Any]:
        """Control's own part."""
        return {
            "version": self._version,
            "pid": os.getpid(),
            "uptime_seconds": round(time.time() - self._started, 3),
            "vfns": {vfn.name: self._sessions.get(vfn.dpid) is not None for vfn in self._inventory.vfns.values()},
            "hub_lag_ms": round(1000 * self._lag.longest(), 3),
            "copies": {"passed": self._copies.passed, "dropped": self._copies.dropped},
            "ovsdb_connected": self._ovsdb.connected,
            "processes": {name: supervisor.status() for name, supervisor in self._supervisors.items()},
        }
