"""The whole product on a real bridge: what others do to it, and what it refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.control import Node, bridges, until, vsctl

from runtime.tokens import Role

pytestmark = [pytest.mark.ovs, pytest.mark.slow]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with bridges("tc0", "tc1"), Node(tmp_path) as node:
        node.settings["openflow"]["reconcile_seconds"] = 600.0
        node.write_settings()
        try:
            node.start()
            node.wait_up()
            until(lambda: node.enforced() and flows(), "the pipeline in both bridges")
            yield node
        finally:
            node.clean_up()


def ofctl(*words: str) -> str:
    return subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", *words], capture_output=True, text=True, check=True).stdout


def flows() -> list[str]:
    """The entries of alpha's bridge, without what counts."""
    return sorted(line.strip() for line in ofctl("--no-stats", "dump-flows", "tc0").splitlines() if "cookie" in line)


def audited(node: Node, kind: str) -> list[Mapping[str, Any]]:
    """What is on record of alpha."""
    rows = node.ask("GET", f"/v1/audit?limit=1000&kind={kind}").json()
    return [row["body"] for row in rows if row["body"]["vfn"] == "alpha"]


def _has_drifts(node: Node, count: int) -> bool:
    return len(audited(node, "drift")) == count


def test_what_others_change_is_repaired_at_once(node: Node) -> None:
    """A lost, an altered and a foreign entry: told by the switch, long before the next cycle, and on record."""
    whole = flows()
    for number, change in enumerate(
        (
            ["--strict", "del-flows", "tc0", "table=15,priority=0"],
            ["--strict", "mod-flows", "tc0", "table=15,priority=0,actions=NORMAL"],
            ["add-flow", "tc0", "table=0,priority=65535,actions=NORMAL"],
        ),
        1,
    ):
        ofctl(*change)
        until(lambda: flows() == whole, f"repaired after {change[0]}")
        until(partial(_has_drifts, node, number), "on record")
        until(node.enforced, "read back")
    drifts = audited(node, "drift")
    assert [(drift["lost"], drift["strange"]) for drift in drifts] == [(1, 0), (1, 0), (0, 1)]
    ratios = [body["enforced_ratio"] for body in audited(node, "ratio")]
    assert ratios[:2] == [0.0, 1.0]
    assert ratios[2] == pytest.approx(1 - 1 / len(whole), abs=1e-5)
    assert ratios[-1] == 1.0


def test_a_table_that_is_full_keeps_the_old_entries_whole(node: Node) -> None:
    """The rule fails by name and VFN; when there is room again it is tried again and enforced."""
    whole = flows()
    limit = len([entry for entry in whole if "table=8," in entry])
    vsctl(f"-- --id=@full create Flow_Table flow_limit={limit} -- set Bridge tc0 flow_tables:8=@full")
    answer = node.ask("POST", "/v1/rules", Role.OPERATOR, json={"action": "deny", "source_ip": "203.0.113.66"})
    assert answer.is_success, answer.text
    identity = answer.json()["id"]

    def state() -> str:
        return str(node.ask("GET", f"/v1/rules/{identity}").json()["state"])

    until(lambda: state() == "failed", "the rule fails")
    rule = node.ask("GET", f"/v1/rules/{identity}").json()
    assert "VFN alpha" in rule["detail"]
    assert "table full" in rule["detail"]
    until(lambda: flows() == whole, "the old entries, and no others")
    vsctl("clear Bridge tc0 flow_tables")
    until(lambda: state() == "enforced", "tried again", 30)


def test_an_isolated_vm_has_its_link_again_when_the_drops_hold(node: Node) -> None:
    """The port goes down at once and comes up when the rule is enforced."""
    subprocess.run(["ip", "link", "set", "tc0-1", "up"], check=True)

    def down() -> bool:
        return vsctl("get Interface tc0-1 admin_state") == "down"

    until(lambda: not down(), "the link is there")
    answer = node.ask("POST", "/v1/vms/web1/isolate", Role.OPERATOR, json={})
    until(down, "the link is gone")
    identity = answer.json()["id"]
    until(lambda: node.ask("GET", f"/v1/rules/{identity}").json()["state"] == "enforced", "the rule is enforced")
    until(lambda: not down(), "the link is back")


def test_a_restart_writes_neither_entry_nor_meter(node: Node) -> None:
    """Control and engine start anew, find everything as it should be, and send no bundle and no meter."""
    before, installed = (flows(), ofctl("dump-meters", "tc0")), len(audited(node, "installed"))
    assert "rate=1000" in before[1]
    assert node.end() == 0
    node.start()
    node.wait_up()
    until(node.enforced, "all VFNs are read back and whole")
    assert (flows(), ofctl("dump-meters", "tc0")) == before
    assert len(audited(node, "installed")) == installed
    assert audited(node, "ratio")[-1]["enforced_ratio"] == 1.0
    assert not audited(node, "failed")
