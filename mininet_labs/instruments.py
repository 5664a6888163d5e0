"""The instruments of a run as child processes, and what they measured as values."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mininet_labs.attacks.catalogue import Attack
from mininet_labs.children import Child, module
from mininet_labs.network import LabNetwork
from mininet_labs.workload import address, endpoints

PAIR = ">"
"""Between source and target in a probe's name."""


@dataclass(frozen=True)
class Probe:
    """One UDP probe; times in epoch seconds, None: never."""

    sent: float
    delivered: float | None
    returned: float | None


@dataclass(frozen=True)
class Watch:
    """Every frame of one VM during an attack."""

    attack: tuple[float, ...]
    """When a frame for the attack's targets entered the network."""
    other: tuple[float, ...]
    """When any other frame of that VM did."""
    delivered: tuple[float, ...]
    """When a frame of that VM was handed to any other endpoint."""
    passed: tuple[float, ...]
    """When a frame of the attack was."""
    missed: int
    """Frames that the kernel could not hand to the watcher."""

    def since(self, begun: float) -> Watch:
        """The same, where the attack began at that time: what went to its targets before was ordinary."""
        attack, passed = (tuple(time for time in times if time >= begun) for times in (self.attack, self.passed))
        ordinary = (time for time in self.attack if time < begun)
        return replace(self, attack=attack, other=tuple(sorted((*self.other, *ordinary))), passed=passed)


@dataclass(frozen=True)
class Echo:
    """How the controller answered OpenFlow echo requests."""

    sent: int
    answered: int
    max_ms: float | None
    p99_ms: float | None
    slowest_at: float
    reconnects: int


class Prober:
    """UDP probes between pairs of endpoints, all the time."""

    def __init__(
        self, network: LabNetwork, pairs: Sequence[tuple[str, str]], folder: Path, name: str, *, rate: int, port: int
    ) -> None:
        everyone = endpoints(network.inventory)
        self._out = folder / f"{name}.csv"
        spec = {"rate": rate, "port": port, "pairs": [
            {
                "name": f"{source}{PAIR}{target}",
                "source_pid": network.pid(source),
                "target_pid": network.pid(target),
                "source": address(everyone[source]),
                "target": address(everyone[target]),
            }
            for source, target in pairs
        ]}  # fmt: skip
        file = folder / f"{name}.json"
        file.write_text(json.dumps(spec))
        command = module("mininet_labs.probes.udp", "--spec", file, "--out", self._out)
        self._child = Child(name, command, folder / f"{name}.log")
        self._child.ready()
        self._looked_at = 0
        self._returned: dict[str, float] = {}

    def returned(self) -> Mapping[str, float]:
        """When the newest probe of each pair that has come back was sent, by `source>target`.

        Only what came since the last time is read: after minutes all of it takes seconds, and who waits asks often.
        """
        with self._out.open("rb") as out:
            out.seek(self._looked_at)
            data = out.read()
        whole = data[: data.rfind(b"\n") + 1]  # the file may be read while it grows
        self._looked_at += len(whole)
        for name, _, sent, _, returned in csv.reader(whole.decode().splitlines()):
            if returned:
                self._returned[name] = max(float(sent), self._returned.get(name, 0.0))
        return self._returned

    def read(self) -> dict[str, list[Probe]]:
        """What is known up to now, by `source>target`, in the order of sending."""
        found: dict[str, list[Probe]] = {}
        text = self._out.read_text()
        whole = text[: text.rfind("\n") + 1]  # the file may be read while it grows
        for name, _, sent, delivered, returned in csv.reader(whole.splitlines()):
            probe = Probe(float(sent), float(delivered) if delivered else None, float(returned) if returned else None)
            found.setdefault(name, []).append(probe)
        for probes in found.values():
            probes.sort(key=lambda probe: probe.sent)
        return found

    def close(self) -> None:
        """Wait for the fate of the last probes, and end; harmless when it has ended."""
        self._child.stop()

    def stop(self) -> dict[str, list[Probe]]:
        """Close, and return all probes."""
        self.close()
        return self.read()


class Watcher:
    """Sees every frame of an attacker."""

    def __init__(self, network: LabNetwork, attack: Attack, probe_port: int, folder: Path, name: str) -> None:
        everyone = endpoints(network.inventory)
        attacker = network.inventory.vms[attack.vm]
        spec = {
            "mac": attacker.mac,
            "entry": attacker.port,
            "exits": [endpoint.port for endpoint in everyone.values() if endpoint is not attacker],
            "targets": [str(found) for target in attack.targets for found in everyone[target].addresses],
            "probe_port": probe_port,
            "openings": attack.openings,
            "ports": attack.ports,
        }
        file = folder / f"{name}.json"
        file.write_text(json.dumps(spec))
        self._out = folder / f"{name}.seen.json"
        command = module("mininet_labs.probes.watch", "--spec", file, "--out", self._out)
        self._child = Child(name, command, folder / f"{name}.log")
        self._child.ready()

    def stop(self) -> Watch:
        """End and return what was seen."""
        self._child.stop()
        seen = json.loads(self._out.read_text())
        delivered = sorted(time for times in seen["delivered"].values() for time in times)
        attack, other, passed = (tuple(sorted(seen[name])) for name in ("attack", "other", "passed"))
        return Watch(attack, other, tuple(delivered), passed, seen["missed"])


class EchoMeter:
    """Asks the controller for echoes, all the time."""

    def __init__(self, host: str, port: int, folder: Path) -> None:
        self._out = folder / "echo.json"
        command = module("mininet_labs.probes.openflow", "--address", host, "--port", port, "--out", self._out)
        self._child = Child("echo", command, folder / "echo.log")
        self._child.ready()

    def close(self) -> None:
        """End; harmless when it has ended."""
        self._child.stop()

    def stop(self) -> Echo:
        """Close, and return what was measured."""
        self.close()
        return Echo(**json.loads(self._out.read_text()))
