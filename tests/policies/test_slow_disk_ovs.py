"""A disk that takes its time: an attack is contained by a real switch all the same, and nobody is told too early."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.control import Node, until, vsctl

from policies.pipeline.tables import Table
from runtime.tokens import Role

pytestmark = [pytest.mark.ovs, pytest.mark.slow]

BRIDGE = "ws0"
INVENTORY: dict[str, Any] = {
    "segments": {"web": None},
    "vfns": {BRIDGE: {"dpid": 0xD100}},
    "vms": {
        f"web{number}": {
            "segment": "web",
            "vfn": BRIDGE,
            "port": f"ws-{number}",
            "mac": f"02:00:00:00:d1:0{number}",
            "addresses": [f"10.9.1.{number}"],
        }
        for number in (1, 2)
    },
}
SLOW = """
import os, time
sync = os.fdatasync
def slow(file):
    while os.path.exists({busy!r}):
        time.sleep(0.01)
    sync(file)
os.fdatasync = slow
"""
"""What every Python of the node runs first: the disk is busy for as long as a file is there."""


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file; not there yet."""
    file, first = tmp_path / "busy", tmp_path / "first"
    first.mkdir()
    (first / "sitecustomize.py").write_text(SLOW.format(busy=str(file)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(first), os.environ.get("PYTHONPATH")))))
    return file


@pytest.fixture
def node(tmp_path: Path, busy: Path) -> Iterator[Node]:
    """A node with one bridge, which enforces that nothing is laid down."""
    with ExitStack() as stack, Node(tmp_path) as node:
        stack.callback(vsctl, f"--if-exists del-br {BRIDGE}")
        vsctl(f"--if-exists del-br {BRIDGE} -- add-br {BRIDGE} -- set Bridge {BRIDGE} datapath_type=netdev")
        for vm in INVENTORY["vms"].values():
            port = vm["port"]
            vsctl(f"add-port {BRIDGE} {port} -- set Interface {port} type=patch options:peer={port}-no")
        node.write(INVENTORY)
        stack.callback(node.clean_up)
        stack.callback(busy.unlink, missing_ok=True)
        node.start()
        node.wait_up()
        until(node.enforced, "the pipeline in the bridge")
        yield node


def drops() -> set[str]:
    """Matches of the entries of ENFORCEMENT that drop."""
    command = ["ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", BRIDGE, f"table={int(Table.ENFORCEMENT)}"]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split("actions=")[0] for line in dumped if line.endswith("actions=drop")}


def test_a_restriction_is_in_the_switch_before_the_disk_is_sure(node: Node, busy: Path) -> None:
    """Its drops do not wait. Whoever asked does, and is answered, and the rule confirmed, when the disk is sure."""
    before = drops()
    asked = {"action": "restrict", "source_vm": "web1", "peers": []}
    busy.touch()
    with ThreadPoolExecutor(1) as aside:
        answer = aside.submit(node.ask, "POST", "/v1/rules", Role.OPERATOR, json=asked)
        until(lambda: drops() - before, "the drops of the restriction are in the switch", 10.0)
        assert not answer.done(), answer.result().text
        busy.unlink()
        made = answer.result(timeout=30)
    assert made.status_code == 201, made.text
    rule = f"/v1/rules/{made.json()['id']}"
    until(lambda: node.ask("GET", rule).json()["state"] == "enforced", "the rule is read back")
