"""Recorded flows as the impact of a policy is counted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
import yaml

from policies.impact.flows import FlowColumns, Named
from topology.model import Inventory


@dataclass(frozen=True)
class Flow:
    """One row."""

    source: str | None
    destination: str | None
    source_ip: str
    destination_ip: str
    proto: int = 6
    source_port: int = 50000
    port: int = 443
    opened: float = 0.0
    first: bool = True
    forged: bool = False
    everybody: bool = False
    packets: int = 2
    bytes: int = 200


def columns(flows: Sequence[Flow]) -> FlowColumns:
    """The rows as columns."""

    def named(texts: Sequence[str | None]) -> Named:
        names = tuple(dict.fromkeys(text for text in texts if text is not None))
        codes = [-1 if text is None else names.index(text) for text in texts]
        return Named(np.array(codes, np.int32), pa.array(names, pa.string()))

    return FlowColumns(
        named([flow.source for flow in flows]),
        named([flow.destination for flow in flows]),
        named([flow.source_ip for flow in flows]),
        named([flow.destination_ip for flow in flows]),
        np.array([flow.proto for flow in flows], np.uint8),
        np.array([flow.source_port for flow in flows], np.uint16),
        np.array([flow.port for flow in flows], np.uint16),
        np.array([flow.packets for flow in flows], np.uint64),
        np.array([flow.bytes for flow in flows], np.uint64),
        np.array([flow.opened for flow in flows], np.float64),
        np.array([flow.first for flow in flows], bool),
        np.array([flow.forged for flow in flows], bool),
        np.array([flow.everybody for flow in flows], bool),
    )


def at(flow: Flow, opened: float) -> Flow:
    """The same at another time."""
    return replace(flow, opened=opened)


def inventory_yaml(inventory: Inventory) -> str:
    """An inventory as the file that it could have been read from."""
    document = {
        "segments": {one.name: {"default": one.default, "outward": one.outward} for one in inventory.segments.values()},
        "vfns": {vfn.name: {"dpid": vfn.dpid} for vfn in inventory.vfns.values()},
        "links": [asdict(link) for link in inventory.links],
        "vms": {
            vm.name: {
                "segment": vm.segment,
                "vfn": vm.vfn,
                "port": vm.port,
                "mac": vm.mac,
                "addresses": [str(address) for address in vm.addresses],
            }
            for vm in inventory.vms.values()
        },
        "outside": {
            port.name: {
                "vfn": port.vfn,
                "port": port.port,
                "mac": port.mac,
                "addresses": [str(address) for address in port.addresses],
            }
            for port in inventory.outside.values()
        },
    }
    return yaml.safe_dump(document, sort_keys=False)
