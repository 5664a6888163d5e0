"""From the first packet of a connection to the analyzer that knows of it, in the lab with its workload.

The analyzer is the product's own, told to write down when it had attributed each copy to a VM (`witness`). The clock
starts right before `connect` in the VM, so the copies' way is measured a little longer than it is on the wire.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from benchmarks.rows import Row, quantile
from mininet_labs import workload
from mininet_labs.children import ROOT, Child, module, wait_for
from mininet_labs.crew import Crew
from mininet_labs.errors import LabError
from mininet_labs.network import LabNetwork
from mininet_labs.product import Product
from mininet_labs.run import ENTERPRISE
from topology import inventory as inventories

CLIENTS = ("web1", "web3", "app1", "app4")
TARGET = "app2"
PORT = 9
"""Discard: nobody listens there."""
COUNT = 150
PAUSE = 0.08
SETTLED_SECONDS = 3.0
MAX_P50, MAX_P99 = 3.0, 20.0
_LOGS = Path("out/bench/firstpacket")
_LEARN_SECONDS = 600.0


def rows() -> list[Row]:
    """Median and 99th percentile, in milliseconds; what was never seen counts as infinitely late."""
    delays = _measure()
    known = [delay for delay in delays if delay != float("inf")]
    told = f"{len(known)} of {len(delays)} seen; enterprise lab with workload, the analyzer learns"
    return [_row("p50", delays, 0.5, MAX_P50, told), _row("p99", delays, 0.99, MAX_P99, told)]


def _row(name: str, delays: list[float], share: float, target: float, told: str) -> Row:
    value = quantile(delays, share)
    found = None if value == float("inf") else round(1000 * value, 3)
    return Row(f"first SYN to the analyzer seeing it, {name}", found, "ms", "<=", target, len(delays), reason=told)


def _measure() -> list[float]:
    inventory = inventories.load(ENTERPRISE / "inventory.yaml")
    shutil.rmtree(_LOGS, ignore_errors=True)
    _LOGS.mkdir(parents=True)
    with ExitStack() as stack:
        network = stack.enter_context(LabNetwork(inventory))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-first-")))
        work = workload.load(ENTERPRISE / "workload.yaml")
        known = workload.resolvers(work, inventory)
        product = Product(folder, _LOGS, ENTERPRISE / "inventory.yaml", _LEARN_SECONDS, known)
        seen = folder / "seen"
        seen.touch()
        product.settings.run_dir.mkdir(parents=True, exist_ok=True)
        witness = Child("analyzer", module("benchmarks.traffic.witness", seen), _LOGS / "analyzer.log",
                        env={"DYNSEG_CONFIG": str(product.file)}, pipe=False)  # fmt: skip
        stack.callback(witness.stop)
        wait_for("the analyzer listens", product.settings.analyzer_socket.exists, 20.0)
        stack.callback(product.stop)
        product.start()
        product.lay_down(ENTERPRISE / "policy.yaml")
        crew = Crew(network, work, _LOGS / "agents")
        stack.callback(crew.stop)
        crew.start()
        crew.work()
        product.learn_when.touch()
        target = inventory.vms[TARGET].addresses[0]
        processes = {}
        for name in CLIENTS:
            command = module("benchmarks.traffic.opening", target, PORT, COUNT, PAUSE)
            with (_LOGS / f"opening-{name}.log").open("wb") as log:
                processes[name] = network.popen(name, command, output=log, cwd=ROOT)
        for process in processes.values():
            process.wait(COUNT * PAUSE * 5 + 20)
        begun = {
            (int(inventory.vms[name].addresses[0]), int(port)): float(time)
            for name in CLIENTS
            for time, port in map(str.split, (_LOGS / f"opening-{name}.log").read_text().splitlines())
        }
        with suppress(LabError):  # what is missing then is counted as never seen
            wait_for("the last copies", lambda: float("inf") not in _delays(seen, begun), SETTLED_SECONDS)
        return _delays(seen, begun)


def _delays(seen: Path, begun: dict[tuple[int, int], float]) -> list[float]:
    """Seconds of each connection until it was known."""
    known: dict[tuple[int, int], float] = {}
    for line in seen.read_text().splitlines():
        time, source, port = line.split()
        known.setdefault((int(source), int(port)), float(time))
    return [known.get(end, float("inf")) - time for end, time in begun.items()]
