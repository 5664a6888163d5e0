"""The engine as a process: a socket, a loop, signals. Everything else is `policies.engine`."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from policies.aside import Worker
from policies.codec import SwitchCodec
from policies.dryrun import DryRun
from policies.engine import Clock, Engine, Outgoing
from policies.service import Service
from policies.store import Store
from runtime.channel import Event, Message, Peer, Server
from runtime.errors import ChannelError, DynsegError
from runtime.log import configure
from runtime.settings import Settings
from topology import inventory

LOG = logging.getLogger("dynseg.engine")

ORPHAN_SECONDS = 30.0
"""Without control for so long, the engine ends; the switches go on by themselves."""
_LONGEST_WAIT = 1.0
TURN_SECONDS = 0.005
"""So long events are taken before what they wrote is put on the disk, all at once, and what follows from them is sent.
A bundle of hundreds of VFNs each would otherwise wait for the disk by itself."""
_ROLES = ("control", "analyzer")


def run(
    settings: Settings, codec: SwitchCodec, stop: Callable[[], bool] | None = None, dry_run: DryRun | None = None
) -> int:
    """Run the engine until it is told to end; returns the exit status.

    Args:
        dry_run: tries policies out on recorded flows.
        stop: asked at least every second whether to end; None: SIGTERM and SIGINT say so.
    """
    configure("engine", settings.log_level)
    try:
        known = inventory.load(settings.inventory)
        with ExitStack() as stack:
            # Before the socket is there: whoever can connect can also tell this process to end.
            ending = None if stop else stack.enter_context(_signals())
            store = stack.enter_context(closing(Store(settings.database)))
            server = stack.enter_context(closing(Server(settings.engine_socket)))
            if ending is not None:
                server.watch(ending.fileno)
            compiling, reading, trying = workers = Worker(), Worker(), Worker()
            for worker in workers:
                server.watch(worker.fileno)
            clock = Clock(time.time, time.monotonic)
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
            )
            gc.collect()
            gc.freeze()  # what is there by now stays; to look through it again and again would be felt
            LOG.info("engine is up as process %d with %d rules", os.getpid(), len(engine.book.records))
            _Loop(engine, server, workers).run(stop or (lambda: ending is not None and bool(ending.received)))
            engine.stop()
    except DynsegError as error:
        LOG.error("%s", error)  # noqa: TRY400 - the sentence is for a person; its trace would hide it
        return 1
    return 0


class _Loop:
    """Who is connected, and messages in and out."""

    def __init__(self, engine: Engine, server: Server, workers: Sequence[Worker]) -> None:
        self._engine = engine
        self._service = Service(engine)
        self._server = server
        self._workers = workers
        self._peers: dict[str, Peer] = {}
        self._outgoing: list[tuple[Peer, Outgoing]] = []
        self._alone_since: float | None = time.monotonic()

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop`, or until nobody has been there for `ORPHAN_SECONDS`."""
        while not stop():
            patience = self._engine.patience()
            wait = _LONGEST_WAIT if patience is None else min(patience, _LONGEST_WAIT)
            events = deque(self._server.poll(wait))
            while self._turn(events):
                pass
            if self._alone_since is not None and time.monotonic() - self._alone_since > ORPHAN_SECONDS:
                LOG.warning("no control for %.0f s: ending", ORPHAN_SECONDS)
                return

    def _turn(self, events: deque[Event]) -> bool:
        """Take some events, and send what follows from them when all that they wrote is on the disk.

        Returns whether there is more to do at once. What somebody asked for goes out before anything else is begun.
        """
        asked = False
        with self._engine.store.together():
            end = time.monotonic() + TURN_SECONDS
            while events and not asked and time.monotonic() < end:
                event = events.popleft()
                self._take(event)
                asked = _is_asking(event)
                if not asked and any(worker.ready for worker in self._workers):
                    self._collect()  # so that they have work again
            if not asked:
                self._collect()
                self._put(self._engine.timer())
        self._send()
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
        elif message.kind == "call":
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
            return
        self._alone_since = None
        if known_before:  # what the one before had under way will not be answered
            self._control_gone()

    def _control_gone(self) -> None:
        self._service.control_gone()
        self._put(self._engine.control_gone())

    def _gone(self, peer: Peer, role: str | None) -> None:
        if role is None:
            return
        LOG.warning("%s is gone%s", role, f": {peer.fault}" if peer.fault else "")
        del self._peers[role]
        if role == "control":
            self._alone_since = time.monotonic()
            self._control_gone()

    def _put(self, outgoing: list[Outgoing]) -> None:
        """To be sent to who is there now; who is away is told everything when it comes back."""
        self._outgoing += [(peer, out) for out in outgoing if (peer := self._peers.get(out.to)) is not None]

    def _send(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        for peer, out in outgoing:
            try:
                self._server.send(peer, out.message)
            except ChannelError as error:
                LOG.error("%s to %s was not sent: %s", out.message.kind, out.to, error)  # noqa: TRY400


def _is_asking(event: Event) -> bool:
    """Does somebody wait, or an isolation? Then it goes on at once."""
    return event.message is not None and event.message.kind in ("call", "propose")


@dataclass(frozen=True)
class _Ending:
    """The signals that have come, and a file that is readable from then on."""

    received: list[int]
    fileno: int


@contextmanager
def _signals() -> Iterator[_Ending]:
    """Whether SIGTERM or SIGINT has come; their coming ends a wait of the server that watches the file at once."""
    received: list[int] = []
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        before = {number: signal.signal(number, lambda n, _frame: received.append(n)) for number in _ENDING}
        old = signal.set_wakeup_fd(writer.fileno())
        try:
            yield _Ending(received, reader.fileno())
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in before.items():
                signal.signal(number, handler)


_ENDING = (signal.SIGTERM, signal.SIGINT)
