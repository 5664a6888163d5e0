"""The inventory file: what is written in YAML becomes a checked `topology.model.Inventory`.

`topology/schema.py` says which keys there are; here the parts are checked against each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

import networkx as nx
from pydantic import BaseModel, ValidationError

from runtime import document
from runtime.errors import InventoryError
from runtime.validation import refusal
from topology.addresses import link_local
from topology.model import OUTSIDE, Inventory, Link, OutsidePort, Segment, Vfn, Vm
from topology.names import nearest
from topology.schema import InventoryDoc, LinkDoc, OutsideDoc, SegmentDoc, VfnDoc, VmDoc

_PARTS: Mapping[str, type[BaseModel]] = {
    "segments": SegmentDoc,
    "vfns": VfnDoc,
    "links": LinkDoc,
    "vms": VmDoc,
    "outside": OutsideDoc,
}


def load(path: str | Path) -> Inventory:
    """Read an inventory file.

    Raises:
        InventoryError: unreadable, not YAML, unknown keys, or parts that contradict each other.
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        remedy = "set `inventory` in the settings to the file that describes the network"
        raise InventoryError(f"cannot be read: {error.strerror}", file=path, remedy=remedy) from error
    except UnicodeDecodeError as error:
        raise InventoryError(f"not UTF-8 at byte {error.start}", file=path, remedy="save it as UTF-8") from error
    return parse(text, str(path))


def parse(text: str, file: str = "inventory") -> Inventory:
    """Check an inventory's text; `file` is the name that errors give.

    Raises:
        InventoryError: names file, line, key and remedy.
    """
    read = document.read(text, file, InventoryError)
    try:
        doc = InventoryDoc.model_validate({} if read.data is None else read.data)
    except ValidationError as error:
        raise refusal(error, read, InventoryError, _right_key) from error
    checks = _Checks(read)
    checks.references(doc)
    checks.uniqueness(doc)
    inventory = _build(doc)
    checks.connected(inventory)
    return inventory


def _right_key(path: document.Path) -> str:
    model = InventoryDoc if len(path) == 1 else _PARTS[str(path[0])]
    return nearest(str(path[-1]), model.model_fields)


class _Checks:
    """What the schema cannot see: the parts of one document against each other."""

    def __init__(self, read: document.Document) -> None:
        self._read = read

    def _error(self, path: document.Path, message: str, remedy: str | None = None) -> InventoryError:
        return self._read.error(InventoryError, path, message, remedy)

    def references(self, doc: InventoryDoc) -> None:
        """Every VFN and segment that is named exists."""
        if OUTSIDE in doc.segments:
            raise self._error(("segments", OUTSIDE), "the name is taken by the world outside", "choose another name")
        for name, vfn in doc.vfns.items():
            if vfn.bridge is None and len(name) > 15:
                raise self._error(
                    ("vfns", name), "too long for the name of a bridge (15)", "shorten it or add `bridge`"
                )
        for index, link in enumerate(doc.links):
            self._known_vfn(("links", index, "a"), link.a, doc)
            self._known_vfn(("links", index, "b"), link.b, doc)
            if link.a == link.b:
                raise self._error(("links", index), f"links {link.a} to itself", "name two different VFNs")
        for name, vm in doc.vms.items():
            self._known_vfn(("vms", name, "vfn"), vm.vfn, doc)
            if vm.segment not in doc.segments:
                remedy = nearest(vm.segment, doc.segments)
                raise self._error(("vms", name, "segment"), f"no segment {vm.segment!r}", remedy)
        for name, port in doc.outside.items():
            self._known_vfn(("outside", name, "vfn"), port.vfn, doc)

    def _known_vfn(self, path: document.Path, name: str, doc: InventoryDoc) -> None:
        if name not in doc.vfns:
            raise self._error(path, f"no VFN {name!r}", nearest(name, doc.vfns))

    def uniqueness(self, doc: InventoryDoc) -> None:
        """No two things share a datapath id, bridge, port, MAC, address or name."""
        self._unique("datapath id", {("vfns", name, "dpid"): vfn.dpid for name, vfn in doc.vfns.items()})
        self._unique("bridge", {("vfns", name, "bridge"): vfn.bridge or name for name, vfn in doc.vfns.items()})
        ports: dict[document.Path, Hashable] = {}
        for index, link in enumerate(doc.links):
            ports["links", index, "a_port"] = f"{link.a_port} of {link.a}"
            ports["links", index, "b_port"] = f"{link.b_port} of {link.b}"
        ends: dict[tuple[str, str], VmDoc | OutsideDoc] = {("vms", name): vm for name, vm in doc.vms.items()}
        ends |= {("outside", name): port for name, port in doc.outside.items()}
        ports |= {(*path, "port"): f"{end.port} of {end.vfn}" for path, end in ends.items()}
        self._unique("port", ports)
        self._unique("MAC", {(*path, "mac"): end.mac for path, end in ends.items()})
        addresses: dict[document.Path, Hashable] = {}
        for path, end in ends.items():
            addresses |= {(*path, "addresses", index): address for index, address in enumerate(end.addresses)}
            if link_local(end.mac) not in end.addresses:
                addresses[*path, "mac"] = link_local(end.mac)
        self._unique("address", addresses)
        self._unique("name", {path: path[1] for path in ends})

    def _unique(self, what: str, values: Mapping[document.Path, Hashable]) -> None:
        seen: dict[Hashable, document.Path] = {}
        for path, value in values.items():
            if value in seen:
                first = seen[value]
                place = f"{document.dotted(first)} in line {self._read.line(first)}"
                raise self._error(path, f"{what} {value} is already that of {place}", "each may be given once")
            seen[value] = path

    def connected(self, inventory: Inventory) -> None:
        """Every VFN can reach every other over links."""
        net = nx.Graph((link.a, link.b) for link in inventory.links)
        net.add_nodes_from(inventory.vfns)
        first, *rest = nx.connected_components(net)
        if rest:
            alone = min(rest, key=len) if len(first) >= len(min(rest, key=len)) else first
            name = next(name for name in inventory.vfns if name in alone)
            raise self._error(("vfns", name), "no link leads to the other VFNs", "add it to `links`")


def _build(doc: InventoryDoc) -> Inventory:
    """The values that the rest of the product works with."""
    return Inventory(
        segments={
            name: Segment(name, number, part.default, part.outward, part.stateless, part.labels)
            for number, (name, part) in enumerate(doc.segments.items(), 1)
        },
        vfns={
            name: Vfn(name, number, part.dpid, part.bridge or name)
            for number, (name, part) in enumerate(doc.vfns.items())
        },
        links=tuple(Link(part.a, part.a_port, part.b, part.b_port) for part in doc.links),
        vms={
            name: Vm(
                name,
                number,
                part.segment,
                part.vfn,
                part.port,
                part.mac,
                part.addresses,
                part.protected,
                {**doc.segments[part.segment].labels, **part.labels},
                part.inspection,
                part.remediation,
            )
            for number, (name, part) in enumerate(doc.vms.items(), 1)
        },
        outside={
            name: OutsidePort(name, part.vfn, part.port, part.mac, part.addresses) for name, part in doc.outside.items()
        },
    )
