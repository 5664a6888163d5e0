"""From copies of packets to evidence: each is checked against the consents again, searched elsewhere, and forgotten.

What stays of a packet is which rule matched, where, and a keyed hash of what matched. Payload is in no log, no message
to others, and no file; nothing here shows a packet, not even when it goes wrong.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analyzer.copies import Copies
from analyzer.packets import Claim, Segment, UnreadableFrameError, read
from analyzer.payload.agreed import Consents, together
from analyzer.payload.matcher import Answer, Matcher
from analyzer.payload.worker import Match
from runtime.settings import Settings
from topology.model import Inventory, Vm

SENT, GOT = 2, 15
"""Tables of the pipeline (docs/pipeline.md) that copy what a VM sends and gets."""
RISK = 60.0
"""Of a match: it is told, and never acts alone."""
MOST_PER_SECOND = 3000
"""Copies that are read in a second, of all VFNs; more would take time from flows."""
QUIET_SECONDS = 60.0
"""A flow that was quiet for so long begins anew."""
MOST_FLOWS = 65_536
TELL_SECONDS = 60.0
"""What is wrong with a file is logged this often."""

log = logging.getLogger("dynseg.analyzer.payload")

_Flow = tuple[str, bool, object, object, int, int, bool]


@dataclass(frozen=True)
class Said:
    """A packet with payload, without it."""

    vm: Vm
    sent: bool
    """By the VM; else it got it."""
    packet: Segment
    """Its payload is empty."""
    time: float
    """Epoch seconds."""
    consents: tuple[str, ...]
    """Ids of those that allowed to look."""


@dataclass(frozen=True)
class Evidence:
    """A rule has matched what a VM said."""

    vm: Vm
    behaviour: str
    reason: str
    time: float


class Inspector:
    """Everything about payload in the analyzer.

    Args:
        owner: the VM on a port (datapath id, OpenFlow port).
    """

    def __init__(self, settings: Settings, inventory: Inventory, owner: Callable[[int, int], Vm | None]) -> None:
        self.consents = Consents()
        self._inventory = inventory
        self._owner = owner
        self._most = settings.payload.packets_per_flow
        self._matcher: Matcher[Said] = Matcher(settings.payload.patterns, settings.payload_key)
        self._flows: OrderedDict[_Flow, tuple[int, float]] = OrderedDict()
        self._told: dict[str, float] = {}
        self._second = 0
        self._left = MOST_PER_SECOND
        self.copies = 0
        self.unread = 0
        self.unreadable = 0
        self.unagreed = 0
        self.beyond = 0
        self.matched = 0

    def fileno(self) -> int:
        """Readable whenever `found` has something."""
        return self._matcher.fileno()

    def agree(self, consents: list[dict[str, Any]]) -> None:
        """The engine says which consents are in force.

        Raises:
            KeyError, TypeError, ValueError: it is not understood; then none is.
        """
        self.consents.tell(consents, time.time(), time.monotonic())
        self.tick()

    def take(self, dpid: int, copies: Copies) -> None:
        """Copies of packets of a VFN, of whatever kind; those that bear payload are searched, if that was agreed to."""
        for table, sent in ((SENT, True), (GOT, False)):
            made = copies.made_by(table)
            rows = zip(made.rows["time"].tolist(), made.rows["in_port"].tolist(), made.packets(), strict=True)
            for at, port, frame in rows:
                self.copies += 1
                if self._has_time(at):
                    self._take(dpid, sent, at, port, frame)
                else:
                    self.unread += 1

    def found(self) -> list[Evidence]:
        """What has matched since the last call, and is still agreed to."""
        return [evidence for answer in self._matcher.answers() for evidence in self._evidence(answer)]

    def tick(self) -> None:
        """Time has passed: a search that hangs is given up; without consents there is no process."""
        self._matcher.check(time.monotonic())
        if self._matcher.running and not self.consents.any_left():
            self._matcher.rest()
            self._flows.clear()

    def close(self) -> None:
        """End the process that searches."""
        self._matcher.close()

    def status(self) -> dict[str, Any]:
        """For people."""
        names = ("copies", "unread", "unreadable", "unagreed", "beyond", "matched")
        counts = {name: getattr(self, name) for name in names}
        return {"consents": len(self.consents), **counts, **self._matcher.status()}

    def _has_time(self, at: float) -> bool:
        """Is there time for one more in this second?"""
        if int(at) != self._second:
            self._second, self._left = int(at), MOST_PER_SECOND
        self._left -= 1
        return self._left >= 0

    def _take(self, dpid: int, sent: bool, at: float, port: int, frame: bytes) -> None:
        try:
            packet = read(frame)
        except UnreadableFrameError:
            self.unreadable += 1
            return
        if isinstance(packet, Claim) or not packet.payload:
            return
        vm = self._owner(dpid, port) if sent else self._at(dpid, packet)
        consents = () if vm is None else self.consents.of(vm.name)
        if vm is None or not consents:
            self.unagreed += 1
            return
        if not self._among_the_first(vm, sent, packet, at):
            self.beyond += 1
            return
        about = Segment(packet.source, packet.destination, packet.source_port, packet.destination_port, packet.tcp, b"")
        said = Said(vm, sent, about, at, tuple(consent.id for consent in consents))
        for wanted, digests in together(consents):
            self._matcher.search(said, packet.payload, wanted, digests, time.monotonic())

    def _at(self, dpid: int, packet: Segment) -> Vm | None:
        """The VM of this VFN that a packet is for."""
        vm = self._inventory.vm_by_address.get(packet.destination)
        return vm if vm is not None and self._inventory.vfns[vm.vfn].dpid == dpid else None

    def _among_the_first(self, vm: Vm, sent: bool, packet: Segment, at: float) -> bool:
        """Of each direction of a flow only the first packets are looked at."""
        ends = packet.source, packet.destination, packet.source_port, packet.destination_port
        flow: _Flow = (vm.name, sent, *ends, packet.tcp)
        count, last = self._flows.pop(flow, (0, at))
        count = 1 if at > last + QUIET_SECONDS else count + 1
        self._flows[flow] = count, at
        if len(self._flows) > MOST_FLOWS:
            self._flows.popitem(last=False)
        return count <= self._most

    def _evidence(self, answer: Answer[Said]) -> list[Evidence]:
        said = answer.about
        for file, why in answer.wrong.items():
            if time.monotonic() >= self._told.get(file, float("-inf")) + TELL_SECONDS:
                self._told[file] = time.monotonic()
                log.error("patterns %s are not searched for: %s", file, why)
        still = [consent for consent in self.consents.of(said.vm.name) if consent.id in said.consents]
        found = []
        for match in answer.matches:
            allowed = [consent.id for consent in still if consent.covers(match.file, match.rule)]
            if allowed:
                self.matched += 1
                reason = _in_words(said, match, allowed)
                found.append(Evidence(said.vm, f"payload:{match.file}:{match.rule}", reason, said.time))
        return found


def _in_words(said: Said, match: Match, consents: list[str]) -> str:
    packet = said.packet
    transport = "TCP" if packet.tcp else "UDP"
    if said.sent:
        way = f"what it sent to {packet.destination}, {transport} port {packet.destination_port},"
    else:
        way = f"what it got from {packet.source} at {transport} port {packet.destination_port}"
    where = "" if match.offset is None else f" at byte {match.offset} (hash {match.hash})"
    return f"{way} matched {match.file}:{match.rule}{where}, looked at by consent {', '.join(consents)}"
