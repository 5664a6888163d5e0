"""The process `dynseg metrics`: a thread looks each interval, another writes, the loop answers control."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from dashboards.metrics.exposition import exposition
from dashboards.metrics.gather import Control, Gatherer
from dashboards.metrics.lines import Encoder
from dashboards.metrics.target import Target
from dashboards.metrics.writer import Writer
from runtime import log as logs
from runtime import loglevel
from runtime.channel import Message, Peer, Server
from runtime.ending import ORPHAN_SECONDS, Company, on_signals
from runtime.errors import ChannelError, DynsegError, SettingsError
from runtime.settings import Settings
from topology import inventory as inventories

SETTLE_SECONDS = 1.5
"""After the end of an interval: so late the analyzer has closed it."""
LAST_SECONDS = 3.0
"""For what waits to be written when the process ends."""
CLOCK_SECONDS = 30.0
"""A database whose clock is further away than that from ours is told of in the log: it may leave our points out."""

LOG = logging.getLogger("dynseg.metrics")


class Process:
    """A socket for control, and two threads."""

    def __init__(self, settings: Settings, version: str) -> None:
        """Make everything; the threads run.

        Raises:
            DynsegError: no database is set, the inventory is wrong, or the socket cannot be had.
        """
        metrics = settings.metrics
        if metrics.url is None:
            raise SettingsError("no database to write to", key="metrics.url", remedy="set it, as in http://host:8428")
        inventory = inventories.load(settings.inventory)
        self._server = Server(settings.metrics_socket)
        self._seconds = metrics.interval_seconds
        self._target = Target(metrics)
        self._writer = Writer(self._target.send, metrics.batch_points, int(metrics.buffer_megabytes * 1e6))
        encoder = Encoder(metrics.node or socket.gethostname(), texts=metrics.texts)
        self._gatherer = Gatherer(settings, inventory, encoder, version)
        self._exposition = exposition(self._writer.counts, version)
        self._told = Control()
        self._warned = False
        self._control = Company()
        self._stopping = threading.Event()
        self._looking = threading.Thread(target=self._look, name="metrics-look", daemon=True)

    def run(self) -> int:
        """Work until told to stop, or until nobody wants the process any more."""
        with closing(self), on_signals() as ending:
            self._server.watch(ending.fileno())
            self._looking.start()
            while not ending.asked and not self._control.missed():
                for event in self._server.poll(1.0):
                    if event.peer is not None:
                        self._from_control(event.peer, event.message)
        if not ending.asked:
            LOG.warning("nobody has asked for the writer of metrics in %g s: ending", ORPHAN_SECONDS)
        return 0

    def close(self) -> None:
        """Write what waits, and give everything back."""
        self._stopping.set()
        if self._looking.is_alive():
            self._looking.join()
        self._writer.close(LAST_SECONDS)
        self._target.close()
        self._server.close()

    def _look(self) -> None:
        """A look after the end of each interval. What goes wrong with one does not end the next."""
        while not self._stopping.wait(_until_next(time.time(), self._seconds)):
            at = time.time() // self._seconds * self._seconds
            counts = self._writer.counts(anew=True)
            try:
                self._writer.put([*self._gatherer.look(at, self._told, counts)])
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                LOG.exception("what was told at %.0f is not understood: its points are missing", at)
            self._check_clock(counts.clock_offset)
        self._gatherer.close()

    def _check_clock(self, offset: float | None) -> None:
        wrong = offset is not None and abs(offset) > CLOCK_SECONDS
        if wrong and not self._warned:
            LOG.warning("the database's clock is %+.0f s from ours: it may leave points out without a word", offset)
        self._warned = wrong

    def _from_control(self, peer: Peer, message: Message | None) -> None:
        if message is None:
            self._control.left(peer)
            return
        try:
            self._take(peer, message)
        except (KeyError, TypeError, ValueError, ChannelError):
            LOG.exception("control sent a %s that is not understood: %s", message.kind, message.data)

    def _take(self, peer: Peer, message: Message) -> None:
        if message.kind == "hello":
            if message.data.get("role") == "control":
                self._control.came(peer)
        elif message.kind == "health":
            self._told = Control(time.time(), message.data)
        elif message.kind == "call":
            status, body = self._answer(str(message.data["method"]), message.data["params"])
            self._server.send(peer, Message("result", {"request": message.data["request"], "status": status}, body))
        else:
            LOG.error("a message of unknown kind %r came in", message.kind)

    def _answer(self, method: str, params: Mapping[str, Any]) -> tuple[int, bytes]:
        if method == "exposition":
            return 200, self._exposition.text()
        if method == "log_level":
            status, value = loglevel.answer(params)
            return status, json.dumps(value).encode()
        if method == "status":
            return 200, json.dumps(vars(self._writer.counts())).encode()
        return 404, json.dumps(
            {"error": f"metrics knows no {method}", "remedy": "exposition, log_level or status"}
        ).encode()


def _until_next(now: float, seconds: float) -> float:
    """Seconds until an interval has ended and settled."""
    return seconds - (now - SETTLE_SECONDS) % seconds


def run(settings: Settings, version: str) -> int:
    """Run the writer of metrics; its exit status. Ends on SIGTERM, or `ORPHAN_SECONDS` after control has gone."""
    logs.configure("metrics", settings.log_level, settings.log_format)
    try:
        process = Process(settings, version)
    except DynsegError as error:
        LOG.critical("%s", error)
        return 1
    return process.run()
