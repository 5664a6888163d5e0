"""What copies of first packets tell besides who opens a connection: names of addresses, and claims to addresses.

Each is read on its own, by libraries, so how many are read a second is bounded; what is over that, and what cannot be
read, is counted. No byte of a packet is kept, logged or shown: names and addresses are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from analyzer import hello, packets
from analyzer.bindings import Bindings
from analyzer.copies import Copies
from analyzer.dns import message as dns
from analyzer.dns.counts import NameCount, NameCounts
from analyzer.dns.oddness import Oddness
from analyzer.dns.passive import Exchange, PassiveDns
from analyzer.evidence import Evidence, Kind
from analyzer.packets import Claim, Segment, UnreadableFrameError
from runtime.settings import TapSettings
from topology.model import Inventory, Vm

NAMES, HELLOS = 25, 26
"""Tables of the pipeline (docs/pipeline.md) whose copies are read here."""
MOST_PER_SECOND = 3000
"""Copies that are read, which takes a third of a second: the rest of it is for flows."""
LOG_SECONDS = 60.0
_DNS, _DHCP_SERVER = 53, 67

log = logging.getLogger("dynseg.analyzer.firstpackets")


class FirstPackets:
    """Reads copies by the kind of table that made them.

    Args:
        salt: of hashes; secret in a live network.
    """

    def __init__(self, inventory: Inventory, settings: TapSettings, salt: int) -> None:
        self._inventory = inventory
        self._ports: dict[tuple[int, int], Vm] = {}
        self._bindings = Bindings(inventory)
        self.dns = PassiveDns(settings.resolvers, len(inventory.vms), salt)
        self.evidence = Evidence()
        self._oddness, self._counts = Oddness(), NameCounts()
        self.read = 0
        self.unreadable = 0
        self.shed = 0
        self._second = 0
        self._left = MOST_PER_SECOND
        self._told = float("-inf")

    def set_ports(self, dpid: int, ports: Mapping[str, int]) -> None:
        """Take over the ports of a VFN (interface name -> OpenFlow port)."""
        vfn = self._inventory.vfn_by_dpid.get(dpid)
        if vfn is None:
            return
        self._ports = {place: vm for place, vm in self._ports.items() if place[0] != dpid}
        here = (vm for vm in self._inventory.vms.values() if vm.vfn == vfn.name and vm.port in ports)
        self._ports.update({(dpid, ports[vm.port]): vm for vm in here})

    def vm_on(self, dpid: int, port: int) -> Vm | None:
        """The VM on a port of a VFN, if it is one's."""
        return self._ports.get((dpid, port))

    def take(self, dpid: int, copies: Copies) -> None:
        """Read copies of a VFN that NAMES or HELLOS made."""
        for table, reader in ((NAMES, self._named), (HELLOS, self._said)):
            made = copies.made_by(table)
            ends = zip(made.rows["time"].tolist(), made.rows["in_port"].tolist(), made.packets(), strict=True)
            for time, port, frame in ends:
                self._read(reader, time, self.vm_on(dpid, port), frame)

    def tick(self) -> list[NameCount]:
        """Once a second or so: look at the questions and answers that came; what they add to the windows of VMs."""
        events = self.dns.events.drain()
        for odd in self._oddness.judge(events):
            self.evidence.note(odd.time, Kind.ODD_DNS, self._inventory.vm_by_number[odd.vm].name, odd.what)
        return self._counts.of(events)

    def status(self) -> dict[str, Any]:
        """For `status`."""
        passive = self.dns
        return {
            "read": self.read,
            "unreadable": self.unreadable,
            "shed": self.shed,
            "questions": passive.questions,
            "answers": passive.answers,
            "unasked": passive.unasked,
            "names": len(passive),
            "events_dropped": passive.events.dropped,
        }

    def _read(
        self, reader: Callable[[float, Vm | None, Segment | Claim], None], time: float, sender: Vm | None, frame: bytes
    ) -> None:
        if int(time) != self._second:
            self._second, self._left = int(time), MOST_PER_SECOND
        if not self._left:
            self.shed += 1
            return
        self._left -= 1
        try:
            reader(time, sender, packets.read(frame))
            self.read += 1
        except (UnreadableFrameError, ValueError) as error:
            self.unreadable += 1
            if time >= self._told + LOG_SECONDS:
                self._told = time
                who = "outside" if sender is None else sender.name
                log.warning("a copy from %s cannot be read (%s); %d so far", who, error, self.unreadable)

    def _named(self, time: float, sender: Vm | None, packet: Segment | Claim) -> None:
        if isinstance(packet, Claim):
            if sender is not None and (said := self._bindings.forged(packet, sender)) is not None:
                self.evidence.note(time, Kind.FORGED_ARP, sender.name, said)
        elif packet.source_port == _DHCP_SERVER:
            given = self._bindings.given(packet.payload)
            if given is not None:
                vm, said = given
                self.evidence.note(time, Kind.BINDING, vm.name, f"{said} (server {packet.source})")
        elif packet.payload:
            self._resolved(time, packet)

    def _resolved(self, time: float, packet: Segment) -> None:
        """The guard has seen to it that a VM's source address is its own."""
        message = dns.read(packet.payload, over_tcp=packet.tcp)
        if packet.destination_port == _DNS and not message.answer:
            vm = self._inventory.vm_by_address.get(packet.source)
            if vm is not None:
                exchange = Exchange(vm.number, packet.source_port, packet.destination, packet.tcp)
                self.dns.asked(time, exchange, message)
        elif packet.source_port == _DNS and message.answer:
            vm = self._inventory.vm_by_address.get(packet.destination)
            if vm is None:
                return
            exchange = Exchange(vm.number, packet.destination_port, packet.source, packet.tcp)
            if not self.dns.answered(time, exchange, message):
                forger = self._inventory.vm_by_address.get(packet.source)
                who = str(packet.source) if forger is None else forger.name
                self.evidence.note(time, Kind.FORGED_DNS, who, f"answered {vm.name}, which had not asked it for that")

    def _said(self, time: float, sender: Vm | None, packet: Segment | Claim) -> None:
        if sender is None or isinstance(packet, Claim):
            return
        found = hello.server_name(packet.payload)
        if found is not None:
            self.dns.call(time, sender.number, packet.destination, *found)
