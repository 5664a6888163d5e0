"""The demo itself, and what it says where it cannot run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mininet_labs import machine
from mininet_labs.children import ROOT, mortal
from mininet_labs.errors import LabError

DEMO = [sys.executable, "-m", "mininet_labs.demo"]


def _bridges() -> list[str]:
    return subprocess.run(["ovs-vsctl", "list-br"], check=True, capture_output=True, text=True).stdout.split()


def _interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_without_root_it_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack trace: what is missing and what to do."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"needs root.*\(run it as root\)"):
        machine.check()


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy can be typed as it stands."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match=r"apt-get install .*openvswitch-switch.*nmap"):
        machine.check()


def test_a_taken_port_is_avoided() -> None:
    """The lab's node moves aside when somebody has the usual port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert machine.free_port(number) != number
    assert machine.free_port(number) == number


@pytest.mark.ovs
@pytest.mark.slow
def test_a_bridge_in_the_way_is_named_and_left_alone(tmp_path: Path) -> None:
    """The demo does not delete what it did not make."""
    subprocess.run(["ovs-vsctl", "add-br", "leaf2", "--", "set", "bridge", "leaf2", "datapath_type=netdev"], check=True)
    try:
        done = subprocess.run(
            [*DEMO, "--out", tmp_path], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        assert done.returncode == 1
        assert "bridge leaf2 exists already (ovs-vsctl del-br leaf2)" in done.stderr
        assert "Traceback" not in done.stderr
        assert "leaf2" in _bridges()
    finally:
        subprocess.run(["ovs-vsctl", "del-br", "leaf2"], check=True)


@pytest.mark.ovs
@pytest.mark.slow
def test_interrupted_it_takes_everything_down(tmp_path: Path) -> None:
    """Ctrl-C while it learns: exit status 130, no bridge, interface or process is left."""
    before = (_bridges(), _interfaces())
    command = mortal([*DEMO, "--out", str(tmp_path)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "learning" in line:
                break
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        assert len(children) > 20
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(60) == 130
    assert (_bridges(), _interfaces()) == before
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.ovs
@pytest.mark.slow
@pytest.mark.timeout(420)
def test_the_demo_holds(tmp_path: Path) -> None:
    """The whole story: exit status 0, three attacks seen and contained, nobody else hurt, machine as before."""
    before = (_bridges(), _interfaces())
    done = subprocess.run(
        [*DEMO, "--out", tmp_path], check=False, capture_output=True, text=True, cwd=ROOT, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [attack["name"] for attack in summary["attacks"]] == ["scan", "brute_force", "exfiltration"]
    for attack in summary["attacks"]:
        assert attack["detected"]
        assert attack["packets_forwarded_after_contain"] == 0
        assert attack["attack_packets_sent_after_contain"] > 0
        assert attack["rule"]["reasons"]
    assert summary["innocent_probe_loss_percent"] <= 0.1
    assert summary["false_rules"] == 0
    assert summary["released_ok"]
    assert summary["audit_ok"]
    assert summary["analyzer_killed_ok"]
    assert summary["duration_s"] < 240
    page = (tmp_path / "report.html").read_text()
    assert all(attack["rule"]["id"] in page for attack in summary["attacks"])
    assert (_bridges(), _interfaces()) == before
