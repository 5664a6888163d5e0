"""Hosts for tests marked `ovs`: network namespaces whose one interface is a port of a bridge, and sockets in them."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from topology.model import Vm

_CLONE_NEWNET = 0x40000000
_HOME, _SPACES = Path("/proc/thread-self/ns/net"), Path("/var/run/netns")
_DEFAULT_BUFFER = Path("/proc/sys/net/core/rmem_default")
_LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*arguments: str) -> None:
    """Run `ip`, which must succeed."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


@contextmanager
def host(vm: Vm, vfn: str, ofport: int) -> Iterator[str]:
    """A namespace, named as the VM's port, with the VM's MAC and addresses (/24, /64); its port is in the bridge."""
    space, inner = vm.port, f"{vm.port}-in"
    with ExitStack() as stack:
        ip("netns", "add", space)
        stack.callback(ip, "netns", "del", space)
        ip("link", "add", vm.port, "type", "veth", "peer", "name", inner, "netns", space)
        ip("link", "set", vm.port, "up")
        ip("-n", space, "link", "set", inner, "address", vm.mac)
        for address in vm.addresses:
            once = [] if address.version == 4 else ["nodad"]
            ip("-n", space, "address", "add", f"{address}/{24 if address.version == 4 else 64}", "dev", inner, *once)
        ip("-n", space, "link", "set", inner, "up")
        # Open vSwitch's userspace takes frames as they are: with checksums left to a card they would be wrong.
        offload = ["ip", "netns", "exec", space, "ethtool", "-K", inner, "tx", "off"]
        subprocess.run(offload, capture_output=True, check=True)
        add = ["add-port", vfn, vm.port, "--", "set", "Interface", vm.port, f"ofport_request={ofport}"]
        with _roomy_sockets():
            subprocess.run(["ovs-vsctl", *add], check=True)
        yield space


@contextmanager
def _roomy_sockets() -> Iterator[None]:
    """Sockets that are opened meanwhile hold thousands of frames.

    So a switch that has to wait for a processor, on a busy machine, delivers late what it would otherwise never see.
    """
    before = _DEFAULT_BUFFER.read_text()
    _DEFAULT_BUFFER.write_text(str(1 << 25))
    try:
        yield
    finally:
        _DEFAULT_BUFFER.write_text(before)


@contextmanager
def inside(space: str) -> Iterator[None]:
    """This thread is in the namespace: sockets that it makes are, and stay there."""
    with _HOME.open() as home, (_SPACES / space).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def socket_in(space: str, kind: socket.SocketKind, version: int = 4) -> socket.socket:
    """A socket in a namespace."""
    with inside(space):
        return socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, kind)
