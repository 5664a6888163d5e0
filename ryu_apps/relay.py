"""Carries what the engine wants of a VFN to its session, and the answers back. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from ryu.lib import hub

from runtime.channel import Message
from ryu_apps.peer import Peer
from ryu_apps.session import Applied, Part, Session, SessionLostError
from ryu_apps.sessions import Sessions
from ryu_apps.wire import monitor, multipart
from topology.model import Vfn

_KINDS = {multipart.FLOW: "flows", multipart.METER_CONFIG: "meters", multipart.TABLE: "tables"}

LOG = logging.getLogger("dynseg.control.relay")

MOST_BYTES = 1 << 16
"""Of parts that go on together; a part of a large reply is as long by itself."""
READINGS = 16
"""So many VFNs are read at the same time. When a policy changes hundreds wait for the same pass of the switch, and
their answers all at once would hold the hub."""


class Relay:
    """The engine's hand at the switches: `read` and `apply` in, `installed`, `applied` and `changed` out.

    Args:
        sessions: the VFNs.
        engine: whose hand it is.
        wait_until_followed: returns when a VFN's packets are forwarded by its flow tables as they are now; with True
            all of them are looked up anew.
    """

    def __init__(self, sessions: Sessions, engine: Peer, wait_until_followed: Callable[[Vfn, bool], None]) -> None:
        self._sessions = sessions
        self._engine = engine
        self._wait_until_followed = wait_until_followed
        self._changed: dict[int, bool] = {}
        """VFNs that packets may not follow yet, and have drops ended there?"""
        self._readings = hub.Semaphore(READINGS)
        self._reports: dict[int, list[bytes]] = {}
        """What flow monitors have said just now, by VFN."""

    def take(self, message: Message) -> None:
        """Start what the engine asks for. A VFN that is gone needs no answer: its `vfn_down` is on the way."""
        work = {"read": self._read, "apply": self._apply}.get(message.kind)
        if work is None:
            LOG.error("the engine sent a message of unknown kind %r", message.kind)
            return
        session = self._sessions.get(message.data["dpid"])
        if session is not None:
            hub.spawn(self._guarded, work, session, message)

    def changed(self, session: Session, events: bytes) -> None:
        """A VFN's flow monitor reports: of each message with an entry by itself, so what is there goes on together.

        The barrier behind those messages would otherwise be answered when they all have been passed on.
        """
        reports = self._reports.setdefault(session.vfn.dpid, [])
        reports.append(events)
        if len(reports) == 1:
            hub.spawn(self._report, session.vfn.dpid)

    def _report(self, dpid: int) -> None:
        self._engine.send(Message("changed", {"dpid": dpid}, monitor.together(self._reports.pop(dpid))))

    def _guarded(self, work: Callable[[Session, Message], None], session: Session, message: Message) -> None:
        try:
            work(session, message)
        except SessionLostError as error:
            LOG.warning("%s of %s was not completed: %s", message.kind, session.vfn.name, error)
            session.end(error.message)

    def _read(self, session: Session, message: Message) -> None:
        while session.vfn.dpid in self._changed:  # what is read back after a change shall be what packets meet
            self._wait_until_followed(session.vfn, self._changed.pop(session.vfn.dpid))
        data = {"dpid": session.vfn.dpid, "request": message.data["request"]}
        with self._readings:
            for part in joined(session.read(message.body)):
                told = {**data, "kind": _KINDS[part.kind], "last": part.last}
                self._engine.send(Message("installed", told, part.raw))

    def _apply(self, session: Session, message: Message) -> None:
        if message.data.get("entries", True):
            freed = bool(message.data.get("freed", False))
            self._changed[session.vfn.dpid] = self._changed.get(session.vfn.dpid, False) or freed
        down = session.port_mods(message.data.get("down", ()), down=True)
        up = session.port_mods(message.data.get("up", ()), down=False)
        applied = session.apply(down + up + message.body)
        errors = [error.as_json() for error in applied.errors]
        data = {"dpid": session.vfn.dpid, "request": message.data["request"]}
        self._engine.send(Message("applied", {**data, "seconds": applied.seconds, "errors": errors}))
        _log(session.vfn.name, message, applied)


def _log(vfn: str, message: Message, applied: Applied) -> None:
    """What was sent on behalf of which rules; at DEBUG what was on behalf of none."""
    rules = message.data.get("rules", ())
    fields = {"vfn": vfn, "request": message.data["request"], "rules": rules, "seconds": round(applied.seconds, 6)}
    if applied.errors:
        LOG.warning("the switch refused %d messages", len(applied.errors), extra=fields)
    else:
        LOG.log(logging.INFO if rules else logging.DEBUG, "the switch has carried out what was sent", extra=fields)


def joined(parts: Iterable[Part]) -> Iterator[Part]:
    """The same parts, those of one kind together: a reading by cookie has one for each entry."""
    bodies: list[bytes] = []
    kind, size = -1, 0
    for part in parts:
        if bodies and (part.kind != kind or size + len(part.raw) > MOST_BYTES):
            yield Part(kind, b"".join(bodies), last=False)
            bodies, size = [], 0
        kind, size = part.kind, size + len(part.raw)
        bodies.append(part.raw)
        if part.last:
            yield Part(kind, b"".join(bodies), last=True)
