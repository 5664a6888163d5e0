"""Ports of isolated VMs that are down until their VFN is seen to drop by its tables.

Entries that drop are followed only when the data path has gone through everything that it has cached: tenths of a
second when there is much of it. A port that is down is cut within a millisecond. It comes up again when the entries
were read back, or when the rule is over, so that a VM does not lose its link for longer than that.

A port may have been left down by an engine that died meanwhile. So every rule that cuts a port counts until its VFN was
read back, and a port of such a rule comes up if the VFN says that it is down. Ports that somebody else took down stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from policies.rules import FirewallRule
from topology.model import Inventory


@dataclass
class _Cut:
    rule: str
    sent: bool
    """Has this engine taken the port down?"""


class Cuts:
    """The ports of all VFNs that are, or may be, down for the sake of a rule."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._cuts: dict[str, dict[str, _Cut]] = {name: {} for name in inventory.vfns}
        self._down: dict[str, frozenset[int]] = {}

    def remember(self, group: Iterable[FirewallRule]) -> None:
        """These rules may have taken ports down."""
        for rule in group:
            if rule.cut_port_of is not None:
                self._cuts[rule.vfn].setdefault(rule.cut_port_of, _Cut(rule.rule_id, sent=False))

    def told(self, vfn: str, down: Iterable[int]) -> None:
        """A VFN says which of its ports are down."""
        self._down[vfn] = frozenset(down)

    def take_down(self, vfn: str, group: Iterable[FirewallRule], ports: Mapping[str, int]) -> list[int]:
        """OpenFlow numbers of the ports that the rules cut."""
        numbers = []
        for rule in group:
            if rule.vfn == vfn and rule.cut_port_of is not None:
                port = self._inventory.vms[rule.cut_port_of].port
                if port in ports:
                    self._cuts[vfn][rule.cut_port_of] = _Cut(rule.rule_id, sent=True)
                    numbers.append(ports[port])
        return numbers

    def bring_up(
        self, vfn: str, held: Collection[str], in_force: Collection[str], ports: Mapping[str, int]
    ) -> list[int]:
        """OpenFlow numbers of the ports that come up, now that a VFN was read back with the rules `held`.

        Args:
            in_force: the rules that are meant to hold.
        """
        over = [vm for vm, cut in self._cuts[vfn].items() if cut.rule in held or cut.rule not in in_force]
        numbers = []
        for vm in over:
            cut, number = self._cuts[vfn].pop(vm), ports.get(self._inventory.vms[vm].port)
            if number is not None and (cut.sent or number in self._down.get(vfn, ())):
                numbers.append(number)
        return numbers
