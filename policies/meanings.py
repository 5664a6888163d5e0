"""What the counted entries of a VFN stand for, for the analyzer: those that name one of its own VMs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from policies.entries import SetField, TableEntry
from policies.pipeline.tables import SOURCE_VM, Table
from policies.rules import Verdict
from topology.model import Inventory


class Meanings:
    """Follows what VFNs must hold. A change costs what has changed, not what a VFN holds."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._of: dict[str, dict[int, Mapping[str, Any]]] = {name: {} for name in inventory.vfns}

    def follow(self, vfn: str, added: Mapping[int, TableEntry], removed: Iterable[int]) -> bool:
        """Take over a change of what a VFN must hold, by cookie; do its entries mean something else to the analyzer?"""
        known = self._of[vfn]
        gone = [known.pop(cookie) for cookie in removed if cookie in known]
        new = {cookie: meaning for cookie, entry in added.items() if (meaning := self._meaning(vfn, entry))}
        known |= new
        return bool(gone or new)

    def of(self, vfn: str) -> dict[str, Mapping[str, Any]]:
        """As `{cookie (decimal): {table, vm, verdict, rules}}`."""
        return {str(cookie): meaning for cookie, meaning in self._of[vfn].items()}

    def _meaning(self, vfn: str, entry: TableEntry) -> Mapping[str, Any] | None:
        """None: it does not count packets of one VM of this VFN."""
        drops = entry.drops
        if entry.table == Table.SOURCE:
            numbers = [step.value for step in entry.steps if isinstance(step, SetField) and step.name == SOURCE_VM]
        elif entry.table == Table.ENFORCEMENT and drops:
            numbers = [part.value for part in entry.match if part.name == SOURCE_VM]
        else:
            return None
        vm = self._inventory.vm_by_number.get(numbers[0]) if numbers else None
        if vm is None or vm.vfn != vfn:
            return None
        verdict = Verdict.DROP if drops else Verdict.ALLOW
        return {"table": int(entry.table), "vm": vm.name, "verdict": verdict, "rules": list(entry.rules)}
