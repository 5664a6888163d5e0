"""What a local bridge should be set to in OVSDB, and the `ovs-vsctl` commands for what differs. Pure.

Order and restraint matter: giving a controller to a bridge that had none flushes its flow entries, so an equal
setting is never written again, and a controller row that is there is changed in place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from policies.entries import COLLECTOR_SET
from topology.model import Vfn

MOST_CACHED = 50_000
"""IPv6 flows that a bridge sums up; one more, and the oldest is told of early. So a flood takes no more memory."""

Row = Mapping[str, Any]
"""Column -> value as JSON in OVSDB's notation (RFC 7047, 5.1)."""

MONITORED: Mapping[str, Sequence[str]] = {
    "Open_vSwitch": ("bridges",),
    "Bridge": ("name", "datapath_type", "other_config", "fail_mode", "protocols", "controller", "netflow"),
    "Controller": ("target", "max_backoff", "inactivity_probe", "connection_mode"),
    "NetFlow": ("targets", "active_timeout", "engine_type", "engine_id", "add_id_to_interface"),
    "IPFIX": ("targets", "cache_active_timeout", "cache_max_flows"),
    "Flow_Sample_Collector_Set": ("id", "bridge", "ipfix"),
    "Interface": ("name", "external_ids"),
}
"""The tables and columns that `commands` and `interface_ids` read."""


@dataclass(frozen=True)
class Targets:
    """Where bridges find us."""

    controller: str
    """OVSDB form, ``tcp:127.0.0.1:6653``."""
    max_backoff_ms: int
    inactivity_probe_ms: int
    netflow: str
    """``127.0.0.1:2055``; IPFIX goes there, too."""
    active_timeout_seconds: int


@dataclass(frozen=True)
class Database:
    """A replica of the monitored part of OVSDB: table -> row uuid -> row."""

    tables: Mapping[str, Mapping[str, Row]]

    @cached_property
    def bridges(self) -> Mapping[str, Row]:
        """The bridges by uuid, without rows of deleted ones that a set of collectors still refers to."""
        rows = self.tables.get("Bridge", {})
        alive = {uuid for row in self.tables.get("Open_vSwitch", {}).values() for uuid in elements(row["bridges"])}
        return {uuid: row for uuid, row in rows.items() if uuid in alive}

    @cached_property
    def _named(self) -> Mapping[str, Row]:
        return {row["name"]: row for row in self.bridges.values()}

    def bridge(self, name: str) -> Row | None:
        """The bridge of a name."""
        return self._named.get(name)

    @cached_property
    def collector_sets(self) -> Mapping[str, tuple[str, Row]]:
        """Our sets of IPFIX collectors, with their uuids ahead, by name of their bridge."""
        return {self.bridges[of]["name"]: (uuid, row) for uuid, of, row in self._collector_sets() if of in self.bridges}

    @cached_property
    def orphans(self) -> Sequence[str]:
        """Uuids of our sets of collectors whose bridge has been deleted: they keep its row, and so its name, in use."""
        return [uuid for uuid, of, _ in self._collector_sets() if of not in self.bridges]

    def _collector_sets(self) -> Iterator[tuple[str, str, Row]]:
        for uuid, row in self.tables.get("Flow_Sample_Collector_Set", {}).items():
            if row["id"] == COLLECTOR_SET:
                yield uuid, elements(row["bridge"])[0], row

    def datapaths(self) -> dict[str, str]:
        """The data path of each bridge, as ovs-dpctl(8) calls it."""
        kinds = {row["name"]: row["datapath_type"] or "system" for row in self.bridges.values()}
        return {name: f"{kind}@ovs-{kind}" for name, kind in kinds.items()}

    def users(self, column: str, uuid: str) -> int:
        """How many bridges refer to a row."""
        return self._users[column, uuid]

    @cached_property
    def _users(self) -> Mapping[tuple[str, str], int]:
        """Bridges by the column in which they refer to a row, and its uuid."""
        columns, rows = ("controller", "netflow"), self.bridges.values()
        return Counter((column, uuid) for row in rows for column in columns for uuid in elements(row[column]))

    def interface_ids(self) -> dict[str, str]:
        """Interface name -> `external_ids:iface-id`."""
        ids = {row["name"]: mapping(row["external_ids"]) for row in self.tables.get("Interface", {}).values()}
        return {name: external["iface-id"] for name, external in ids.items() if "iface-id" in external}


def commands(vfn: Vfn, targets: Targets, database: Database) -> list[str]:
    """Arguments of one `ovs-vsctl` transaction that makes the VFN's bridge what it should be.

    Empty when nothing differs, or when there is no such bridge on this machine.
    """
    bridge = database.bridge(vfn.bridge)
    if bridge is None:
        return []
    parts = [
        *_columns(vfn, bridge),
        *_record(database, bridge, ("controller", "Controller"), _controller(targets)),
        *_record(database, bridge, ("netflow", "NetFlow"), _netflow(vfn, targets)),
        *_collectors(database, vfn.bridge, _ipfix(targets)),
    ]
    return [word for part in parts for word in ("--", *part)]


def forget(sets: Sequence[str]) -> list[str]:
    """Arguments of one `ovs-vsctl` transaction that removes these sets of collectors."""
    return [word for uuid in sets for word in ("--", "--if-exists", "destroy", "Flow_Sample_Collector_Set", uuid)]


def elements(value: Any) -> list[Any]:
    """The elements of an OVSDB set, which is written as the bare element when it has one; uuids as strings."""
    items = value[1] if isinstance(value, list) and value[0] == "set" else [value]
    return [item[1] if isinstance(item, list) and item[0] == "uuid" else item for item in items]


def joined(several: Iterable[Sequence[str]]) -> list[str]:
    """Arguments of several transactions as those of one: the rows that each makes keep names of their own."""
    return [re.sub(r"=\[?@[a-z]+", rf"\g<0>{number}", word) for number, words in enumerate(several) for word in words]


def mapping(value: Any) -> dict[str, str]:
    """An OVSDB map as a dictionary."""
    return dict(value[1])


def _columns(vfn: Vfn, bridge: Row) -> list[list[str]]:
    parts = []
    dpid = f"{vfn.dpid:016x}"
    if mapping(bridge["other_config"]).get("datapath-id", "").lower() != dpid:
        parts.append(["set", "Bridge", vfn.bridge, f'other_config:datapath-id="{dpid}"'])
    if elements(bridge["protocols"]) != ["OpenFlow13"]:
        parts.append(["set", "Bridge", vfn.bridge, "protocols=[OpenFlow13]"])
    if elements(bridge["fail_mode"]) != ["secure"]:
        parts.append(["set", "Bridge", vfn.bridge, "fail_mode=secure"])
    return parts


def _record(database: Database, bridge: Row, reference: tuple[str, str], wanted: Mapping[str, Any]) -> list[list[str]]:
    """Commands for the row that a bridge refers to by (column, table): changed in place if it is the bridge's alone."""
    column, table = reference
    uuids = elements(bridge[column])
    if len(uuids) == 1 and database.users(column, uuids[0]) == 1:
        row = database.tables[table].get(uuids[0], {})
        differing = {key: value for key, value in wanted.items() if elements(row.get(key)) != [value]}
        return [["set", table, uuids[0], *_assignments(differing)]] if differing else []
    create = [f"--id=@{column}", "create", table, *_assignments(wanted)]
    return [create, ["set", "Bridge", bridge["name"], f"{column}=[@{column}]"]]


def _collectors(database: Database, bridge: str, wanted: Mapping[str, Any]) -> list[list[str]]:
    """Commands for the bridge's set of IPFIX collectors, which is where flow entries send samples."""
    create = ["--id=@ipfix", "create", "IPFIX", *_assignments(wanted)]
    found = database.collector_sets.get(bridge)
    if found is None:
        name = ["--id=@bridge", "get", "Bridge", bridge]
        refer = [f"id={COLLECTOR_SET}", "bridge=@bridge", "ipfix=@ipfix"]
        return [create, name, ["create", "Flow_Sample_Collector_Set", *refer]]
    uuid, row = found
    (ipfix,) = elements(row["ipfix"]) or [None]
    there = database.tables["IPFIX"].get(ipfix)
    if there is None:
        return [create, ["set", "Flow_Sample_Collector_Set", uuid, "ipfix=@ipfix"]]
    differing = {key: value for key, value in wanted.items() if elements(there.get(key)) != [value]}
    return [["set", "IPFIX", ipfix, *_assignments(differing)]] if differing else []


def _controller(targets: Targets) -> Mapping[str, Any]:
    return {
        "target": targets.controller,
        "max_backoff": targets.max_backoff_ms,
        "inactivity_probe": targets.inactivity_probe_ms,
        # In band, OVS would let controller traffic and ARP past the guard table by hidden entries.
        "connection_mode": "out-of-band",
    }


def _netflow(vfn: Vfn, targets: Targets) -> Mapping[str, Any]:
    return {
        "targets": targets.netflow,
        "active_timeout": targets.active_timeout_seconds,
        "engine_type": vfn.number >> 8,
        "engine_id": vfn.number & 0xFF,
        "add_id_to_interface": False,
    }


def _ipfix(targets: Targets) -> Mapping[str, Any]:
    return {
        "targets": targets.netflow,
        "cache_active_timeout": targets.active_timeout_seconds,
        "cache_max_flows": MOST_CACHED,
    }


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_atom(value)}" for key, value in values.items()]


def _atom(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
