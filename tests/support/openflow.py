"""A session with a bridge's management socket, for tests marked `ovs`."""

from __future__ import annotations

import re
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from benchmarks.management import ERROR, MULTIPART_REPLY, Management
from policies.codec import InstalledEntry
from ryu_apps.wire import flowmod, stats
from ryu_apps.wire.bundle import stage

DEADLINE = 60.0
_MOST_RECIRCULATIONS = 2


@dataclass(frozen=True)
class SwitchError:
    """An OFPT_ERROR."""

    xid: int
    type: int
    code: int
    data: bytes


@dataclass(frozen=True)
class Answer:
    """What came back until the barrier reply."""

    seconds: float
    errors: tuple[SwitchError, ...]
    messages: tuple[bytes, ...]
    """Everything else, whole."""


class Switch:
    """One OpenFlow session. Messages go out as given; `send` returns what came back until the barrier."""

    def __init__(self, bridge: str) -> None:
        self.bridge = bridge
        self._management = Management(bridge, DEADLINE)

    def send(self, *messages: bytes) -> Answer:
        """Send, then wait for the barrier."""
        begin = time.perf_counter()
        errors: list[SwitchError] = []
        others: list[bytes] = []
        for message in self._management.exchange(b"".join(messages)):
            if message[1] == ERROR:
                kind, code = struct.unpack_from("!HH", message, 8)
                errors.append(SwitchError(int.from_bytes(message[4:8], "big"), kind, code, message[12:]))
            else:
                others.append(message)
        return Answer(time.perf_counter() - begin, tuple(errors), tuple(others))

    def transact(self, bundle: bytes) -> Answer:
        """Send a bundle as it must be sent: commit when nothing was refused, else discard."""
        staged = stage(bundle)
        first = self.send(staged.prepare)
        second = self.send(staged.discard if first.errors else staged.commit)
        return Answer(first.seconds + second.seconds, first.errors + second.errors, first.messages + second.messages)

    def parts(self, request: bytes) -> list[bytes]:
        """Raw bodies of a multipart reply."""
        answer = self.send(request)
        assert not answer.errors, answer.errors
        return [message[16:] for message in answer.messages if message[1] == MULTIPART_REPLY]

    def entries(self) -> list[InstalledEntry]:
        """Every entry in the switch."""
        request = stats.request(1)
        return [entry for part in self.parts(request) for entry in stats.decode_entries(part)]

    def clear(self) -> None:
        """Delete every entry."""
        answer = self.send(flowmod.delete_by_cookie(0, 0, 1))
        assert not answer.errors, answer.errors

    @cached_property
    def datapath_ports(self) -> dict[int, int]:
        """OpenFlow port number by the datapath's own, which bridges share."""
        shown = subprocess.run(["ovs-appctl", "dpif/show"], check=True, capture_output=True, text=True).stdout
        ours = re.findall(rf"^\s+{self.bridge}\w* (\d+)/(\d+):", shown, re.MULTILINE)
        return {int(datapath): int(openflow) for openflow, datapath in ours}

    def close(self) -> None:
        """End the session."""
        self._management.close()


@dataclass(frozen=True)
class Trace:
    """What the switch would do with a frame."""

    ports: tuple[int, ...]
    """OpenFlow numbers of the ports by which it would send it on, sorted, as often as it would; empty: dropped."""
    path: tuple[tuple[int, int], ...]
    """Table and priority of each entry that it met."""


def trace(switch: Switch, in_port: int, frame: bytes, found: str = "trk,new") -> Trace:
    """Ask the switch what it would do.

    Args:
        found: what connection tracking shall find, as `--ct-next` takes it, each time that it is asked.
    """
    asked = ["--ct-next", found] * _MOST_RECIRCULATIONS
    command = ["ovs-appctl", "ofproto/trace", switch.bridge, f"in_port={in_port}", *asked, frame.hex()]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    stages = re.findall(r"^Datapath actions: (.*)$", text, re.MULTILINE)
    assert stages, text
    outputs = [part for actions in stages for part in _outermost(actions).split(",") if part.isdigit()]
    ports = sorted(switch.datapath_ports[int(number)] for number in outputs)
    path = re.findall(r"^\s*(\d+)\. .*?priority (\d+)", text, re.MULTILINE)
    return Trace(tuple(ports), tuple((int(table), int(priority)) for table, priority in path))


def _outermost(actions: str) -> str:
    """Actions without what stands in brackets: copies to the controller, meters, connection tracking."""
    while (shorter := re.sub(r"\([^()]*\)", "", actions)) != actions:
        actions = shorter
    return actions


@contextmanager
def bridge(name: str, ports: Sequence[str] = (), dpid: int = 1) -> Iterator[Switch]:
    """A netdev bridge of its own, with internal ports numbered from 1 in the order given, and a session with it."""
    adds = "".join(
        f" -- add-port {name} {port} -- set Interface {port} type=internal ofport_request={number}"
        for number, port in enumerate(ports, 1)
    ).split()
    ovs_vsctl(
        *["--may-exist", "add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev", "fail_mode=secure"],
        *["protocols=OpenFlow13", f"other-config:datapath-id={dpid:016x}", *adds],
    )
    try:
        switch = Switch(name)
        try:
            yield switch
        finally:
            switch.close()
    finally:
        ovs_vsctl("--if-exists", "del-br", name)


def ovs_vsctl(*arguments: str) -> str:
    """Run ovs-vsctl and wait for the switch to follow."""
    command = ["ovs-vsctl", f"--timeout={DEADLINE:.0f}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
