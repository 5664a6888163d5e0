"""The instruments: exact counts, and losses seen where there are some."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from mininet_labs.attacks.catalogue import Attack
from mininet_labs.children import Child, module, wait_for
from mininet_labs.evidence import loss_percent
from mininet_labs.instruments import Prober, Watcher
from mininet_labs.network import LabNetwork

pytestmark = pytest.mark.ovs
PROBE_PORT = 7

_SEND = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[3])):
    sock.sendto(b"x" * 100, (sys.argv[1], int(sys.argv[2])))
    time.sleep(0.0005)
"""
"""Paced, so that the switch in userspace drops nothing of its own."""


def _send(network: LabNetwork, source: str, address: str, port: int, count: int) -> None:
    command = ["python3", "-c", _SEND, address, str(port), str(count)]
    assert network.popen(source, command).wait(20) == 0


def _cut(bridge: str, port: str) -> None:
    number = subprocess.run(
        ["ovs-vsctl", "get", "interface", port, "ofport"], check=True, capture_output=True, text=True
    ).stdout.strip()
    flow = f"priority=65000,in_port={number},actions=drop"
    subprocess.run(["ovs-ofctl", "add-flow", bridge, flow], check=True)


def test_the_watcher_counts_every_frame(network: LabNetwork, tmp_path: Path) -> None:
    """1,000 datagrams to the target, 300 to somebody else: each seen once where it enters and once where it leaves."""
    for target in ("10.9.2.1", "198.51.100.7"):
        assert network.popen("r1", ["ping", "-c", "1", target]).wait(10) == 0
    watcher = Watcher(network, Attack("t", "r1", ("b1",), (), ""), PROBE_PORT, tmp_path, "watch")
    _send(network, "r1", "10.9.2.1", 9, 1000)
    _send(network, "r1", "198.51.100.7", 9, 300)
    _send(network, "r1", "10.9.2.1", PROBE_PORT, 50)
    _send(network, "r2", "10.9.2.1", 9, 500)
    watch = watcher.stop()
    delivered = json.loads((tmp_path / "watch.seen.json").read_text())["delivered"]
    # The kernel may add a few frames of its own: an ARP to confirm a neighbour, a multicast group report.
    assert 1000 <= len(watch.attack) <= 1003
    assert 350 <= len(watch.other) <= 356
    assert 1050 <= len(delivered["tl1-eth3"]) <= 1059
    assert 300 <= len(delivered["tl0-eth3"]) <= 309
    assert len(delivered["tl1-eth2"]) <= 9
    assert watch.missed == 0
    assert abs(watch.attack[0] - time.time()) < 60
    assert watch.delivered[0] - watch.attack[0] < 1


def test_the_watcher_sees_arp_and_neighbour_discovery(network: LabNetwork, tmp_path: Path) -> None:
    """Frames that are no IP packets count as well: a first contact begins with ARP, or with a solicitation."""
    watcher = Watcher(network, Attack("t", "r1", ("b1",), (), ""), PROBE_PORT, tmp_path, "watch")
    network.popen("r1", ["ping", "-c", "1", "10.9.2.1"]).wait(10)
    network.popen("r1", ["ping", "-c", "1", "fd00:9::2:1"]).wait(10)
    watch = watcher.stop()
    assert len(watch.attack) >= 4
    assert len(watch.delivered) >= 4


def test_openings_of_an_attack_are_told_from_others(network: LabNetwork, tmp_path: Path) -> None:
    """By their ports, where it has some; its answers are none, and nothing is lost."""
    knock = "import socket, sys; [socket.socket().connect_ex(('10.9.2.1', int(port))) for port in sys.argv[1:]]"
    for ports, attacking in ((), 3), ((22, 445), 2):
        attack = Attack("t", "r1", ("b1",), (), "", openings=True, ports=ports)
        watcher = Watcher(network, attack, PROBE_PORT, tmp_path, "watch")
        assert network.popen("r1", ["python3", "-c", knock, "22", "8080", "445"]).wait(10) == 0
        watch = watcher.stop()
        assert (len(watch.attack), len(watch.passed)) == (attacking, attacking)
        assert len(watch.other) >= 3 - attacking


def test_after_a_cut_frames_enter_and_none_is_delivered(network: LabNetwork, tmp_path: Path) -> None:
    """The watcher tells sent from delivered."""
    assert network.popen("r1", ["ping", "-c", "1", "10.9.2.1"]).wait(10) == 0
    _cut("tl0", "tl0-eth2")
    watcher = Watcher(network, Attack("t", "r1", ("b1",), (), ""), PROBE_PORT, tmp_path, "watch")
    _send(network, "r1", "10.9.2.1", 9, 200)
    watch = watcher.stop()
    assert len(watch.attack) >= 200
    assert watch.delivered == ()


def test_a_port_taken_down_and_up_again_does_not_end_the_watch(network: LabNetwork, tmp_path: Path) -> None:
    """Isolation may take the VM's own port down: what is sent afterwards is seen again."""
    watcher = Watcher(network, Attack("t", "r1", ("b1",), (), ""), PROBE_PORT, tmp_path, "watch")
    for state in ("down", "up"):
        subprocess.run(["ip", "link", "set", "tl0-eth2", state], check=True)
    assert network.popen("r1", ["ping", "-c", "1", "-w", "5", "10.9.2.1"]).wait(10) == 0
    watch = watcher.stop()
    assert len(watch.attack) >= 1
    assert len(watch.delivered) >= 1


def test_probes_come_back_and_a_cut_shows_as_loss(network: LabNetwork, tmp_path: Path) -> None:
    """Two pairs at 100 Hz without loss; when one source is cut its probes are lost, and the other's are not."""
    prober = Prober(network, [("r1", "b1"), ("r2", "far")], tmp_path, "probes", rate=100, port=PROBE_PORT)
    wait_for("probes", lambda: all(len(p) >= 100 for p in prober.read().values()) and bool(prober.read()), 10)
    assert {name: loss_percent(probes) for name, probes in prober.read().items()} == {"r1>b1": 0.0, "r2>far": 0.0}
    cut = time.time()
    _cut("tl0", "tl0-eth2")
    wait_for("losses", lambda: any(p.returned is None for p in prober.read()["r1>b1"]), 10)
    wait_for("others' probes", lambda: prober.returned()["r2>far"] > cut + 1.0, 10)
    assert prober.returned()["r1>b1"] < cut + 0.5
    probes = prober.stop()
    assert loss_percent(probes["r2>far"]) == 0.0
    lost = [probe for probe in probes["r1>b1"] if probe.sent > cut + 0.5]
    assert len(lost) >= 40
    assert loss_percent(lost) == 100.0
    sent = [probe.sent for probe in probes["r2>far"]]
    assert 90 <= len(sent) / (sent[-1] - sent[0]) <= 110


def test_the_echo_probe_measures_a_controllers_replies(tmp_path: Path) -> None:
    """Against Open vSwitch's own OpenFlow listener every echo is answered, within milliseconds."""
    options = ["datapath_type=netdev", "protocols=OpenFlow13"]
    bridge = ["ovs-vsctl", "add-br", "tl9", "--", "set", "bridge", "tl9", *options]
    subprocess.run([*bridge, "--", "set-controller", "tl9", "ptcp:16655:127.0.0.1"], check=True)
    try:
        out = tmp_path / "echo.json"
        child = Child("echo", module("mininet_labs.probes.openflow", "--port", 16655, "--out", out), tmp_path / "log")
        child.ready()
        time.sleep(1.0)
        child.stop()
        result = json.loads(out.read_text())
        assert result["answered"] >= 8
        assert result["sent"] - result["answered"] <= 1
        assert 0 < result["p99_ms"] <= result["max_ms"] < 100
        assert result["reconnects"] == 0
    finally:
        subprocess.run(["ovs-vsctl", "del-br", "tl9"], check=True)
