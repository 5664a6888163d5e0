"""The workload file: who serves what, who talks to whom how often. Becomes one `agent.plan.Plan` an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mininet_labs.agent.plan import Errand, Plan, Service, Target
from mininet_labs.errors import LabError
from runtime.validation import most_telling
from topology.model import Inventory, OutsidePort, Vm

Kind = Literal["http", "records", "bulk", "shell", "names"]
ServiceKind = Literal["http", "records", "bulk", "shell", "names", "sink"]
Port = Annotated[int, Field(ge=1, le=65535)]
ZONE = "lab.example"
Offers = set[tuple[str, str, int]]
"""Endpoint, kind of service, port."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True)


class ServiceDoc(_Part):
    """Something that listens on some endpoints."""

    kind: ServiceKind
    port: Port
    at: tuple[str, ...]


class TrafficDoc(_Part):
    """Something that some endpoints do again and again."""

    name: str
    kind: Kind
    sources: tuple[str, ...] = Field(alias="from")
    to: tuple[str, ...]
    port: Port
    every_seconds: float = Field(gt=0)
    """Mean interval of one endpoint."""
    bytes: tuple[int, int] = (0, 0)
    """Least and most bytes of a reply, a keystroke or a push."""
    count: tuple[int, int] = (1, 1)
    """Least and most requests of one connection."""
    ip: Literal[4, 6] = 4

    @model_validator(mode="after")
    def _ordered(self) -> TrafficDoc:
        for low, high in (self.bytes, self.count):
            if not 0 <= low <= high:
                raise ValueError(f"[{low}, {high}] is no range")
        return self


class ProbesDoc(_Part):
    """Pairs of endpoints between which a probe goes back and forth all the time."""

    rate: int = Field(ge=1, le=1000)
    """Probes a second and pair."""
    port: Port
    innocent: tuple[tuple[str, str], ...] = ()
    attacker: tuple[tuple[str, str], ...] = ()


class Workload(_Part):
    """The whole file."""

    seed: int
    services: tuple[ServiceDoc, ...]
    traffic: tuple[TrafficDoc, ...]
    probes: ProbesDoc


def load(path: Path) -> Workload:
    """Read a workload file.

    Raises:
        LabError: unreadable, not YAML, unknown keys or values out of range; names file and key.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise LabError(f"cannot be read: {error.strerror}", file=path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise LabError("is not YAML", file=path, line=line) from error
    try:
        return Workload.model_validate(raw)
    except ValidationError as error:
        first = most_telling(error)
        key = ".".join(str(part) for part in first["loc"])
        raise LabError(first["msg"], file=path, key=key) from error


def plans(workload: Workload, inventory: Inventory) -> dict[str, Plan]:
    """What each VM and outside host has to do, by its name.

    Raises:
        LabError: the workload names something that the inventory does not, or asks for a service that nobody offers.
    """
    everyone = endpoints(inventory)
    offered: Offers = {(vm, s.kind, s.port) for s in workload.services for vm in _resolve(s.at, inventory)}
    zone = {f"{name}.{ZONE}": address(endpoint, 4) for name, endpoint in everyone.items()}
    found = {}
    for name in everyone:
        services = tuple(Service(s.kind, s.port) for s in workload.services if (name, s.kind, s.port) in offered)
        errands = tuple(
            _errand(t, name, inventory, offered) for t in workload.traffic if name in _resolve(t.sources, inventory)
        )
        found[name] = Plan(name, workload.seed, services, errands, zone)
    return found


def resolvers(workload: Workload, inventory: Inventory) -> tuple[str, ...]:
    """Addresses of those who answer for names.

    Raises:
        LabError: the workload names something that the inventory does not.
    """
    everyone = endpoints(inventory)
    serving = [name for s in workload.services if s.kind == "names" for name in _resolve(s.at, inventory)]
    return tuple(str(address) for name in serving for address in everyone[name].addresses)


def endpoints(inventory: Inventory) -> dict[str, Vm | OutsidePort]:
    """Everything that has a namespace in the lab."""
    return {**inventory.vms, **inventory.outside}


def address(endpoint: Vm | OutsidePort, version: int = 4) -> str:
    """The endpoint's first address of an IP version.

    Raises:
        LabError: it has none.
    """
    for found in endpoint.addresses:
        if isinstance(found, IPv4Address) == (version == 4):
            return str(found)
    raise LabError(f"{endpoint.name} has no IPv{version} address", remedy="give it one in the inventory")


def _errand(traffic: TrafficDoc, source: str, inventory: Inventory, offered: Offers) -> Errand:
    names = [name for name in _resolve(traffic.to, inventory) if name != source]
    for name in names:
        if (name, traffic.kind, traffic.port) not in offered:
            raise LabError(f"{name} offers no {traffic.kind} on port {traffic.port}", key=f"traffic.{traffic.name}")
    everyone = endpoints(inventory)
    targets = tuple(Target(name, address(everyone[name], traffic.ip)) for name in names)
    return Errand(
        traffic.name, traffic.kind, targets, traffic.port, traffic.every_seconds, traffic.bytes, traffic.count
    )


def _resolve(names: Sequence[str], inventory: Inventory) -> tuple[str, ...]:
    """Endpoints behind names of segments, VMs and outside hosts, each once, in order."""
    everyone = endpoints(inventory)
    found: dict[str, None] = {}
    for name in names:
        if name in inventory.segments:
            found.update((vm.name, None) for vm in inventory.vms.values() if vm.segment == name)
        elif name in everyone:
            found[name] = None
        else:
            known = ", ".join([*inventory.segments, *everyone])
            raise LabError(f"no segment, VM or outside host is called {name!r}", remedy=f"known: {known}")
    return tuple(found)
