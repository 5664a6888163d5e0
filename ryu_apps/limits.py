"""How many connections switches keep for each VM.

A connection is state that an attacker makes a switch keep. The conntrack zone of a connection is the number of a VM
(`policies.pipeline.connections`), so a limit for each zone is one for each VM.
"""

from __future__ import annotations

from collections import defaultdict

from ryu.lib import hub

from ryu_apps.ovsdb import Ovsdb
from ryu_apps.session import Session
from ryu_apps.sessions import Sessions
from topology.model import Inventory

_ZONES = 1 << 16


class Limits:
    """Sets the limits of local switches, wherever they are otherwise.

    Args:
        most: connections of one VM.
    """

    def __init__(self, inventory: Inventory, sessions: Sessions, ovsdb: Ovsdb, most: int) -> None:
        self._sessions = sessions
        self._ovsdb = ovsdb
        self._most = most
        self._zones: dict[str, list[int]] = defaultdict(list)
        for vm in inventory.vms.values():
            self._zones[vm.vfn].append(vm.number % _ZONES)

    def set_all(self) -> None:
        """There are bridges that were not there before."""
        for session in self._sessions:
            self.set(session)

    def set(self, session: Session) -> None:
        """A VFN has connected; its switch may have started anew."""
        hub.spawn(self._ovsdb.limit_connections, session.vfn, self._zones[session.vfn.name], self._most)
