"""Settings of local bridges: what is written, and above all what is not."""

from __future__ import annotations

from typing import Any

import pytest

from policies.entries import COLLECTOR_SET
from ryu_apps.bridges import MOST_CACHED, Database, Targets, commands, elements
from topology.model import Vfn

VFN = Vfn("leaf1", 0x0102, 0x11, "br1")
TARGETS = Targets("tcp:127.0.0.1:6653", 1000, 5000, "127.0.0.1:2055", 1)
CONTROLLER = {
    "target": "tcp:127.0.0.1:6653",
    "max_backoff": 1000,
    "inactivity_probe": 5000,
    "connection_mode": "out-of-band",
}
NETFLOW = {
    "targets": "127.0.0.1:2055",
    "active_timeout": 1,
    "engine_type": 1,
    "engine_id": 2,
    "add_id_to_interface": False,
}
IPFIX = {"targets": "127.0.0.1:2055", "cache_active_timeout": 1, "cache_max_flows": MOST_CACHED}
COLLECTORS = {"id": COLLECTOR_SET, "bridge": ["uuid", "b"], "ipfix": ["uuid", "i"]}
BRIDGE = {
    "name": "br1",
    "other_config": ["map", [["datapath-id", "0000000000000011"]]],
    "fail_mode": "secure",
    "protocols": "OpenFlow13",
    "controller": ["uuid", "c"],
    "netflow": ["uuid", "n"],
}


def database(
    bridge: dict[str, Any] | None = None,
    controller: dict[str, Any] | None = None,
    ipfix: dict[str, Any] | None = None,
    collectors: dict[str, Any] | None = None,
    **more: dict[str, Any],
) -> Database:
    return Database(
        {
            "Open_vSwitch": {"o": {"bridges": ["set", [["uuid", uuid] for uuid in ("b", *more)]]}},
            "Bridge": {"b": BRIDGE | (bridge or {}), **more},
            "Controller": {"c": CONTROLLER | (controller or {})},
            "NetFlow": {"n": NETFLOW},
            "IPFIX": {"i": IPFIX | (ipfix or {})},
            "Flow_Sample_Collector_Set": {"f": COLLECTORS | (collectors or {})},
        }
    )


def test_a_bridge_that_is_right_is_left_alone() -> None:
    """Nothing differs, nothing is written: setting a controller again would flush the entries."""
    assert commands(VFN, TARGETS, database()) == []


def test_a_bridge_of_another_machine_is_left_alone() -> None:
    """No bridge of that name here: its own machine looks after it."""
    assert commands(VFN, TARGETS, database({"name": "other"})) == []


@pytest.mark.parametrize(
    ("column", "value", "written"),
    [
        ("other_config", ["map", []], 'other_config:datapath-id="0000000000000011"'),
        ("fail_mode", ["set", []], "fail_mode=secure"),
        ("fail_mode", "standalone", "fail_mode=secure"),
        ("protocols", ["set", ["OpenFlow10", "OpenFlow13"]], "protocols=[OpenFlow13]"),
        ("protocols", ["set", []], "protocols=[OpenFlow13]"),
    ],
)
def test_only_the_column_that_differs_is_written(column: str, value: Any, written: str) -> None:
    """One difference, one command."""
    assert commands(VFN, TARGETS, database({column: value})) == ["--", "set", "Bridge", "br1", written]


def test_a_controller_is_changed_in_place() -> None:
    """A bridge that had a controller keeps its row, and with it its entries."""
    arguments = commands(VFN, TARGETS, database(controller={"target": "tcp:127.0.0.1:1", "max_backoff": ["set", []]}))
    assert arguments == ["--", "set", "Controller", "c", 'target="tcp:127.0.0.1:6653"', "max_backoff=1000"]


def test_a_missing_controller_is_made_with_everything_it_needs() -> None:
    """One transaction makes the row and refers to it."""
    arguments = commands(VFN, TARGETS, database({"controller": ["set", []]}))
    assert arguments[:4] == ["--", "--id=@controller", "create", "Controller"]
    assert 'connection_mode="out-of-band"' in arguments
    assert arguments[-4:] == ["set", "Bridge", "br1", "controller=[@controller]"]


def test_a_second_controller_is_removed() -> None:
    """A VFN has no other owner."""
    arguments = commands(VFN, TARGETS, database({"controller": ["set", [["uuid", "c"], ["uuid", "d"]]]}))
    assert arguments[-1] == "controller=[@controller]"


def test_a_netflow_row_that_two_bridges_share_is_not_changed() -> None:
    """Its engine id would name both the same, so the bridge gets its own."""
    other = BRIDGE | {"name": "br2"}
    arguments = commands(VFN, TARGETS, database(other=other | {"controller": ["set", []]}))
    assert arguments[:4] == ["--", "--id=@netflow", "create", "NetFlow"]
    assert "engine_type=1" in arguments
    assert "engine_id=2" in arguments


def test_an_ipfix_row_is_changed_in_place() -> None:
    """Only what differs."""
    assert commands(VFN, TARGETS, database(ipfix={"targets": "127.0.0.1:9"})) == [
        "--", "set", "IPFIX", "i", 'targets="127.0.0.1:2055"',
    ]  # fmt: skip


def test_what_refers_to_a_deleted_bridge_is_removed() -> None:
    """Else a new bridge of its name would be one of two; other owners' sets stay."""
    gone = {"bridge": ["uuid", "gone"]}
    assert database(collectors=gone).orphans == ["f"]
    assert database(collectors=gone | {"id": 7}).orphans == []
    assert database().orphans == []
    left = database()
    tables = {**left.tables, "Bridge": {"gone": BRIDGE, **left.tables["Bridge"]}}
    assert list(Database(tables).bridges) == ["b"]


@pytest.mark.parametrize("collectors", [{"id": 7}, {"bridge": ["uuid", "another"]}])
def test_a_bridge_without_our_set_of_collectors_gets_one(collectors: dict[str, Any]) -> None:
    """Another number's set, or another bridge's, is none of ours; one transaction makes both rows."""
    arguments = commands(VFN, TARGETS, database(collectors=collectors))
    assert arguments[:4] == ["--", "--id=@ipfix", "create", "IPFIX"]
    assert arguments[-5:] == [
        "create", "Flow_Sample_Collector_Set", f"id={COLLECTOR_SET}", "bridge=@bridge", "ipfix=@ipfix",
    ]  # fmt: skip


def test_a_set_of_collectors_that_lost_its_row_gets_a_new_one() -> None:
    """The set itself stays."""
    arguments = commands(VFN, TARGETS, database(collectors={"ipfix": ["set", []]}))
    assert arguments[-4:] == ["set", "Flow_Sample_Collector_Set", "f", "ipfix=@ipfix"]


def test_interface_ids_are_read_from_external_ids() -> None:
    """Only interfaces that have one are named."""
    rows: dict[str, dict[str, Any]] = {
        "1": {"name": "tap0", "external_ids": ["map", [["iface-id", "vm-7"], ["x", "y"]]]},
        "2": {"name": "tap1", "external_ids": ["map", []]},
    }
    assert Database({"Interface": rows}).interface_ids() == {"tap0": "vm-7"}


def test_sets_of_one_and_of_many_are_read_alike() -> None:
    """OVSDB writes a set of one element as the element."""
    assert elements("a") == ["a"]
    assert elements(["set", ["a", "b"]]) == ["a", "b"]
    assert elements(["set", []]) == []
    assert elements(["uuid", "u"]) == ["u"]
    assert elements(["set", [["uuid", "u"]]]) == ["u"]
