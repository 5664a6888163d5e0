"""One connected VFN: questions to it and their answers, in the order of its wire."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3 as ofproto

from runtime.errors import TransientError
from ryu_apps.wire import multipart
from ryu_apps.wire.bundle import stage
from ryu_apps.wire.portmod import port_mod
from topology.model import Vfn

LOG = logging.getLogger("dynseg.control.session")

CHUNK_BYTES = 1 << 16
BARRIER_SECONDS = 10.0
"""A VFN that has not confirmed a barrier for this long is taken for lost."""
PART_SECONDS = 5.0
"""Likewise, for the next part of a statistics reply."""


class SessionLostError(TransientError):
    """The VFN went away, or has not answered in time, before the answer was complete."""


@dataclass(frozen=True)
class SwitchError:
    """An OpenFlow error message. For an experimenter's error `code` is its own type."""

    type: int
    code: int
    data: bytes
    """The beginning of the message that it is about."""

    def as_json(self) -> Mapping[str, Any]:
        """Its form in the channel."""
        return {"type": self.type, "code": self.code, "data": self.data.hex()}


@dataclass(frozen=True)
class Port:
    """A port as the VFN describes it."""

    name: str
    mac: bytes
    down: bool = False
    """Is it administratively down (OFPPC_PORT_DOWN)?"""


@dataclass(frozen=True)
class Part:
    """One part of the answers to a question."""

    kind: int
    """Kind of statistics, as in `wire.multipart`."""
    raw: bytes
    last: bool
    """Nothing more comes, to none of the requests."""


@dataclass(frozen=True)
class Applied:
    """What became of messages that were sent: seconds from the first byte to the barrier's reply, and errors."""

    seconds: float
    errors: tuple[SwitchError, ...]


@dataclass
class _Barrier:
    xid: int
    errors: list[SwitchError] = field(default_factory=list)
    reply: Any = field(default_factory=hub.Queue)


class Session:
    """A VFN's OpenFlow session. `ports` are those of the VFN, by OpenFlow port number."""

    def __init__(self, datapath: Any, vfn: Vfn, ports: Mapping[int, Port]) -> None:
        self.datapath = datapath
        self.vfn = vfn
        self.ports = dict(ports)
        self._lost: str | None = None
        self._sending = hub.Semaphore()
        self._barriers: deque[_Barrier] = deque()
        self._reads: dict[int, Any] = {}

    def apply(self, messages: bytes) -> Applied:
        """Send OpenFlow messages and wait until the VFN has carried them out.

        A bundle takes two barriers: only one of which no message was refused is committed (see `Staged`).

        Raises:
            SessionLostError: the VFN went away, or did not confirm within `BARRIER_SECONDS`.
        """
        staged = stage(messages)
        prepared = self._confirmed(staged.prepare)
        if not staged.commit:
            return prepared
        closed = self._confirmed(staged.discard if prepared.errors else staged.commit)
        return Applied(prepared.seconds + closed.seconds, prepared.errors + closed.errors)

    def _confirmed(self, messages: bytes) -> Applied:
        """Send messages and a barrier, and wait for its reply.

        The switch answers in order, so the errors that come before a barrier's reply belong to the messages before
        that barrier; the semaphore keeps the messages of two callers apart.

        Raises:
            SessionLostError: the VFN went away, or did not confirm within `BARRIER_SECONDS`.
        """
        request = self.datapath.ofproto_parser.OFPBarrierRequest(self.datapath)
        with self._sending:
            barrier = _Barrier(self.datapath.set_xid(request))
            self._barriers.append(barrier)
            started = time.monotonic()
            for start in range(0, len(messages), CHUNK_BYTES):
                self._send(messages[start : start + CHUNK_BYTES])
            request.serialize()
            self._send(bytes(request.buf))
        self._await(barrier.reply, BARRIER_SECONDS, "a barrier")
        return Applied(time.monotonic() - started, tuple(barrier.errors))

    def read(self, requests: bytes) -> Iterator[Part]:
        """Send multipart requests and give the parts of the replies as they come.

        Args:
            requests: one or several, ready to send but for their transaction ids.

        Raises:
            SessionLostError: the VFN went away, refused, or sent nothing for `PART_SECONDS`.
            TransientError: the requests are not OpenFlow messages.
        """
        # One transaction id for all: the switch answers in order, so the end of the last answer is the end of all.
        xid = self.datapath.set_xid(self.datapath.ofproto_parser.OFPBarrierRequest(self.datapath))
        labelled, unanswered = multipart.relabel(requests, xid)
        parts = self._reads[xid] = hub.Queue()
        try:
            self._send(labelled)
            while unanswered:
                part: multipart.Part | SwitchError = self._await(parts, PART_SECONDS, "statistics")
                if isinstance(part, SwitchError):
                    raise SessionLostError(f"{self.vfn.name} refused statistics (error {part.type}/{part.code})")
                unanswered -= not part.more
                yield Part(part.kind, part.body, not unanswered)
        finally:
            del self._reads[xid]

    def port_mods(self, numbers: Iterable[int], *, down: bool) -> bytes:
        """Messages that take ports down or up; ports that are gone are left out.

        Open vSwitch compares with the flags that it last saw of a device and does nothing where they are as wanted, and
        soon after another change they may be out of date. So it is told the opposite first, which changes at most that.
        """
        messages = b""
        for number in numbers:
            port = self.ports.get(number)
            if port is None:
                LOG.warning(
                    "port %d of %s is gone; nothing to take %s", number, self.vfn.name, "down" if down else "up"
                )
            else:
                messages += port_mod(number, port.mac, down=not down, xid=0)
                messages += port_mod(number, port.mac, down=down, xid=0)
        return messages

    def on_part(self, part: multipart.Part) -> None:
        """Statistics came."""
        if part.xid in self._reads:
            self._reads[part.xid].put(part)

    def on_error(self, xid: int, error: SwitchError) -> None:
        """An error message came."""
        if xid in self._reads and error.data[1:2] == bytes((ofproto.OFPT_MULTIPART_REQUEST,)):
            self._reads[xid].put(error)
        elif self._barriers:
            self._barriers[0].errors.append(error)

    def on_barrier(self, xid: int) -> None:
        """A barrier's reply came."""
        if self._barriers and self._barriers[0].xid == xid:
            self._barriers.popleft().reply.put(None)

    def end(self, reason: str) -> None:
        """Close the session and let everybody who waits for an answer know why."""
        if self._lost is not None:
            return
        self._lost = reason
        for waiting in [*self._reads.values(), *(barrier.reply for barrier in self._barriers)]:
            waiting.put(SessionLostError(f"{self.vfn.name}: {reason}"))
        self.datapath.close()

    def _send(self, data: bytes) -> None:
        if self._lost is not None or not self.datapath.send(data):
            raise SessionLostError(f"{self.vfn.name}: {self._lost or 'the connection is closing'}")

    def _await(self, answers: Any, seconds: float, what: str) -> Any:
        try:
            answer = answers.get(timeout=seconds)
        except hub.QueueEmpty:
            self.end(f"no answer to {what} within {seconds:.0f} s")
            raise SessionLostError(f"{self.vfn.name}: {self._lost}") from None
        if isinstance(answer, SessionLostError):
            raise answer
        return answer
