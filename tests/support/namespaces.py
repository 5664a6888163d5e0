"""Two VMs as network namespaces on a bridge, which know each other's MAC addresses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

from support.control import vsctl
from support.spaces import host, ip

from topology.model import Vm


def run(*command: str, stdin: bytes = b"") -> str:
    """Run a command; its output."""
    return subprocess.run(command, check=True, capture_output=True, input=stdin, timeout=30).stdout.decode()


def port(prefix: str, vm: str) -> str:
    """The name of a VM's port, and of its namespace; its own end is called `-in` in addition."""
    return f"{prefix}{vm[0]}-sw"


def inside(prefix: str, vm: str, *command: str) -> tuple[str, ...]:
    """A command in a VM's namespace."""
    return "ip", "netns", "exec", port(prefix, vm), *command


@contextmanager
def pair(prefix: str, vms: Mapping[str, tuple[str, str]]) -> Iterator[None]:
    """Two VMs (name -> address and MAC) on the bridge `prefix`0."""
    bridge = f"{prefix}0"
    with ExitStack() as stack:
        vsctl(f"--if-exists del-br {bridge} -- add-br {bridge} -- set Bridge {bridge} datapath_type=netdev")
        stack.callback(vsctl, f"--if-exists del-br {bridge}")
        for number, (name, (address, mac)) in enumerate(vms.items(), 1):
            vm = Vm(name, number, "", bridge, port(prefix, name), mac, (ip_address(address),))
            stack.enter_context(host(vm, bridge, number))
        for name, (address, mac) in vms.items():
            (other,) = vms.keys() - {name}
            end = port(prefix, other)
            ip("-n", end, "neighbour", "add", address, "lladdr", mac, "dev", f"{end}-in")
        yield
