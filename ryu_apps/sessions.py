"""The VFNs that are connected: who comes, with which ports, and who goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ryu.ofproto import ofproto_v1_3 as ofproto

from runtime.channel import Message
from ryu_apps.session import Port, Session
from topology.model import Inventory

LOG = logging.getLogger("dynseg.control.sessions")


class Sessions:
    """Sessions by datapath id. Only the inventory's VFNs get one; a later connection of a VFN replaces the earlier.

    Args:
        inventory: the VFNs to accept.
        announce: takes `vfn_up`, `vfn_ports` and `vfn_down` messages; must not block.
    """

    def __init__(self, inventory: Inventory, announce: Callable[[Message], None]) -> None:
        self._inventory = inventory
        self._interface_ids: Mapping[str, str] = {}
        self._announce = announce
        self._sessions: dict[int, Session] = {}
        self._described: dict[Any, dict[int, Port]] = {}
        self._told: dict[int, Message] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def get(self, dpid: int) -> Session | None:
        """The session of a VFN, if it is connected."""
        return self._sessions.get(dpid)

    def of(self, datapath: Any) -> Session | None:
        """The session of this very connection; None when it has none or was replaced."""
        session = self._sessions.get(datapath.id) if datapath.id is not None else None
        return session if session is not None and session.datapath is datapath else None

    def up_messages(self) -> list[Message]:
        """What somebody who has just come has to hear."""
        return [self._message("vfn_up", session) for session in self]

    def on_described(self, datapath: Any, ports: Mapping[int, Port]) -> None:
        """Port descriptions came, before the session stands, by port number."""
        self._described.setdefault(datapath, {}).update(ports)

    def on_connected(self, datapath: Any) -> None:
        """The handshake is complete."""
        ports = self._described.pop(datapath, {})
        vfn = self._inventory.vfn_by_dpid.get(datapath.id)
        if vfn is None:
            LOG.warning("datapath %#018x from %s is no VFN of the inventory: left alone", datapath.id, datapath.address)
            return
        old = self._sessions.pop(vfn.dpid, None)
        if old is not None:
            LOG.warning("VFN %s connected again from %s: the older session ends", vfn.name, datapath.address)
            old.end("replaced by a newer connection")
        session = self._sessions[vfn.dpid] = Session(datapath, vfn, ports)
        LOG.info("VFN %s is connected from %s with %d ports", vfn.name, datapath.address, len(ports))
        self._tell("vfn_up", session)

    def on_port(self, datapath: Any, number: int, port: Port | None) -> None:
        """A port was added or changed, or (None) is gone."""
        session = self.of(datapath)
        if session is None:
            return
        if port is None:
            session.ports.pop(number, None)
        else:
            session.ports[number] = port
        self._tell_ports(session)

    def on_closed(self, datapath: Any) -> None:
        """A connection is over."""
        self._described.pop(datapath, None)
        session = self.of(datapath)
        if session is None:
            return
        del self._sessions[session.vfn.dpid]
        self._told.pop(session.vfn.dpid, None)
        session.end("disconnected")
        LOG.warning("VFN %s is disconnected; what is installed stays in force", session.vfn.name)
        self._announce(Message("vfn_down", {"dpid": session.vfn.dpid}))

    def on_interface_ids(self, ids: Mapping[str, str]) -> None:
        """OVSDB has these interface ids now: interface name -> `external_ids:iface-id`."""
        self._interface_ids = ids
        for session in self:
            self._tell_ports(session)

    def _tell_ports(self, session: Session) -> None:
        if self._told.get(session.vfn.dpid) != self._message("vfn_ports", session):
            self._tell("vfn_ports", session)

    def _tell(self, kind: str, session: Session) -> None:
        self._told[session.vfn.dpid] = self._message("vfn_ports", session)
        self._announce(self._message(kind, session))

    def _message(self, kind: str, session: Session) -> Message:
        """Port numbers by interface name and by iface-id, a name before an id that is spelt like it; those down."""
        ids = self._interface_ids
        physical = {number: port for number, port in session.ports.items() if number <= ofproto.OFPP_MAX}
        by_id = {ids[port.name]: number for number, port in physical.items() if port.name in ids}
        ports = by_id | {port.name: number for number, port in physical.items()}
        down = sorted(number for number, port in physical.items() if port.down)
        return Message(kind, {"dpid": session.vfn.dpid, "ports": ports, "down": down})
