"""What one agent has to do, as plain JSON: made by `mininet_labs.workload`, read by the agent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Service:
    """Something that listens."""

    kind: str
    port: int


@dataclass(frozen=True)
class Target:
    """Whom to talk to."""

    name: str
    address: str


@dataclass(frozen=True)
class Errand:
    """Something that is done again and again, at exponentially distributed intervals."""

    name: str
    kind: str
    targets: tuple[Target, ...]
    port: int
    every_seconds: float
    """Mean interval."""
    bytes: tuple[int, int]
    """Least and most bytes of one reply (one push for `bulk`)."""
    count: tuple[int, int]
    """Least and most requests, queries or keystrokes of one connection."""


@dataclass(frozen=True)
class Plan:
    """The day of one endpoint."""

    endpoint: str
    seed: int
    services: tuple[Service, ...]
    errands: tuple[Errand, ...]
    zone: Mapping[str, str]
    """Host name -> IPv4 address: what the name server answers and what lookups expect."""

    def write(self, path: Path) -> None:
        """Save as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))


def read(path: Path) -> Plan:
    """Load what `Plan.write` saved."""
    raw: dict[str, Any] = json.loads(path.read_text())
    services = tuple(Service(**item) for item in raw.pop("services"))
    errands = tuple(_errand(item) for item in raw.pop("errands"))
    return Plan(services=services, errands=errands, **raw)


def _errand(raw: dict[str, Any]) -> Errand:
    targets = tuple(Target(**target) for target in raw["targets"])
    return Errand(**{**raw, "targets": targets, "bytes": tuple(raw["bytes"]), "count": tuple(raw["count"])})
