"""The agents of a lab, all together: started, sent to work, brought to rest, asked what they did."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mininet_labs import workload
from mininet_labs.agent.journal import Failure
from mininet_labs.children import ROOT, end, module, wait_for
from mininet_labs.errors import LabError
from mininet_labs.network import LabNetwork


@dataclass(frozen=True)
class Work:
    """What the agents did in a run."""

    done: dict[str, int]
    """Exchanges that worked, by errand."""
    failures: tuple[Failure, ...]


class Crew:
    """One agent process on every endpoint of the network."""

    def __init__(self, network: LabNetwork, plan: workload.Workload, folder: Path) -> None:
        self._network = network
        self._plans = workload.plans(plan, network.inventory)
        self._folder = folder
        self._agents: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all and wait until all of them listen.

        Raises:
            LabError: one ended or did not get ready.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, plan in self._plans.items():
            plan.write(self._folder / f"{name}.plan.json")
            self._journal(name).unlink(missing_ok=True)
            paths = ("--plan", self._folder / f"{name}.plan.json", "--journal", self._journal(name))
            with (self._folder / f"{name}.log").open("wb") as log:
                command = module("mininet_labs.agent", *paths)
                self._agents[name] = self._network.popen(name, command, output=log, cwd=ROOT)
        self._await("listening", 30.0)

    def work(self) -> None:
        """Let the traffic begin."""
        self._signal(signal.SIGUSR1)

    def rest(self) -> Work:
        """End the traffic, wait until what is under way is finished, and return what was done.

        Raises:
            LabError: an agent did not come to rest.
        """
        self._signal(signal.SIGUSR2)
        self._await("finished", 30.0)
        done = {errand.name: 0 for plan in self._plans.values() for errand in plan.errands}
        failures: list[Failure] = []
        for name in self._agents:
            journal = json.loads(self._journal(name).read_text())
            for errand, count in journal["done"].items():
                done[errand] += count
            failures += (Failure(**failure) for failure in journal["failures"])
        return Work(done, tuple(failures))

    def stop(self) -> None:
        """End all agents."""
        for agent in self._agents.values():
            agent.send_signal(signal.SIGTERM)
        for agent in self._agents.values():
            end(agent)
        self._agents.clear()

    def _journal(self, name: str) -> Path:
        return self._folder / f"{name}.journal.json"

    def _signal(self, number: signal.Signals) -> None:
        for agent in self._agents.values():
            agent.send_signal(number)

    def _await(self, state: str, timeout: float) -> None:
        for name in self._agents:
            wait_for(f"agent of {name} {state}", partial(self._has_reached, name, state), timeout)

    def _has_reached(self, name: str, state: str) -> bool:
        if (status := self._agents[name].poll()) is not None:
            log = self._folder / f"{name}.log"
            raise LabError(f"the agent of {name} ended with status {status}", remedy=f"see {log}")
        journal = self._journal(name)
        return journal.exists() and json.loads(journal.read_text())["state"] == state
