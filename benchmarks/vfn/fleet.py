"""A new policy for 250 VFNs: from the request to the barrier of the last one, while control goes on answering echoes.

The whole product and 250 bridges without ports. Each round lays down a policy whose rules no round had before, where
there was none, so every VFN gets a full set of entries. The time goes from before the request is sent to the last
`installed` record of the audit log, which is written when the barrier of a VFN's bundle has come back. All echoes of
the part count, also those while policies are taken away again.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.rows import Row
from benchmarks.vfn import workload
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.rig import bridges
from mininet_labs.errors import LabError
from mininet_labs.instruments import EchoMeter
from mininet_labs.judge import MAX_ECHO_MS
from mininet_labs.product import Product

VFNS = 250
SEGMENTS = 50
RULES = 1_000
ROUNDS = 5
MAX_SECONDS = 1.5
_PATIENCE = 60.0
_NEVER = 86_400.0
_POLICY_SECONDS = 90.0


def rows(bench: Bench) -> list[Row]:
    """Time of a push, and how control did meanwhile."""
    inventory = _inventory()
    logs = bench.folder("fleet")
    with ExitStack() as stack:
        stack.enter_context(bridges(list(inventory["vfns"])))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dynseg-bench-")))
        file = folder / "inventory.yaml"
        file.write_text(yaml.safe_dump(inventory, sort_keys=False))
        product = Product(folder, logs, file, learn_seconds=_NEVER)
        stack.callback(product.stop)
        begin = time.monotonic()
        product.start(_PATIENCE)
        bench.say(f"{VFNS} VFNs enforce the empty policy {time.monotonic() - begin:.1f} s after the start")
        openflow = product.settings.openflow
        meter = EchoMeter(openflow.listen, openflow.port, logs)
        stack.callback(meter.close)
        segments = list(inventory["segments"])
        pushes = [_push(product, number, segments, bench) for number in range(ROUNDS)]
        lag = float(product.status()["control"]["hub_lag_ms"])
        echo = meter.stop()
    seconds = statistics.median(push.seconds for push in pushes)
    added = [count for push in pushes for count in push.added]
    return [
        Row(f"policy pushed to {VFNS} VFNs, request to the last barrier", round(seconds, 3), "s", "<=", MAX_SECONDS,
            ROUNDS, reason=f"{min(added)} to {max(added)} entries added to a VFN, median {statistics.median(added):g}"),
        Row("longest echo of control meanwhile", echo.max_ms, "ms", "<=", MAX_ECHO_MS, echo.answered,
            reason=f"{echo.sent - echo.answered} of {echo.sent} without an answer, {echo.reconnects} reconnects;"
                   f" longest wait of a ready task in control's last minute {lag:g} ms"),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Push:
    """A policy that all VFNs have taken."""

    seconds: float
    added: tuple[int, ...]
    """Entries by VFN."""


def _push(product: Product, number: int, segments: Sequence[str], bench: Bench) -> _Push:
    """Lay down a policy, see every VFN confirm its bundle, and take it away again."""
    text = workload.document(RULES, segments, port=workload.FIRST_PORT + 100 * number, partners=1)
    before = product.status()["engine"]["audit"]["count"]
    begin = time.time()
    product.ask("PUT", "/policy", {"text": text})
    answered = time.time()
    product.wait_for_policy(_POLICY_SECONDS)
    records = _installed(product, before)
    last = max(record["ts"] for record in records)
    bench.say(f"round {number}: answered after {answered - begin:.2f} s, all installed after {last - begin:.2f} s,"
              f" read back after {time.time() - begin:.2f} s")  # fmt: skip
    product.ask("PUT", "/policy", {"text": "rules: []"})
    product.wait_for_policy(_POLICY_SECONDS)
    return _Push(last - begin, tuple(record["body"]["added"] for record in records))


def _installed(product: Product, after: int) -> list[Any]:
    """The audit log's record of each VFN's bundle.

    Raises:
        LabError: there is another number of them than there are VFNs.
    """
    records: list[Any] = []
    while page := product.ask("GET", "/audit", after=records[-1]["seq"] if records else after, limit=1000):
        records += page
    found = [record for record in records if record["kind"] == "installed"]
    if len({record["body"]["vfn"] for record in found}) != len(found) or len(found) != VFNS:
        raise LabError(f"{len(found)} bundles were installed, at {VFNS} VFNs")
    return found


def _inventory() -> dict[str, Any]:
    """VFNs around one in the middle, a VM at each, segments that close themselves off."""
    names = [f"bvf{number}" for number in range(VFNS)]
    return {
        "segments": {f"s{number}": {"default": "deny"} for number in range(SEGMENTS)},
        "vfns": {name: {"dpid": 0xB0F0_0000 + number} for number, name in enumerate(names)},
        "links": [{"a": names[0], "a_port": f"{name}-core", "b": name, "b_port": f"{name}-up"} for name in names[1:]],
        "vms": {
            f"vm{number}": {
                "segment": f"s{number % SEGMENTS}",
                "vfn": name,
                "port": f"{name}-vm",
                "mac": f"02:00:00:b0:{number >> 8:02x}:{number & 255:02x}",
                "addresses": [f"10.78.{number >> 8}.{number & 255}", f"fd00:78::{number:x}"],
            }
            for number, name in enumerate(names, 1)
        },
    }
