"""An inventory brought to life in Mininet: one namespace an endpoint, one Open vSwitch bridge a VFN, veth cables.

The bridges come up with `fail_mode=secure` and no controller: nothing passes until dynseg has found them in OVSDB and
programmed them. Every bridge carries the mark `external_ids:dynseg-lab` with the process that made it, so that what a
killed run left behind is known (and nothing else is ever touched).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from mininet.link import Link
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Host, OVSSwitch

from mininet_labs.children import mortal
from mininet_labs.errors import LabError
from topology.model import Inventory, OutsidePort, Vm

MARK = "dynseg-lab"
NICENESS = "10"
_CALM = "for key in accept_dad router_solicitations; do echo 0 > /proc/sys/net/ipv6/conf/default/$key; done"
"""Addresses are fixed: no waiting for duplicates, no asking for routers that do not exist."""


class LabSwitch(OVSSwitch):
    """A bridge in userspace that carries the lab's mark from the moment it exists."""

    def bridgeOpts(self) -> str:  # noqa: N802  # mininet's name
        """Mininet's options for `ovs-vsctl set bridge`, and the mark."""
        return f"{super().bridgeOpts()} external_ids:{MARK}={_process_mark(os.getpid())}"


class LabNetwork:
    """The network of an inventory, as a context manager: up inside the block, gone without a trace after it."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._net: Any = None

    def __enter__(self) -> Self:
        """Build and start.

        Raises:
            LabError: a bridge or interface of the inventory exists already and is not a dead lab's.
        """
        sweep()
        self._refuse_strangers()
        setLogLevel("warning")
        Mininet.inited = True  # its fixLimits() would change sysctls of the whole machine for good
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything down again; harmless when nothing is up."""
        net, self._net = self._net, None
        try:
            if net is not None:
                net.stop()
        finally:
            _remove(_marked(_process_mark(os.getpid())))

    def pid(self, endpoint: str) -> int:
        """Process whose network namespace is that of a VM or outside host."""
        return int(self._net.get(endpoint).pid)

    def popen(
        self,
        endpoint: str,
        argv: Sequence[str],
        *,
        output: IO[Any] | int = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program on an endpoint. It gets no Ctrl-C of the terminal, and dies when this process dies.

        It runs with low priority: outside a lab the VMs' work is not done by the processors of switch and controller.
        """
        command = ["mnexec", "-a", str(self.pid(endpoint)), "nice", "-n", NICENESS, *mortal(argv)]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True
        )

    def _refuse_strangers(self) -> None:
        bridges = set(_lines("ovs-vsctl", "list-br"))
        interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
        for vfn in self.inventory.vfns.values():
            if vfn.bridge in bridges:
                raise LabError(f"bridge {vfn.bridge} exists already", remedy=f"ovs-vsctl del-br {vfn.bridge}")
        for port in sorted(self._ports()):
            if port in interfaces:
                raise LabError(f"interface {port} exists already", remedy=f"ip link del {port}")

    def _ports(self) -> Iterator[str]:
        for link in self.inventory.links:
            yield from (link.a_port, link.b_port)
        for endpoint in self._endpoints():
            yield endpoint.port

    def _endpoints(self) -> tuple[Vm | OutsidePort, ...]:
        return (*self.inventory.vms.values(), *self.inventory.outside.values())

    def _build(self) -> None:
        self._net = net = Mininet(controller=None, switch=LabSwitch, host=Host, link=Link)
        for vfn in self.inventory.vfns.values():
            net.addSwitch(vfn.bridge, dpid=f"{vfn.dpid:016x}", datapath="user", failMode="secure")
        for number, link in enumerate(self.inventory.links):
            ends = {"intfName1": link.a_port, "intfName2": link.b_port}
            macs = {"addr1": f"0e:00:00:00:{number:02x}:01", "addr2": f"0e:00:00:00:{number:02x}:02"}
            net.addLink(self._switch(link.a), self._switch(link.b), **ends, **macs)
        for endpoint in self._endpoints():
            host = net.addHost(endpoint.name, ip=None)
            host.cmd(_CALM)
            near, far = f"{endpoint.name}-eth0", endpoint.port
            macs = {"addr1": endpoint.mac, "addr2": "0a" + endpoint.mac[2:]}
            net.addLink(host, self._switch(endpoint.vfn), intfName1=near, intfName2=far, **macs)
            _run_in(host, _configuration(endpoint, near))
        for port in self._ports():
            # The machine's own kernel must not talk on the switches' ends of the cables.
            Path(f"/proc/sys/net/ipv6/conf/{port}/disable_ipv6").write_text("1")
            subprocess.run(["ethtool", "-K", port, "tx", "off"], check=True, stdout=subprocess.DEVNULL)
        net.start()

    def _switch(self, vfn: str) -> Any:
        return self._net[self.inventory.vfns[vfn].bridge]


def sweep() -> list[str]:
    """Remove what labs of dead processes left behind; returns the names of the bridges removed."""
    marks = {mark for mark in _marks().values() if _process_mark(int(mark.partition("-")[0])) != mark}
    dead = [bridge for mark in marks for bridge in _marked(mark)]
    _remove(dead)
    return dead


def _configuration(endpoint: Vm | OutsidePort, interface: str) -> list[str]:
    """Commands that give an endpoint its addresses. The network is flat: everything is on the link."""
    versions = sorted({address.version for address in endpoint.addresses})
    return [
        f"ethtool -K {interface} tx off > /dev/null",
        *(f"ip -{a.version} addr add {a}/{a.max_prefixlen} dev {interface}" for a in endpoint.addresses),
        *(f"ip -{version} route add default dev {interface}" for version in versions),
    ]


def _run_in(host: Any, commands: Sequence[str]) -> None:
    output = host.cmd(" && ".join(commands)).strip()
    if output:
        raise LabError(f"{host.name} cannot be set up: {output}")


def _process_mark(pid: int) -> str:
    """`PID-STARTTIME` of a living process (a number that a later process cannot share), or `PID-gone`."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        started = "gone"
    return f"{pid}-{started}"


def _marks() -> dict[str, str]:
    """Bridge -> mark, of every lab on this machine."""
    found = {}
    for bridge in _lines("ovs-vsctl", "list-br"):
        mark = "".join(_lines("ovs-vsctl", "br-get-external-id", bridge, MARK))
        if mark:
            found[bridge] = mark
    return found


def _marked(mark: str) -> list[str]:
    return [bridge for bridge, found in _marks().items() if found == mark]


def _remove(bridges: Sequence[str]) -> None:
    """Delete bridges together with the interfaces that are plugged into them."""
    for bridge in bridges:
        ports = _lines("ovs-vsctl", "list-ports", bridge)
        _lines("ovs-vsctl", "--if-exists", "del-br", bridge)
        for port in ports:
            if Path(f"/sys/class/net/{port}").exists():
                # The other end's deletion may take this one along in between: gone is what is wanted.
                subprocess.run(["ip", "link", "del", port], check=False, stderr=subprocess.DEVNULL)


def _lines(*command: str) -> list[str]:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` failed: {done.stderr.strip()}", remedy="deploy/ovs start, as root")
    return done.stdout.split()
