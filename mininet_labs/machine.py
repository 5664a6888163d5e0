"""What a lab needs of the machine, each lack told in one line; and Open vSwitch started when it does not run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

from mininet_labs.children import ROOT
from mininet_labs.errors import LabError

_TOOLS = {
    "ovs-vsctl": "openvswitch-switch",
    "mnexec": "mininet",
    "ethtool": "ethtool",
    "ifconfig": "net-tools",
    "ip": "iproute2",
    "nmap": "nmap",
    "setpriv": "util-linux",
}
"""Program -> Debian's package of it."""


def check() -> None:
    """See that a lab can run here.

    Raises:
        LabError: not root, or a program is missing.
    """
    if os.geteuid() != 0:
        raise LabError("a lab needs root: it makes network namespaces and bridges", remedy="run it as root")
    missing = [package for program, package in _TOOLS.items() if shutil.which(program) is None]
    if missing:
        raise LabError("programs are missing", remedy=f"deploy/setup.sh, or: apt-get install {' '.join(missing)}")


@contextmanager
def open_vswitch() -> Iterator[bool]:
    """Open vSwitch runs inside the block, and goes on after it only if it did before; yields whether it did.

    Raises:
        LabError: it does not start.
    """
    control = str(ROOT / "deploy" / "ovs")
    ran = _run(control, "status").returncode == 0
    if not ran:
        _must(control, "start")
    try:
        yield ran
    finally:
        if not ran:
            _must(control, "stop")


def free_port(preferred: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """The preferred port of the loopback interface when nobody has it, else any free one."""
    for port in (preferred, 0):
        with closing(socket.socket(socket.AF_INET, kind)) as sock:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise LabError("no free port")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _must(*command: str) -> None:
    done = _run(*command)
    if done.returncode:
        raise LabError(done.stderr.strip() or f"`{' '.join(command)}` failed")
