"""Keeps the engine or the analyzer running: adopts one that answers, else starts it, and starts it again when it dies.

The processes are spawned in sessions of their own, never forked from eventlet: they outlive a control that is killed,
and the next one adopts them. Only a control that ends in an orderly way ends them too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ryu.lib import hub

from runtime.channel import Connection, Message, connect
from runtime.errors import ChannelError, TransientError
from ryu_apps.peer import Peer

LOG = logging.getLogger("dynseg.control.supervisor")

FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 30.0
STEADY_SECONDS = 10.0
"""A process that lasted this long is not failing over and over: the next pause is the first one again."""
START_SECONDS = 30.0
"""Time a new process has until it answers at its socket."""
STOP_SECONDS = 5.0
"""Time it has to end when told to."""


class Supervisor:
    """Supervises one process.

    Args:
        peer: its channel; `peer.name` is the `dynseg` command that starts it.
        socket_path: where it listens.
        folder: for its log and process id.
        hello: what control says of itself when it connects.
    """

    def __init__(self, peer: Peer, socket_path: Path, folder: Path, hello: Message) -> None:
        self._peer = peer
        self._socket_path = socket_path
        self._log_path = folder / f"{peer.name}.log"
        self._pid_path = folder / f"{peer.name}.pid"
        self._hello = hello
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._starts = 0
        self._stop = hub.Event()

    def status(self) -> Mapping[str, Any]:
        """For `GET /v1/status`: connected, pid, how often control started it."""
        return {"connected": self._peer.connected, "pid": self._pid, "starts": self._starts}

    def run(self) -> None:
        """Keep it running until `stop`."""
        backoff = FIRST_BACKOFF
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._converse(self._reach())
                problem = "it is gone"
            except TransientError as error:
                problem = str(error)
            self._pid = None
            if self._stop.is_set():
                return
            LOG.warning("%s: %s; trying again in %.1f s", self._peer.name, problem, backoff)
            if time.monotonic() - begun > STEADY_SECONDS:
                backoff = FIRST_BACKOFF
            self._stop.wait(timeout=backoff)
            backoff = min(2 * backoff, LONGEST_BACKOFF)

    def stop(self) -> None:
        """Tell it to end, and see that it does."""
        self._stop.set()
        pid = self._pid if self._child is None else self._child.pid
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if pid is None or not self._alive(pid):
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            with contextlib.suppress(hub.Timeout), hub.Timeout(STOP_SECONDS):
                while self._alive(pid):
                    hub.sleep(0.02)
        self._pid_path.unlink(missing_ok=True)

    def _reach(self) -> Connection:
        """A connection to the process, which is started if there is none.

        Raises:
            TransientError: it ended at once, or does not answer.
        """
        with contextlib.suppress(ChannelError):
            connection = connect(self._socket_path)
            if self._child is None:
                LOG.info("adopted the %s that runs as process %d", self._peer.name, connection.peer_pid())
            return connection
        if self._child is None or self._child.poll() is not None:
            self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while not self._stop.is_set():
            with contextlib.suppress(ChannelError):
                return connect(self._socket_path, timeout=0.2)
            if self._child is None or self._child.poll() is not None:
                status = None if self._child is None else self._child.returncode
                raise TransientError(f"ended with status {status}: {self._last_words()}")
            if time.monotonic() > deadline:
                self._child.kill()
                raise TransientError(f"did not answer within {START_SECONDS:.0f} s", remedy=f"see {self._log_path}")
        raise TransientError("control is ending")

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "cli.main", self._peer.name]
        with self._log_path.open("ab") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._starts += 1
        LOG.info("started the %s as process %d, log %s", self._peer.name, self._child.pid, self._log_path)

    def _converse(self, connection: Connection) -> None:
        self._pid = connection.peer_pid()
        if self._child is not None and self._child.pid != self._pid and self._child.poll() is not None:
            self._child = None  # ours is dead, and somebody else started this one
        self._pid_path.write_text(f"{self._pid}\n")
        connection.send(self._hello)
        self._peer.converse(connection)

    def _alive(self, pid: int) -> bool:
        """Whether the process, ours or adopted, runs.

        An adopted one is somebody else's child, and has closed its socket before it ends: its command line says it.
        """
        if self._child is not None:
            return self._child.poll() is None
        with contextlib.suppress(OSError):
            return self._peer.name in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return False

    def _last_words(self) -> str:
        with self._log_path.open("rb") as log:
            log.seek(max(0, self._log_path.stat().st_size - 500))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (log: {self._log_path})"
