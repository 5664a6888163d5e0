"""Two VMs as network namespaces on a bridge, which know each other's MAC addresses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from support.control import vsctl


def run(*command: str, stdin: bytes = b"") -> str:
    """Run a command; its output."""
    return subprocess.run(command, check=True, capture_output=True, input=stdin, timeout=30).stdout.decode()


def inside(prefix: str, vm: str, *command: str) -> tuple[str, ...]:
    """A command in a VM's namespace."""
    return "ip", "netns", "exec", f"{prefix}-{vm}", *command


@contextmanager
def pair(prefix: str, vms: Mapping[str, tuple[str, str]]) -> Iterator[None]:
    """Two VMs (name -> address and MAC) on the bridge `prefix`0, each at the port `prefix`, its initial, `-sw`."""
    first, second = vms
    for vm in vms:
        run("ip", "netns", "add", f"{prefix}-{vm}")
    try:
        bridge = f"{prefix}0"
        vsctl(f"--if-exists del-br {bridge} -- add-br {bridge} -- set Bridge {bridge} datapath_type=netdev")
        for vm, other in ((first, second), (second, first)):
            (address, mac), end = vms[vm], f"{prefix}{vm[0]}"
            run("ip", "link", "add", f"{end}-sw", "type", "veth", "peer", "name", end, "address", mac)
            run("ip", "link", "set", end, "netns", f"{prefix}-{vm}")
            run("ip", "link", "set", f"{end}-sw", "up")
            run(*inside(prefix, vm, "ip", "address", "add", f"{address}/24", "dev", end))
            run(*inside(prefix, vm, "ip", "link", "set", end, "up"))
            run(*inside(prefix, vm, "ip", "neighbour", "add", vms[other][0], "lladdr", vms[other][1], "dev", end))
            run(*inside(prefix, vm, "ethtool", "-K", end, "tx", "off"))
            vsctl(f"add-port {bridge} {end}-sw")
        yield
    finally:
        vsctl(f"--if-exists del-br {prefix}0")
        for vm in vms:
            run("ip", "netns", "del", f"{prefix}-{vm}")
