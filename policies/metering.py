"""Which meters a VFN must have, and of which rate: a function of its ports, its VMs and the rules that limit them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from policies.codec import COPIES_METER
from policies.measures import measures_of
from policies.pipeline.measures import limited_rates
from policies.pipeline.network import Network
from policies.pipeline.payload import rate as payload_rate_of
from policies.pipeline.taps import CopyMeter, copy_meters
from policies.rules import FirewallRule
from runtime.settings import OpenFlowSettings
from topology.model import Inventory, Vm


@dataclass(frozen=True)
class Metering:
    """What meters follow from, besides the network of the moment."""

    inventory: Inventory
    own_vms: Mapping[str, Sequence[Vm]]
    """By name of the VFN."""
    settings: OpenFlowSettings
    payload_rate: int
    """Packets per second that are copied of a VM whose payload is inspected."""

    def of(self, vfn: str, network: Network, measures: Iterable[FirewallRule]) -> Mapping[int, int]:
        """Packets per second by meter: new connections of each VM that is there, copies of each port, limits.

        `measures`: the firewall rules of the VFN that limit.
        """
        ports, rate = network.ports[vfn], self.settings.connections_per_second
        there = [vm for vm in self.own_vms[vfn] if vm.port in ports]
        inspected = [vm for vm in there if vm.name in network.inspected]
        most = self.settings.copies_per_second
        each = payload_rate_of(self.payload_rate, most, len(inspected))
        payload = {CopyMeter.PAYLOAD.of(ports[vm.port]): each for vm in inspected}
        ends = [end.port for end in self.inventory.outside.values() if end.vfn == vfn and end.port in ports]
        copied = [ports[name] for name in (*ends, *(vm.port for vm in there))]
        copies = copy_meters(copied, most, network.taps)
        own = {vm.number: rate for vm in there}
        return {**own, **payload, **copies, **self.limits(vfn, network, measures), COPIES_METER: most}

    def limits(self, vfn: str, network: Network, measures: Iterable[FirewallRule]) -> Mapping[int, int]:
        """The same of VMs and addresses outside that are limited alone."""
        ports, limited = network.ports[vfn], measures_of(measures)
        vms = {self.inventory.vms[one.vm].port: about for one, about in limited.items() if one.vm is not None}
        there = {ports[name]: about for name, about in vms.items() if name in ports}
        nets = {one.net: about for one, about in limited.items() if one.net is not None}
        return limited_rates(there, nets, self.settings.limited_packets_per_second)
