"""A whole node on real bridges: control with the real engine and analyzer, asked over REST."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.control import Node, bridges, until

from cli.main import main
from runtime.tokens import Role

pytestmark = [pytest.mark.ovs, pytest.mark.slow]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with bridges("tc0", "tc1"), Node(tmp_path) as node:
        node.settings["openflow"]["reconcile_seconds"] = 0.5
        node.write_settings()
        try:
            node.start()
            node.wait_up()
            yield node
        finally:
            node.clean_up()


def dump(bridge: str, *options: str) -> str:
    command = ["ovs-ofctl", "-O", "OpenFlow13", *options, "dump-flows", bridge]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def flows(bridge: str) -> list[str]:
    """The entries of a bridge, without what counts."""
    return sorted(line.strip() for line in dump(bridge, "--no-stats", "--names").splitlines() if "actions=" in line)


def youngest(bridge: str) -> float:
    """Age in seconds of the entry that was written last."""
    return min(float(age) for age in re.findall(r"duration=([0-9.]+)s", dump(bridge)))


def enforced(node: Node) -> bool:
    """Has the engine read back everything from both VFNs?"""
    answer = node.ask("GET", "/v1/vfns")
    return answer.is_success and all(vfn["enforced_ratio"] == 1.0 for vfn in answer.json())


def rule_in(node: Node, identity: str, state: str) -> Mapping[str, Any] | None:
    """The rule, once it is in a state."""
    rule: Mapping[str, Any] = node.ask("GET", f"/v1/rules/{identity}").json()
    return rule if rule.get("state") == state else None


def test_the_story_of_a_rule(node: Node) -> None:
    """Isolated over REST, in the switch, there through the death of engine and control, released, gone, audited."""
    until(lambda: enforced(node) and flows("tc0"), "the pipeline in both bridges")
    plain = flows("tc0")
    answer = node.ask("POST", "/v1/vms/web1/isolate", Role.OPERATOR, json={"reason": "test"})
    assert answer.is_success, answer.text
    identity = answer.json()["id"]
    until(lambda: rule_in(node, identity, "enforced"), "the rule is enforced")
    cut = flows("tc0")
    drops = [entry for entry in set(cut) - set(plain) if "priority=60000" in entry and entry.endswith("actions=drop")]
    assert any(re.search(r'in_port="?tc0-1\b', entry) for entry in drops)
    assert any("dl_dst=02:00:00:00:dc:01" in entry for entry in drops)

    before = until(node.both, "both processes are there")
    os.kill(before["engine"]["pid"], signal.SIGKILL)
    until(lambda: (now := node.both()) and now["engine"]["pid"] != before["engine"]["pid"], "the engine is back")
    until(lambda: enforced(node) and rule_in(node, identity, "enforced"), "and has read the rule back")
    node.end(signal.SIGKILL)
    node.start()
    node.wait_up()
    until(node.both, "adopted")
    until(lambda: enforced(node) and rule_in(node, identity, "enforced"), "still enforced")
    assert flows("tc0") == cut
    assert node.log.count("setting bridge tc0") == 1

    assert node.ask("DELETE", f"/v1/rules/{identity}", Role.OPERATOR).is_success
    until(lambda: rule_in(node, identity, "released"), "released")
    until(lambda: flows("tc0") == plain, "the entries are as before")
    until(lambda: (rule_in(node, identity, "released") or {}).get("removed_at"), "and read back")
    audited = CliRunner().invoke(main, ["audit", "verify"], env=node.environment)
    assert audited.exit_code == 0, audited.output
    rows = node.ask("GET", "/v1/audit?limit=1000").json()
    told = [row["kind"] for row in rows if row["kind"] != "started" and identity in str(row["body"])]
    assert told == ["admitted", "installed", "installed", "enforced", "released", "removed"]
    assert node.end(signal.SIGTERM) == 0


def test_a_restart_writes_nothing_that_is_right(node: Node) -> None:
    """Control and engine start anew: every entry in the switch is older than they are."""
    until(lambda: enforced(node) and flows("tc0"), "the pipeline in both bridges")
    before = until(node.both, "both processes are there")
    entries = flows("tc0")
    assert node.end(signal.SIGTERM) == 0
    age = youngest("tc0")
    node.start()
    node.wait_up()
    after = until(node.both, "new ones")
    assert after["engine"]["pid"] != before["engine"]["pid"]
    until(lambda: enforced(node), "both VFNs are read back and whole")
    assert flows("tc0") == entries
    assert youngest("tc0") > age
