"""An inventory brought to life in Mininet: one namespace an endpoint, one Open vSwitch bridge a VFN, veth cables.

The bridges come up with `fail_mode=secure` and no controller: nothing passes until dynseg has found them in OVSDB and
programmed them. Every bridge carries the mark of `mininet_labs.marks`, so that what a killed run left behind is known.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from mininet.link import Link
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Host, OVSSwitch

from mininet_labs import marks
from mininet_labs.children import humble, mortal
from mininet_labs.errors import LabError
from topology.model import Inventory, OutsidePort, Vm

_CALM = "for key in accept_dad router_solicitations; do echo 0 > /proc/sys/net/ipv6/conf/default/$key; done"
"""Addresses are fixed: no waiting for duplicates, no asking for routers that do not exist."""


class LabSwitch(OVSSwitch):
    """A bridge in userspace that carries the lab's mark from the moment it exists."""

    def bridgeOpts(self) -> str:  # noqa: N802  # mininet's name
        """Mininet's options for `ovs-vsctl set bridge`, and the mark."""
        return f"{super().bridgeOpts()} {marks.own()}"


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
        marks.sweep()
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
            marks.remove_own()

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
        command = ["mnexec", "-a", str(self.pid(endpoint)), *mortal(humble(argv))]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True
        )

    def _refuse_strangers(self) -> None:
        bridges = set(marks.run("ovs-vsctl", "list-br").split())
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
