"""Follows the local Open vSwitch's database and keeps the inventory's bridges set as they should be.

Changes are told by the database itself (a monitor, RFC 7047 section 4.1.5); settings are written by `ovs-vsctl`.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ryu.lib import hub

from runtime import priority
from runtime.errors import SettingsError, TransientError
from ryu_apps import datapath
from ryu_apps.bridges import MONITORED, Database, Targets, commands, forget, joined
from ryu_apps.passes import Passes
from topology.model import Inventory, Vfn

LOG = logging.getLogger("dynseg.control.ovsdb")

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 15.0
REMEDY = "start Open vSwitch, run control as root, or set ovsdb.manage_bridges to false and set the bridges yourself"
_RECEIVE_BYTES = 1 << 20
_MAX_TEXT = 64 << 20
_FENCE = "written"
_AT_ONCE = 500
"""Bridges that are set by one command, whose length has a limit."""


def connect(endpoint: str) -> socket.socket:
    """A connection to an OVSDB server, `unix:PATH` or `tcp:HOST:PORT`.

    Raises:
        SettingsError: the endpoint is written wrongly.
        TransientError: nobody answers there, or we may not connect.
    """
    kind, _, rest = endpoint.partition(":")
    try:
        if kind == "unix":
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.connect(rest)
            return sock
        host, _, port = rest.rpartition(":")
        if kind == "tcp" and host and port.isdigit():
            return socket.create_connection((host.strip("[]"), int(port)), timeout=5)
    except OSError as error:
        raise TransientError(f"OVSDB at {endpoint} is not reachable: {_words(error)}", remedy=REMEDY) from error
    raise SettingsError(f"{endpoint!r} is no OVSDB server", key="ovsdb.endpoint", remedy="unix:PATH or tcp:HOST:PORT")


class Ovsdb:
    """The local database: a replica, and the bridges' settings.

    Args:
        endpoint: the OVSDB server.
        inventory: whose VFNs to look after.
        targets: where the bridges shall find control and collector; None: only follow, change nothing.
        on_interface_ids: takes interface name -> iface-id, whenever they have changed.
        on_bridges: told when there are other bridges than before.
    """

    def __init__(
        self,
        endpoint: str,
        inventory: Inventory,
        targets: Targets | None,
        on_interface_ids: Callable[[Mapping[str, str]], None],
        on_bridges: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self._inventory = inventory
        self._targets = targets
        self._on_interface_ids = on_interface_ids
        self._on_bridges = on_bridges
        self.connected = False
        self._bridges: Mapping[str, str] = {}
        run_dir = Path(endpoint.removeprefix("unix:")).parent
        self._run_dir = run_dir if endpoint.startswith("unix:") else None
        self._favoured: int | None = None
        """The switch daemon whose group was given its niceness."""
        self._passes = Passes(run_dir)
        self._interface_ids: Mapping[str, str] = {}
        self._collector_sets: list[str] = []
        self._writes = 0

    def run(self) -> None:
        """Follow the database for ever; when it goes away, control goes on and tries again."""
        backoff, told = FIRST_BACKOFF, ""
        while True:
            try:
                for database in self._follow():
                    self._compare(database)
                    backoff, told = FIRST_BACKOFF, ""
            except TransientError as error:
                level = logging.DEBUG if str(error) == told else logging.WARNING  # once for each trouble
                LOG.log(level, "%s; trying again in %.1f s", error, backoff)
                told = str(error)
            self.connected = False
            hub.sleep(backoff)
            backoff = min(2 * backoff, LONGEST_BACKOFF)

    def wait_until_followed(self, vfn: Vfn, anew: bool) -> None:
        """Return when packets meet the VFN's flow tables as they are now; at once when its switch is not local.

        Args:
            anew: have its switch make all decisions anew (`ryu_apps.passes`).
        """
        if self._run_dir_of(vfn.bridge) is None:
            return
        try:
            self._passes.wait(anew=anew)
        except TransientError as error:
            LOG.warning("cannot tell when the data path of %s follows its tables: %s", vfn.name, error)

    def favour_switch(self) -> None:
        """Let the switch daemon, if it is local, wait for processors no longer than control (`runtime.priority`)."""
        if self._run_dir is None or not self._bridges:
            return
        try:
            process = datapath.process(self._run_dir)
        except TransientError as error:
            LOG.warning("the switch may have to wait behind others: %s", error)
            return
        if process != self._favoured:
            self._favoured = process
            priority.speak_for_group(process)

    def trace(self, bridge: str, flow: str, states: Sequence[str]) -> str | None:
        """`datapath.trace` of a local bridge; None: its switch is not local.

        Raises:
            TransientError: the switch cannot be asked, or refuses the flow.
        """
        run_dir = self._run_dir_of(bridge)
        return None if run_dir is None else datapath.trace(run_dir, bridge, flow, states)

    def _run_dir_of(self, bridge: str) -> Path | None:
        """Where the switch daemon of a bridge can be asked, if that is on this machine."""
        return self._run_dir if bridge in self._bridges else None

    def limit_connections(self, vfn: Vfn, zones: Collection[int], most: int) -> None:
        """Keep at most so many connections in each of these conntrack zones, if the VFN's switch is local."""
        run_dir = self._run_dir_of(vfn.bridge)
        if run_dir is None or not zones:
            return
        try:
            changed = datapath.limit_connections(run_dir, self._bridges[vfn.bridge], zones, most)
        except TransientError as error:
            LOG.warning("connections of the VMs of %s are not limited: %s", vfn.name, error)
        else:
            LOG.info("connections of %d VMs of %s are limited to %d each now", changed, vfn.name, most)

    def _compare(self, database: Database) -> None:
        bridges = database.datapaths()
        if bridges != self._bridges:
            self._bridges = bridges
            self._on_bridges()
        ids = database.interface_ids()
        if ids != self._interface_ids:
            self._interface_ids = ids
            self._on_interface_ids(ids)
        if self._targets is None:
            return
        if orphans := database.orphans:
            self._write(forget(orphans))
        sets = database.collector_sets
        self._collector_sets = [sets[vfn.bridge][0] for vfn in self._inventory.vfns.values() if vfn.bridge in sets]
        wanted = {vfn.bridge: commands(vfn, self._targets, database) for vfn in self._inventory.vfns.values()}
        differing = [(bridge, arguments) for bridge, arguments in wanted.items() if arguments]
        for start in range(0, len(differing), _AT_ONCE):
            some = differing[start : start + _AT_ONCE]
            for bridge, arguments in some:
                LOG.info("setting bridge %s: %s", bridge, " ".join(arguments))
            self._write(joined(arguments for _, arguments in some))

    def close(self) -> None:
        """Have nobody told of IPv6 flows any more: a bridge could not be deleted whole while it is."""
        if self._collector_sets:
            try:
                self._write(forget(self._collector_sets))
            except TransientError as error:
                LOG.warning("sets of IPFIX collectors stay: %s", error)

    def _write(self, arguments: list[str]) -> None:
        self._writes += 1
        # --no-wait: the switch takes the settings up by itself, and its session shows that it has.
        command = ["ovs-vsctl", f"--db={self._endpoint}", "--timeout=10", "--no-wait", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError as error:
            raise TransientError(f"ovs-vsctl cannot be run: {error.strerror}", remedy="install Open vSwitch") from error
        if done.returncode:
            raise TransientError(f"ovs-vsctl failed: {done.stderr.decode(errors='replace').strip()}")

    def _follow(self) -> Iterator[Database]:
        """The replica, whenever it has changed.

        Raises:
            TransientError: the server is away, or its answer is not OVSDB.
        """
        with connect(self._endpoint) as sock:
            sock.settimeout(None)
            columns = {table: {"columns": list(names)} for table, names in MONITORED.items()}
            _send(sock, {"method": "monitor", "id": 0, "params": ["Open_vSwitch", None, columns]})
            self.connected = True
            tables: dict[str, dict[str, Any]] = {table: {} for table in MONITORED}
            changed, seen = False, self._writes
            for messages in _receive(sock):
                for message in messages:
                    if message.get("id") == _FENCE:
                        seen = self._writes
                    else:
                        changed |= _take(sock, message, tables)
                if changed and seen == self._writes:
                    changed = False
                    yield Database(tables)
                    if seen != self._writes:
                        # What was written comes back before the answer to this. A replica that has only a part of it
                        # would have the rest written again, and a bridge with a new controller loses its session.
                        _send(sock, {"method": "echo", "id": _FENCE, "params": []})


def _words(error: OSError) -> str:
    """What happened, in words: a green socket's own text is only the errno's name."""
    return os.strerror(error.errno) if error.errno else str(error)


def _take(sock: socket.socket, message: Mapping[str, Any], tables: dict[str, dict[str, Any]]) -> bool:
    """Work one message of the server into the replica; did it change?"""
    if message.get("method") == "echo":
        _send(sock, {"result": message["params"], "error": None, "id": message["id"]})
        return False
    if message.get("error") is not None:
        raise TransientError(f"OVSDB refused to be followed: {message['error']}")
    updates = message["params"][1] if message.get("method") == "update" else message["result"]
    for table, rows in updates.items():
        for uuid, row in rows.items():
            if "new" in row:
                tables[table][uuid] = row["new"]
            else:
                tables[table].pop(uuid, None)
    return True


def _send(sock: socket.socket, message: Mapping[str, Any]) -> None:
    try:
        sock.sendall(json.dumps(message).encode())
    except OSError as error:
        raise TransientError(f"OVSDB went away: {_words(error)}", remedy=REMEDY) from error


def _receive(sock: socket.socket) -> Iterator[list[Mapping[str, Any]]]:
    """The server's messages, those that came together at once: JSON texts without anything between them."""
    parse, decode, text = json.JSONDecoder().raw_decode, codecs.getincrementaldecoder("utf-8")("replace").decode, ""
    while True:
        try:
            chunk = sock.recv(_RECEIVE_BYTES)
        except OSError as error:
            raise TransientError(f"OVSDB went away: {_words(error)}", remedy=REMEDY) from error
        text += decode(chunk)
        if not chunk or len(text) > _MAX_TEXT:
            raise TransientError("OVSDB closed the connection", remedy=REMEDY)
        messages: list[Mapping[str, Any]] = []
        while text:
            try:
                message, end = parse(text)
            except json.JSONDecodeError:
                break  # not whole yet
            messages.append(message)
            text = text[end:].lstrip()
        if messages:
            yield messages
