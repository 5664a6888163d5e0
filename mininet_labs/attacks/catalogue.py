"""The attacks of a lab as values: who, against whom, with which command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mininet_labs.attacks.worm import DOORS
from mininet_labs.children import module
from mininet_labs.errors import LabError
from mininet_labs.workload import address, endpoints
from topology.model import Inventory, OutsidePort, Vm


@dataclass(frozen=True)
class Attack:
    """One VM's hostile deed. The command goes on until it is ended."""

    name: str
    vm: str
    targets: tuple[str, ...]
    """Names of the VMs or outside hosts that it is aimed at."""
    command: tuple[str, ...]
    title: str
    """For people."""
    openings: bool = False
    """Does it consist of TCP openings alone? Then other frames for its targets are none of it."""
    ports: tuple[int, ...] = ()
    """TCP ports at which it opens connections; none: at any."""


def scan(inventory: Inventory, vm: str, segment: str, log: Path) -> Attack:
    """The thousand usual ports of every VM of a segment, by nmap, again and again."""
    names = tuple(found.name for found in inventory.vms.values() if found.segment == segment and found.name != vm)
    command = module("mininet_labs.attacks.scan", "--log", log, *_addresses(inventory, names))
    return Attack("scan", vm, names, tuple(command), f"{vm} scans segment {segment} with nmap")


def worm(inventory: Inventory, vm: str, segments: tuple[str, ...], rate: float = 200.0) -> Attack:
    """Logins of every VM of some segments, a connection each, as what spreads by itself does."""
    names = tuple(found.name for found in inventory.vms.values() if found.segment in segments and found.name != vm)
    command = module("mininet_labs.attacks.worm", "--rate", rate, *_addresses(inventory, names))
    title = f"{vm} knocks at the doors of {len(names)} machines"
    return Attack("worm", vm, names, tuple(command), title, openings=True, ports=DOORS)


def flood(inventory: Inventory, vm: str, target: str, port: int, rate: int = 4000) -> Attack:
    """Openings of connections to one service from all ports, `rate` a second."""
    where = (_endpoint(inventory, target).mac, address(_endpoint(inventory, target)), port, "--rate", rate)
    command = module("mininet_labs.attacks.flood", *where)
    return Attack("flood", vm, (target,), tuple(command), f"{vm} floods {target}:{port} with SYNs", openings=True)


def brute_force(inventory: Inventory, vm: str, target: str, port: int = 22, rate: float = 25.0) -> Attack:
    """Passwords guessed at an admin port, each try a new connection."""
    where = ("--address", address(_endpoint(inventory, target)), "--port", port, "--rate", rate)
    command = module("mininet_labs.attacks.guess", *where)
    return Attack("brute_force", vm, (target,), tuple(command), f"{vm} guesses passwords at {target}:{port}")


def exfiltration(inventory: Inventory, vm: str, target: str, port: int = 443, rate: float = 4e6) -> Attack:
    """Data pushed out over TCP to a host that nobody has talked to before; `rate` in bytes a second."""
    where = ("--address", address(_endpoint(inventory, target)), "--port", port, "--rate", rate)
    command = module("mininet_labs.attacks.push", *where)
    return Attack("exfiltration", vm, (target,), tuple(command), f"{vm} pushes data out to {target}")


def _addresses(inventory: Inventory, names: tuple[str, ...]) -> list[str]:
    if not names:
        raise LabError("nobody to attack", remedy="name a segment that has VMs")
    return [address(_endpoint(inventory, name)) for name in names]


def _endpoint(inventory: Inventory, name: str) -> Vm | OutsidePort:
    return endpoints(inventory)[name]
