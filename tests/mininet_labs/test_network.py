"""The network of an inventory: what it builds, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mininet_labs.children import NICENESS, ROOT
from mininet_labs.errors import LabError
from mininet_labs.marks import sweep
from mininet_labs.network import LabNetwork
from topology.model import Inventory

pytestmark = pytest.mark.ovs


def _machine(names: tuple[str, ...]) -> dict[str, list[str]]:
    """Bridges and interfaces of the machine, and shells of the named Mininet nodes."""
    bridges = subprocess.run(["ovs-vsctl", "list-br"], check=True, capture_output=True, text=True).stdout.split()
    shells = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        shells += [word for word in words if word.startswith("mininet:") and word[8:] in names]
    interfaces = sorted(path.name for path in Path("/sys/class/net").iterdir())
    return {"bridges": bridges, "interfaces": interfaces, "shells": shells}


def _until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def _ping(network: LabNetwork, source: str, target: str) -> int:
    return network.popen(source, ["ping", "-c", "1", "-W", "2", target]).wait(10)


def _names(inventory: Inventory) -> tuple[str, ...]:
    return (*inventory.vms, *inventory.outside, *(vfn.bridge for vfn in inventory.vfns.values()))


def test_everybody_reaches_everybody_on_both_ip_versions(network: LabNetwork) -> None:
    """The network is flat, the outside hosts are on the link, and checksums are right across the bridges."""
    for target in ("10.9.1.2", "10.9.2.1", "fd00:9::2:1", "198.51.100.7"):
        assert _ping(network, "r1", target) == 0
    assert _ping(network, "far", "10.9.2.1") == 0


def test_macs_and_link_local_addresses_are_the_inventorys(network: LabNetwork, small: Inventory) -> None:
    """Dynseg's guard derives a VM's link-local address from its MAC; the lab's hosts have to use that one."""
    done = subprocess.run(
        ["mnexec", "-a", str(network.pid("r1")), "ip", "addr", "show", "dev", "r1-eth0"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert small.vms["r1"].mac in done.stdout
    assert "fe80::ff:fe00:e101" in done.stdout


def test_nothing_passes_before_a_controller_came(small: Inventory) -> None:
    """The bridges come up secure: without entries not a single packet is forwarded."""
    with LabNetwork(small) as network:
        assert _ping(network, "r2", "10.9.2.1") != 0


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="needs a kernel with autogroups")
def test_programs_on_endpoints_have_low_priority(small: Inventory, tmp_path: Path) -> None:
    """Their process and its session's group: among sessions only that counts."""
    told = tmp_path / "told"
    with LabNetwork(small) as network, told.open("wb") as output:
        ask = ["sh", "-c", "nice; cat /proc/self/autogroup"]
        assert network.popen("r1", ask, output=output).wait(10) == 0
    niceness, group = told.read_text().splitlines()
    assert niceness == str(NICENESS)
    assert group.endswith(f"nice {NICENESS}")


def test_nothing_is_left_behind(small: Inventory) -> None:
    """Bridges, interfaces and processes are the same before and after, even when the block ends in an error."""
    before = _machine(_names(small))
    with pytest.raises(KeyboardInterrupt), LabNetwork(small) as network:
        assert set(_machine(_names(small))["bridges"]) - set(before["bridges"]) == {"tl0", "tl1"}
        sleeper = network.popen("r1", ["sleep", "60"])
        raise KeyboardInterrupt
    sleeper.kill()
    sleeper.wait()
    _until(lambda: _machine(_names(small)) == before)


def test_what_a_killed_run_left_is_swept_up_by_the_next(small: Inventory, tmp_path: Path) -> None:
    """Kill -9 leaves bridges; programs on the endpoints die at once, and `sweep` takes the rest away."""
    before = _machine(_names(small))
    file = tmp_path / "inventory.yaml"
    file.write_text((Path(__file__).parent / "conftest.py").read_text().split('"""')[3])
    program = f"""
        from mininet_labs.network import LabNetwork
        from topology.inventory import load
        with LabNetwork(load({str(file)!r})) as network:
            print(network.popen("r1", ["sleep", "3600"]).pid, flush=True)
            input()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    victim = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert victim.stdout is not None
    sleeper = int(victim.stdout.readline())
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    _until(lambda: not _runs(sleeper))
    assert {"tl0", "tl1"} <= set(_machine(_names(small))["bridges"])
    assert sorted(sweep()) == ["tl0", "tl1"]
    _until(lambda: _machine(_names(small)) == before)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_living_labs_bridges_are_not_swept(network: LabNetwork) -> None:
    """`sweep` removes what belongs to dead processes, and nothing else."""
    assert sweep() == []
    assert _ping(network, "r1", "10.9.2.1") == 0


def test_a_bridge_of_somebody_else_is_not_touched(small: Inventory) -> None:
    """A bridge with a name of the inventory that no lab made: refused with the remedy, and still there afterwards."""
    subprocess.run(["ovs-vsctl", "add-br", "tl1", "--", "set", "bridge", "tl1", "datapath_type=netdev"], check=True)
    try:
        with pytest.raises(LabError, match="bridge tl1 exists already"), LabNetwork(small):
            pass
        assert "tl1" in _machine(())["bridges"]
        assert "tl0" not in _machine(())["bridges"]
    finally:
        subprocess.run(["ovs-vsctl", "del-br", "tl1"], check=True)


def test_sysctls_of_the_machine_stay_as_they_are(small: Inventory) -> None:
    """Mininet alone would raise kernel limits for good."""
    keys = ("net/core/netdev_max_backlog", "net/core/rmem_max", "kernel/pty/max", "net/ipv6/conf/default/accept_dad")
    values = {key: Path("/proc/sys", key).read_text() for key in keys if Path("/proc/sys", key).exists()}
    with LabNetwork(small):
        assert os.getpid()
    assert {key: Path("/proc/sys", key).read_text() for key in values} == values
