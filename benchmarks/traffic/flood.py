"""A VM floods another with SYNs and nobody stops it: what do a bystander and the analyzer of the whole product notice?

The analyzer is still learning, so that the flood goes on for its whole time; each SYN opens a flow of its own. What is
sent is `benchmarks.vfn.headers`, which says what rate it has kept; too low a one is refused as another measurement.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from mininet_labs.children import ROOT, end, module
from mininet_labs.errors import LabError
from mininet_labs.network import LabNetwork
from mininet_labs.product import Product
from mininet_labs.run import ENTERPRISE
from topology import inventory as inventories

RATE, SECONDS = 20_000, 30
MIN_RATE = 0.95
"""Of the rate, at least; else it was another measurement."""
ATTACKER, BYSTANDER, TARGET = "web1", "web4", "app1"
"""At two VFNs; the target is one's own."""
PINGS_PER_SECOND = 200
MIN_DELIVERY, MAX_DELAY, MAX_GROWTH = 99.9, 1.0, 50.0
PARTS = 3
"""Of the flood's time, at whose ends memory is looked at."""
LOGS = Path("out/bench/flood")
_LEARN_SECONDS = 3600.0
_RECEIVED = re.compile(r"(\d+) packets transmitted, (\d+) received")
_PATIENCE = 60.0


def rows() -> list[Row]:
    """Delivery, delay, memory."""
    with _lab() as (network, product):
        before = _memory(product)
        flooder, pinger = _flood(network), _ping(network)
        memory = []
        try:
            began = time.monotonic()
            for part in range(1, PARTS + 1):
                time.sleep(max(0.0, began + part * SECONDS / PARTS - time.monotonic()))
                memory.append(_memory(product))
            sent, took = map(float, flooder.communicate(timeout=_PATIENCE)[0].split())
            shown = pinger.communicate(timeout=_PATIENCE)[0].decode()
        finally:
            end(flooder)
            end(pinger)
        status = product.status()["analyzer"]
    if sent / took < MIN_RATE * RATE:
        raise LabError(f"only {sent / took:.0f} SYNs a second were sent", remedy="measure on a calm machine")
    return _table(before, memory, shown, status)


def _table(before: float, memory: list[float], shown: str, status: dict[str, Any]) -> list[Row]:
    found = _RECEIVED.search(shown)
    if found is None:
        raise LabError(f"ping said nothing that is understood: {shown[-200:]!r}")
    transmitted, received = map(int, found.groups())
    name = f"SYN flood of {RATE}/s for {SECONDS} s, nobody stops it"
    told = f"{status['records']} NetFlow records, {status['lost']} lost, {status['shed']} events not judged"
    grown = " -> ".join(f"{value:.0f}" for value in (before, *memory))
    return [
        Row(f"{name}: bystander pings delivered", round(100 * received / transmitted, 3), "%", ">=", MIN_DELIVERY,
            transmitted),
        Row(f"{name}: analyzer's delay, longest", status["delay_ms"] / 1000, "s", "<=", MAX_DELAY, status["datagrams"],
            reason=f"p99 {status['delay_p99_ms']:.0f} ms; {told}"),
        Row(f"{name}: memory, growth in the last third", round(memory[-1] - memory[-2], 1), "MB", "<=", MAX_GROWTH,
            PARTS, reason=f"control, engine, analyzer together: {grown} MB; bounded by analyzer.memory_flows"),
    ]  # fmt: skip


@contextmanager
def _lab() -> Iterator[tuple[LabNetwork, Product]]:
    inventory = inventories.load(ENTERPRISE / "inventory.yaml")
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    with ExitStack() as stack:
        network = stack.enter_context(LabNetwork(inventory))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-flood-")))
        product = Product(folder, LOGS, ENTERPRISE / "inventory.yaml", _LEARN_SECONDS)
        stack.callback(product.stop)
        product.start()
        product.learn_when.touch()
        product.wait_for_analyzer()
        address = inventory.vms[TARGET].addresses[0]
        for vm in (ATTACKER, BYSTANDER):
            network.popen(vm, ["ping", "-c", "1", "-w", "5", str(address)]).wait(_PATIENCE)
        yield network, product


def _flood(network: LabNetwork) -> subprocess.Popen[bytes]:
    target = network.inventory.vms[TARGET]
    words = ("syns", target.mac, target.addresses[0], RATE, float(SECONDS))
    return network.popen(ATTACKER, module("benchmarks.vfn.headers", *words), output=subprocess.PIPE, cwd=ROOT)


def _ping(network: LabNetwork) -> subprocess.Popen[bytes]:
    words = ["-i", f"{1 / PINGS_PER_SECOND}", "-c", str(PINGS_PER_SECOND * SECONDS), "-W", "1"]
    address = str(network.inventory.vms[TARGET].addresses[0])
    return network.popen(BYSTANDER, ["ping", "-q", *words, address], output=subprocess.PIPE)


def _memory(product: Product) -> float:
    """MB that control, engine and analyzer have in memory together."""
    control = product.status()["control"]
    pids = [control["pid"], *(process["pid"] for process in control["processes"].values())]
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return sum(pages) * 4096 / 1e6
