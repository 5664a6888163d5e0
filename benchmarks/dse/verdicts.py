"""The automatic path: from the analyzer's verdict to the rule confirmed in the switch, a hundred times a second.

The whole product with a policy of 5,000 rules. The benchmark connects to the engine in the analyzer's place and
proposes the isolation of one VM after the other, evenly spaced. Every rule goes the usual way: admission, store and
audit on the disk, translation, the drops to the switch and its barrier, then the compiled whole, and reading back. A
verdict's time begins before it is written to the engine's socket; it is confirmed when the barrier behind its drops has
come back (`installed` in the audit log). `enforced` comes later: the drops were read back, and no cached flow goes on.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.rows import Row, quantile
from benchmarks.vfn import workload
from benchmarks.vfn.rig import bridges
from mininet_labs import marks
from mininet_labs.children import wait_for
from mininet_labs.product import Product
from runtime.channel import Connection, Message, connect

POLICIES = 5_000
RATE = 100
"""Verdicts a second."""
VERDICTS = 600
VFNS = 10
SEGMENTS = 20
MAX_P50_MS = 30.0
MAX_P99_MS = 150.0
_PATIENCE = 120.0
_NEVER = 86_400.0
_ENGINE = {"budget_share": 1.0, "budget_limited_share": 1.0, "budget_ordinary": 1.0}
"""All of these VMs may be cut off: what is measured is the way, not who is spared."""


def rows(out: Path) -> list[Row]:
    """Median and 99th percentile."""
    logs = out / "verdicts"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    inventory = _inventory()
    with ExitStack() as stack:
        stack.enter_context(bridges(list(inventory["vfns"])))
        _plug(inventory)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-bench-")))
        file = folder / "inventory.yaml"
        file.write_text(yaml.safe_dump(inventory, sort_keys=False))
        product = Product(folder, logs, file, learn_seconds=_NEVER, sections={"engine": _ENGINE})
        stack.callback(product.stop)
        product.start(_PATIENCE)
        text = workload.document(POLICIES, list(inventory["segments"]))
        product.ask("PUT", "/policy", {"text": text})
        product.wait_for_policy(_PATIENCE)
        product.wait_for_analyzer(_PATIENCE)
        wait_for("all VFNs hold it, those that were away, too", lambda: _all_hold(product), _PATIENCE)
        entries = sum(vfn["entries"] for vfn in product.ask("GET", "/vfns"))
        print(f"{POLICIES} policies, {entries} entries in {VFNS} VFNs")
        sent, ids = _propose(product, list(inventory["vms"]))
        wait_for("all rules are enforced", lambda: _enforced(product) == VERDICTS, _PATIENCE, 1.0)
        confirmed, enforced = _times(product, sent, ids)
    return _told(confirmed, enforced)


def _told(confirmed: Sequence[float], enforced: Sequence[float]) -> list[Row]:
    name = f"verdict to rule confirmed in the switch, {POLICIES} policies, {RATE} verdicts/s"
    late = f"read back, with no cached flow left: p50 {_ms(enforced, 0.5):g} ms, p99 {_ms(enforced, 0.99):g} ms"
    return [
        Row(f"{name}, p50", _ms(confirmed, 0.5), "ms", "<=", MAX_P50_MS, len(confirmed), reason=late),
        Row(f"{name}, p99", _ms(confirmed, 0.99), "ms", "<=", MAX_P99_MS, len(confirmed)),
    ]


def _ms(seconds: Sequence[float], share: float) -> float:
    return round(1000 * quantile(seconds, share), 2)


@dataclass(frozen=True)
class _Verdict:
    """What the analyzer says about a VM."""

    number: int
    vm: str

    def message(self, now: float) -> Message:
        """Its proposal."""
        reasons = [f"{140 + self.number % 60} hosts tried in 2 s, 3 usual"]
        return Message(
            "propose",
            {
                "proposal": self.number,
                "action": "isolate",
                "scope": "all",
                "source_vm": self.vm,
                "risk": 96.5,
                "reasons": reasons,
                "behaviour": "scan",
                "evidence_time": now,
            },
        )


def _propose(product: Product, vms: Sequence[str]) -> tuple[dict[int, float], dict[int, str]]:
    """Say all verdicts, in time; (when each was said, the rule that came of it), by number."""
    connection = connect(product.settings.engine_socket)
    decided: dict[int, str] = {}
    reader = threading.Thread(target=_read, args=(connection, decided), daemon=True)
    reader.start()
    connection.send(Message("hello", {"role": "analyzer", "pid": 0, "version": "benchmark"}))
    sent: dict[int, float] = {}
    begin = time.monotonic()
    for number, vm in enumerate(vms[:VERDICTS]):
        time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
        sent[number] = time.time()
        connection.send(_Verdict(number, vm).message(sent[number]))
    wait_for("all verdicts are decided", lambda: len(decided) == VERDICTS, _PATIENCE)
    connection.shut_down()
    reader.join()
    connection.close()
    return sent, decided


def _all_hold(product: Product) -> bool:
    return all(vfn["enforced"] for vfn in product.ask("GET", "/vfns"))


def _enforced(product: Product) -> int:
    return len(product.ask("GET", "/rules", state="enforced"))


def _read(connection: Connection, decided: dict[int, str]) -> None:
    """Take down what becomes of the proposals until the connection ends."""
    while (message := connection.receive()) is not None:
        if message.kind == "decided":
            decided.setdefault(message.data["proposal"], message.data["rule"])


def _times(product: Product, sent: Mapping[int, float], ids: Mapping[int, str]) -> tuple[list[float], list[float]]:
    """Seconds from each verdict until its rule was installed, and until it was enforced."""
    numbers = {rule: number for number, rule in ids.items()}
    first: dict[str, dict[int, float]] = {"installed": {}, "enforced": {}}
    for row in product.audit():
        if row["kind"] in first:
            rules = row["body"].get("rules") or [row["body"].get("rule")]
            for rule in rules:
                if rule in numbers:
                    first[row["kind"]].setdefault(numbers[rule], row["ts"])
    installed, enforced = ([when - sent[number] for number, when in found.items()] for found in first.values())
    return installed, enforced


def _plug(inventory: Mapping[str, Any]) -> None:
    """Give the bridges a port for every VM, which leads nowhere."""
    for name in inventory["vfns"]:
        words: list[str] = []
        for vm in inventory["vms"].values():
            if vm["vfn"] == name:
                port, ends = vm["port"], ["type=patch", f"options:peer={vm['port']}-no"]
                words += ["--", "add-port", name, port, "--", "set", "Interface", port, *ends]
        marks.run("ovs-vsctl", *words)


def _inventory() -> dict[str, Any]:
    """VFNs around one in the middle, with VMs of all segments at each."""
    names = [f"bdv{number}" for number in range(VFNS)]
    places = [(number, names[number % VFNS]) for number in range(VERDICTS)]
    return {
        "segments": {f"s{number}": {"default": "deny"} for number in range(SEGMENTS)},
        "vfns": {name: {"dpid": 0xBD00_0000 + number} for number, name in enumerate(names)},
        "links": [{"a": names[0], "a_port": f"{name}-core", "b": name, "b_port": f"{name}-up"} for name in names[1:]],
        "vms": {
            f"vm{number}": {
                "segment": f"s{number // VFNS % SEGMENTS}",
                "vfn": vfn,
                "port": f"bdv-{number}",
                "mac": f"02:00:00:bd:{number >> 8:02x}:{number & 255:02x}",
                "addresses": [f"10.79.{number >> 8}.{number & 255}", f"fd00:79::{number + 1:x}"],
            }
            for number, vfn in places
        },
    }
