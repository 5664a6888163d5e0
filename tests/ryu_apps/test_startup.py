"""What keeps control from starting is told in one line, and ryu-manager's exit status says so."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.control import DEADLINE, INVENTORY, Node, Peer, echo

pytestmark = pytest.mark.slow


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path, manage_bridges=False) as node:
        yield node


def refused(node: Node, *arguments: str) -> str:
    """Start control, which must fail, and give its one line."""
    node.start(*arguments)
    assert node.process is not None
    assert node.process.wait(timeout=DEADLINE) == 1
    assert "Traceback" not in node.log
    lines = [line for line in node.log.splitlines() if line.startswith("dynseg control cannot start: ")]
    assert len(lines) == 1
    assert node.log.splitlines()[-1] == lines[0]
    return lines[0]


def test_a_wrong_setting_is_named(node: Node) -> None:
    """File and key of an unknown setting."""
    node.settings["openflow"]["prot"] = 1
    node.write(INVENTORY)
    line = refused(node)
    assert "dynseg.yaml" in line
    assert "openflow.prot" in line


def test_a_broken_inventory_is_named(node: Node) -> None:
    """A VM on an unknown VFN: file, line and key come from the inventory's own check."""
    broken = {**INVENTORY, "vms": {"web1": {**INVENTORY["vms"]["web1"], "vfn": "gamma"}}}
    node.write(broken)
    line = refused(node)
    assert "inventory.yaml:" in line
    assert "vms.web1.vfn" in line


@pytest.mark.parametrize("key", ["openflow", "rest"])
def test_a_taken_tcp_port_is_named(node: Node, key: str) -> None:
    """Also when who has it would share it (SO_REUSEPORT), as another ryu-manager would."""
    port = node.settings[key]["port"]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        line = refused(node)
    assert f"{key}.port: cannot listen at 127.0.0.1:{port}" in line


def test_a_taken_netflow_port_is_named(node: Node) -> None:
    """The analyzer that would be started could not listen."""
    port = node.settings["netflow"]["port"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        assert f"netflow.port: cannot listen at 127.0.0.1:{port} for NetFlow" in refused(node)


def test_the_command_line_of_ryu_manager_wins(node: Node) -> None:
    """--ofp-tcp-listen-port stands over the settings, in what is listened at and in what is complained of."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"127.0.0.1:{port} for OpenFlow" in refused(node, "--ofp-tcp-listen-port", str(port))


def test_an_open_vswitch_that_does_not_run_is_told(tmp_path: Path) -> None:
    """No OVSDB at the endpoint, and bridges to manage: what to do stands in the line."""
    with Node(tmp_path) as node:
        node.settings["ovsdb"]["endpoint"] = f"unix:{tmp_path}/none.sock"
        node.write(INVENTORY)
        line = refused(node)
        assert "none.sock is not reachable: No such file or directory" in line
        assert "start Open vSwitch" in line


def test_an_endpoint_that_is_none_is_told(tmp_path: Path) -> None:
    """A wrong form is a mistake in the settings."""
    with Node(tmp_path) as node:
        node.settings["ovsdb"]["endpoint"] = "/var/run/db.sock"
        node.write(INVENTORY)
        assert "ovsdb.endpoint" in refused(node)


def test_a_folder_that_cannot_be_made_is_told(node: Node) -> None:
    """A file stands where run_dir should be."""
    node.run_dir.write_text("")
    assert "run_dir:" in refused(node)


def test_a_second_control_of_the_same_node_is_refused(node: Node, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two would both drive the same engine; the message names the first."""
    node.run_dir.mkdir()
    peers = [Peer(node.run_dir / f"{name}.sock", echo) for name in ("engine", "analyzer")]
    try:
        node.start()
        node.wait_up()
        assert node.process is not None
        with Node(tmp_path_factory.mktemp("second"), manage_bridges=False) as second:
            second.settings["run_dir"] = str(node.run_dir)
            second.write(INVENTORY)
            assert f"another control (process {node.process.pid}) runs here" in refused(second)
    finally:
        for peer in peers:
            peer.close()


def test_control_is_up_quickly(node: Node) -> None:
    """From start to REST answering."""
    node.run_dir.mkdir()
    peers = [Peer(node.run_dir / f"{name}.sock", echo) for name in ("engine", "analyzer")]
    try:
        began = time.monotonic()
        node.start()
        node.wait_up()
        print(f"control up in {time.monotonic() - began:.2f} s")
        assert "control of" in node.log
    finally:
        for peer in peers:
            peer.close()
