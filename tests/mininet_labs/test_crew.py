"""The agents: real exchanges between namespaces, counted honestly."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from mininet_labs import workload
from mininet_labs.attacks import catalogue
from mininet_labs.children import ROOT, end, wait_for
from mininet_labs.crew import Crew
from mininet_labs.network import LabNetwork

BUSY = """
seed: 1
services:
  - {kind: http, port: 80, at: [blue, far]}
  - {kind: records, port: 5432, at: [blue]}
  - {kind: bulk, port: 873, at: [blue]}
  - {kind: shell, port: 22, at: [r1, blue]}
  - {kind: names, port: 53, at: [r2]}
  - {kind: sink, port: 443, at: [far]}
traffic:
  - {name: pages, kind: http, from: [red], to: [b1, far], port: 80, every_seconds: 0.2, bytes: [9, 999], count: [1, 2]}
  - {name: pages6, kind: http, from: [red], to: [blue], port: 80, every_seconds: 0.3, bytes: [10, 3000], ip: 6}
  - {name: queries, kind: records, from: [red], to: [blue], port: 5432, every_seconds: 0.3, count: [1, 2]}
  - {name: dumps, kind: bulk, from: [red], to: [blue], port: 873, every_seconds: 0.4, bytes: [1000, 300000]}
  - {name: admin, kind: shell, from: [r2], to: [r1, blue], port: 22, every_seconds: 0.3, bytes: [1, 9], count: [1, 3]}
  - {name: lookups, kind: names, from: [red, blue], to: [r2], port: 53, every_seconds: 0.2, count: [1, 3]}
probes: {rate: 10, port: 7}
"""


@pytest.fixture
def crew(network: LabNetwork, tmp_path: Path):  # type: ignore[no-untyped-def]
    file = tmp_path / "workload.yaml"
    file.write_text(BUSY.replace("from: [red, blue], to: [r2]", "from: [r1, blue], to: [r2]"))
    crew = Crew(network, workload.load(file), tmp_path / "agents")
    crew.start()
    yield crew
    crew.stop()


@pytest.mark.ovs
def test_every_kind_of_traffic_works_over_the_wire(crew: Crew) -> None:
    """HTTP on both IP versions, queries, bulk, admin sessions and DNS: all done, none failed."""
    crew.work()
    time.sleep(4.0)  # ordinary traffic for a while: there is no event to wait for
    work = crew.rest()
    assert work.failures == ()
    assert set(work.done) == {"pages", "pages6", "queries", "dumps", "admin", "lookups"}
    assert min(work.done.values()) > 0, work.done


@pytest.mark.ovs
def test_a_cut_shows_as_failures_with_names_and_times(crew: Crew, network: LabNetwork) -> None:
    """What does not work is noted: who, with whom, when and why."""
    subprocess.run(["ovs-ofctl", "add-flow", "tl1", "priority=65000,dl_src=02:00:00:00:e2:01,actions=drop"], check=True)
    start = time.time()
    crew.work()
    time.sleep(1.0)
    work = crew.rest()
    assert work.failures
    assert {failure.target for failure in work.failures if failure.source != "b1"} == {"b1"}
    assert all(start <= failure.start <= failure.end <= time.time() for failure in work.failures)


@pytest.mark.ovs
@pytest.mark.usefixtures("crew")
def test_attack_tools_do_what_they_say(network: LabNetwork, tmp_path: Path) -> None:
    """Nmap finds the open ports, the guesser is refused again and again, the pusher hands over megabytes."""
    inventory = network.inventory
    log = tmp_path / "nmap.txt"
    attacks = {
        "scan": catalogue.scan(inventory, "r1", "blue", log),
        "guess": catalogue.brute_force(inventory, "r1", "b1"),
        "push": catalogue.exfiltration(inventory, "r1", "far"),
    }
    running = {}
    for name, attack in attacks.items():
        with (tmp_path / name).open("wb") as output:
            running[name] = network.popen(attack.vm, attack.command, output=output, cwd=ROOT)
    wait_for("nmap finishes a round", lambda: log.exists() and "Nmap done" in log.read_text(), 20.0)
    time.sleep(2.0)  # so that the slower two have had some time as well
    assert {name: end(process) for name, process in running.items()} == {"scan": 0, "guess": 0, "push": 0}
    assert "5432/tcp open" in log.read_text()
    guesses = (tmp_path / "guess").read_text()
    assert "'refused'" in guesses
    assert "'welcome'" not in guesses
    assert int((tmp_path / "push").read_text().split()[0]) > 1_000_000
