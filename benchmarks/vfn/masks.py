"""Tuple space explosion (CVE-2019-25076): crafted headers against a bystander's TCP throughput.

Attacker and bystander come by the same cable, so they share the switch's classifier for it. The attacker's segment is
stateless and what it sends looks like answers: so both its ports are looked up by prefixes. Against the same rate of
datagrams between random ports, which are as many different headers; masks are counted in the data path's cache.
"""

from __future__ import annotations

import re
import statistics

from benchmarks.rows import Row
from benchmarks.vfn.attack import Attack, under
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.datapath import DataPath, data_path
from benchmarks.vfn.measures import throughput
from mininet_labs import marks
from runtime.settings import OpenFlowSettings

RATE = 10_000
ROUNDS = 9
TRANSFER_SECONDS = 2.0
MIN_SHARE = 0.9
KINDS = ("plain", "scattered", "crafted")
ATTACKER, BYSTANDER, SERVER = "bare4", "bare3", "server"
PORT = "bvf-up"
"""By which both come in."""
_NOT_MASKS = re.compile(r"ufid:\S+,|, packets:.*")
_VALUES = re.compile(r"=[^/,()]+")


def rows(bench: Bench) -> list[Row]:
    """The bystander's throughput."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    masks: dict[str, int] = {}
    with data_path(bench, OpenFlowSettings().connections_per_second) as path:
        for number in range(ROUNDS):
            for kind in KINDS[:: 1 if number % 2 else -1]:
                rate, masks[kind] = _round(path, kind)
                found[kind].append(rate)
            bench.say("  ".join(f"{kind} {rates[-1]:.3g} Gbit/s, {masks[kind]} masks" for kind, rates in found.items()))
    crafted, scattered, plain = (statistics.median(found[kind]) for kind in ("crafted", "scattered", "plain"))
    told = f"{masks['crafted']} masks; a single flow of that rate leaves {plain:.3g} Gbit/s"
    return [
        Row(f"mask explosion at {RATE} packets/s, bystander throughput against uncrafted",
            round(crafted / scattered, 3), "x", ">=", MIN_SHARE, ROUNDS,
            "uncrafted (random ports), Gbit/s", round(scattered, 3), told),
    ]  # fmt: skip


def _round(path: DataPath, kind: str) -> tuple[float, int]:
    """Gbit/s of the bystander, and masks of what came in by the cable."""
    marks.run("ovs-appctl", "revalidator/purge")
    with under(path, Attack(kind, ATTACKER, SERVER, 6, RATE), TRANSFER_SECONDS):
        rate = throughput(path, BYSTANDER, SERVER, TRANSFER_SECONDS)
        return rate, count_masks(marks.run("ovs-appctl", "dpctl/dump-flows", "-m"))


def count_masks(dump: str, port: str = PORT) -> int:
    """How many different masks `dpctl/dump-flows -m` shows of a port: what is left of its flows without values."""
    lines = (line.partition(", actions:")[0] for line in dump.splitlines() if f"in_port({port})" in line)
    return len({_VALUES.sub("=", _NOT_MASKS.sub("", line)) for line in lines})
