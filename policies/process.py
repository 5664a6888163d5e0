"""The engine as a process: a socket, a loop, signals. Everything else is `policies.engine`."""

from __future__ import annotations

import gc
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from policies.aside import Way, Worker
from policies.codec import SwitchCodec
from policies.dryrun import DryRun
from policies.engine import Clock, Engine, Outgoing
from policies.measuring import measure
from policies.requests import problem
from policies.safely import Safely
from policies.service import Service
from policies.sparing import Sparing
from policies.store import Store
from runtime.channel import Event, Message, Peer, Server
from runtime.ending import ORPHAN_SECONDS, Company, on_signals
from runtime.errors import AuditError, ChannelError, DynsegError
from runtime.log import configure
from runtime.settings import Settings
from topology import inventory

LOG = logging.getLogger("dynseg.engine")

_LONGEST_WAIT = 1.0
TURN_SECONDS = 0.005
"""So long events are taken before what they wrote is given to the disk, all at once, and what follows waits for
it. A bundle of hundreds of VFNs each would otherwise wait for the disk by itself."""
NEGLECT_SECONDS = 0.05
"""What nobody asks for has its turn at least so often, however many ask for something."""
SPARING = Sparing(quiet_seconds=0.1, most_seconds=1.0, telling_seconds=0.1)
"""Isolations that follow each other closely have their VFNs compiled, and the analyzer told, together."""
_ROLES = ("control", "analyzer", "metrics")


def run(
    settings: Settings, codec: SwitchCodec, stop: Callable[[], bool] | None = None, dry_run: DryRun | None = None
) -> int:
    """Run the engine until it is told to end; returns the exit status.

    Args:
        dry_run: tries policies out on recorded flows.
        stop: asked at least every second whether to end; None: SIGTERM and SIGINT say so.
    """
    configure("engine", settings.log_level, settings.log_format)
    try:
        known = inventory.load(settings.inventory)
        with ExitStack() as stack:
            # Before the socket is there: whoever can connect can also tell this process to end.
            ending = None if stop else stack.enter_context(on_signals())
            store = stack.enter_context(closing(Store(settings.database)))
            server = stack.enter_context(closing(Server(settings.engine_socket)))
            if ending is not None:
                server.watch(ending.fileno())
            compiling, reading, trying = workers = Worker(), Worker(), Worker()
            disk, tidier = Worker(), Worker()
            for worker in (*workers, disk, tidier):
                server.watch(worker.fileno)
            clock, way = Clock(time.time, time.monotonic), Way()
            engine = Engine(
                known,
                codec,
                store,
                settings.engine,
                settings.openflow,
                settings.payload,
                settings.taps,
                clock=clock,
                aside=compiling,
                reading=reading,
                trying=trying,
                dry_run=dry_run,
                sparing=SPARING,
                way=way,
            )
            gc.collect()
            gc.freeze()  # what is there by now stays; to look through it again and again would be felt
            LOG.info("engine is up as process %d with %d rules", os.getpid(), len(engine.book.records))
            safely = Safely(store, disk, tidier, lambda sent: sent[1].hurried, _lane)
            loop = _Loop(engine, server, workers, safely, way)
            loop.run(stop or (lambda: ending is not None and ending.asked))
            engine.stop()
    except DynsegError as error:
        LOG.error("%s", error)  # noqa: TRY400 - the sentence is for a person; its trace would hide it
        return 1
    return 0


class _Loop:
    """Who is connected, and messages in and out."""

    def __init__(self, engine: Engine, server: Server, workers: Sequence[Worker], safely: Safely, way: Way) -> None:
        self._engine = engine
        self._service = Service(engine)
        self._server = server
        self._workers = workers
        self._peers: dict[str, Peer] = {}
        self._outgoing: list[tuple[Peer, Outgoing]] = []
        self._asked: set[int] = set()
        """Calls that have not been answered."""
        self._safely = safely
        self._way = way
        self._looked_after = 0.0
        """When work that was put aside, and what is due, last had a turn."""
        self._company = Company()

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop`, or until control has been away for `ORPHAN_SECONDS`.

        Raises:
            AuditError: nothing can be written any more; whoever waits for an answer has been told.
        """
        try:
            self._serve(stop)
        except AuditError as error:
            self._give_up(error)
            raise

    def _serve(self, stop: Callable[[], bool]) -> None:
        events: deque[Event] = deque()
        busy = False
        while not stop():
            events += self._server.poll(0.0 if busy else self._wait())
            self._way.claim(any(map(_is_pressing, events)))
            busy = self._turn(events)
            self._way.claim(any(map(_is_pressing, events)))
            if self._company.missed():
                LOG.warning("no control for %.0f s: ending", ORPHAN_SECONDS)
                break
        while self._safely.busy:
            self._server.poll(_LONGEST_WAIT)
            self._send()

    def _give_up(self, error: AuditError) -> None:
        """Tell whoever waits for an answer. What they asked for is done as a whole or not at all."""
        status, told = problem(
            503,
            f"not confirmed: the engine's store {error.message}",
            f"{error.remedy or 'see to its disk'}; then look whether it was done",
        )
        if (control := self._peers.get("control")) is None:
            return
        for request in self._asked:
            data = {"request": request, "status": status}
            self._server.send(control, Message("result", data, json.dumps(told).encode()))

    def _wait(self) -> float:
        """Seconds until something is due."""
        waits = (_LONGEST_WAIT, self._engine.patience(), self._safely.seconds())
        return min(seconds for seconds in waits if seconds is not None)

    def _turn(self, events: deque[Event]) -> bool:
        """Take some events, and see to it that what follows is sent when all that they wrote is on the disk.

        Returns whether there is more to do at once.
        """
        self._send()
        with self._engine.store.together(durable=False):
            busy = self._work(events)
        self._send()
        return busy

    def _work(self, events: deque[Event]) -> bool:
        """Take some events; is there more to do at once?

        What somebody asked for goes out before anything else is begun; proposals that wait together go to the disk
        together, and with them what is as quickly done.
        """
        asked, end = False, time.monotonic() + TURN_SECONDS
        while events and time.monotonic() < end and not self._safely.ready and (not asked or _is_quick(events[0])):
            event = events.popleft()
            self._take(event)
            asked = asked or _is_asking(event)
            if not asked and any(worker.ready for worker in self._workers):
                self._collect()  # so that they have work again
        if not asked or time.monotonic() > self._looked_after + NEGLECT_SECONDS:
            self._collect()
            self._put(self._engine.timer())
            self._looked_after = time.monotonic()
        return asked or bool(events)

    def _collect(self) -> None:
        """What follows from work that was put aside and is done."""
        for worker in self._workers:
            self._put(worker.finished())
        self._put(self._engine.catch_up())

    def _take(self, event: Event) -> None:
        peer, message = event.peer, event.message
        if peer is None:
            return  # a signal, which `stop` knows, or a worker
        role = next((role for role, known in self._peers.items() if known is peer), None)
        if message is None:
            self._gone(peer, role)
        elif message.kind == "hello":
            self._hello(peer, message)
        elif role is None:
            LOG.warning("%s came from somebody who has not said hello: ignored", message.kind)
        else:
            self._handle(role, message)

    def _handle(self, role: str, message: Message) -> None:
        if role == "analyzer":
            self._put(self._engine.from_analyzer(message))
        elif message.kind == "measure":
            self._put([Outgoing(role, Message("measured", measure(self._engine)))])
        elif message.kind == "call":
            self._asked.add(message.data["request"])
            self._put(self._service.call(message))
        else:
            self._put(self._engine.from_control(message))

    def _hello(self, peer: Peer, message: Message) -> None:
        role = message.data.get("role")
        if role not in _ROLES:
            LOG.warning("somebody who says to be %r: ignored", role)
            return
        LOG.info("%s is here as process %s", role, message.data.get("pid"))
        known_before = role in self._peers
        self._peers[role] = peer
        if role == "analyzer":
            self._put(self._engine.analyzer_here())
        if role != "control":
            return
        self._company.came(peer)
        if known_before:  # what the one before had under way will not be answered
            self._control_gone()

    def _control_gone(self) -> None:
        self._asked.clear()
        self._service.control_gone()
        self._put(self._engine.control_gone())

    def _gone(self, peer: Peer, role: str | None) -> None:
        self._company.left(peer)
        if role is None:
            return
        LOG.warning("%s is gone%s", role, f": {peer.fault}" if peer.fault else "")
        del self._peers[role]
        if role == "control":
            self._control_gone()

    def _put(self, outgoing: list[Outgoing]) -> None:
        """To be sent to who is there now; who is away is told everything when it comes back."""
        self._outgoing += [(peer, out) for out in outgoing if (peer := self._peers.get(out.to)) is not None]

    def _send(self) -> None:
        """Send what need not wait for the disk any more, and leave the rest to it."""
        outgoing, self._outgoing = self._outgoing, []
        for peer, out in self._safely.leave(outgoing):
            if out.message.kind == "result":
                self._asked.discard(out.message.data["request"])
            try:
                self._server.send(peer, out.message)
            except ChannelError as error:
                LOG.error("%s to %s was not sent: %s", out.message.kind, out.to, error)  # noqa: TRY400


def _lane(sent: tuple[Peer, Outgoing]) -> tuple[Peer, object]:
    """A process, and the VFN that a message is about: what is sent there keeps its order."""
    peer, out = sent
    return peer, out.message.data.get("dpid")


def _is_quick(event: Event) -> bool:
    return event.message is not None and event.message.kind in ("propose", "applied")


def _is_pressing(event: Event) -> bool:
    """Does what is computed aside stop for it?"""
    return _is_quick(event) or _is_asking(event)


def _is_asking(event: Event) -> bool:
    """Does somebody wait, or an isolation? Then it goes on at once."""
    return event.message is not None and event.message.kind in ("call", "propose")
