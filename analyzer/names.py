"""Numbers and names: the analyzer counts by number, people read names."""

from __future__ import annotations

from typing import Any

from analyzer.advisor import Subject
from analyzer.flows import ICMP, ICMP6, TCP, UDP, Array, FlowState, address_text
from topology.model import Inventory

PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "ipv6-icmp"}


class Names:
    """Names of an inventory's VMs and segments."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def vm(self, number: int) -> str:
        """Name of a VM."""
        return self._inventory.vm_by_number[number].name

    def number(self, vm: str) -> int:
        """Number of a VM, 0 when there is none of that name."""
        found = self._inventory.vms.get(vm)
        return 0 if found is None else found.number

    def segment_of(self, vm: str) -> str:
        """Name of a VM's segment."""
        return self._inventory.vms[vm].segment

    def subject(self, subject: Subject) -> dict[str, str]:
        """`{"vm": name}` or `{"address": text}`."""
        if isinstance(subject, int):
            return {"vm": self.vm(subject)}
        return {"address": address_text(*subject)}

    def flow(self, row: Array) -> dict[str, Any]:
        """A flow (one row of FLOW) for people and JSON."""
        values = dict(zip(row.dtype.names or (), row.tolist(), strict=True))
        vms = {end: self._inventory.vm_by_number.get(values[f"{end}_vm"]) for end in ("src", "dst")}
        return {
            "start": values["start"],
            "end": values["end"],
            "proto": PROTOCOLS.get(values["proto"], str(values["proto"])),
            **{end: address_text(values[f"{end}_hi"], values[f"{end}_lo"]) for end in ("src", "dst")},
            "src_port": values["src_port"],
            "dst_port": values["dst_port"],
            **{f"{end}_vm": None if vm is None else vm.name for end, vm in vms.items()},
            **{name: values[name] for name in ("src_pkts", "dst_pkts", "src_bytes", "dst_bytes")},
            "failed": bool(values["state"] & FlowState.FAILED),
            "risk": round(values["risk"], 1),
        }
