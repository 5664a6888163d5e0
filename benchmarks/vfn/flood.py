"""A VM floods a server that it may talk to with SYNs: what does a bystander's ping of the same server notice?

Against the same flood on the bare bridge, in turns.
"""

from __future__ import annotations

from benchmarks.rows import Row
from benchmarks.vfn.attack import Attack, under
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.datapath import DataPath, data_path
from benchmarks.vfn.measures import INTERVAL_SECONDS, Pings, pings
from runtime.settings import OpenFlowSettings

RATE = 20_000
ROUNDS = 3
PINGS = 5_000
MIN_DELIVERY = 99.9
PLACES = {"full": ("client", "bystander", "server"), "bare": ("bare1", "bare3", "bare2")}
"""Attacker, bystander and server."""


def rows(bench: Bench) -> list[Row]:
    """Delivery of the bystander's pings."""
    found: dict[str, list[Pings]] = {place: [] for place in PLACES}
    with data_path(bench, OpenFlowSettings().connections_per_second) as path:
        for number in range(ROUNDS):
            for place in list(PLACES)[:: 1 if number % 2 else -1]:
                found[place].append(_round(path, *PLACES[place]))
                last = found[place][-1]
                bench.say(f"{place}: {last.delivered:.2f} % of pings, p99 {last.quantile(0.99):.2g} ms")
    full, bare = (_delivered(found[place]) for place in ("full", "bare"))
    n = sum(each.sent for each in found["full"])
    worst = max(each.quantile(0.99) for each in found["full"])
    return [
        Row(f"SYN flood of {RATE}/s through an allowed pair, bystander pings delivered", round(full, 3), "%", ">=",
            MIN_DELIVERY, n, "bare NORMAL under the same flood, %", round(bare, 3), f"p99 {worst:.2g} ms"),
    ]  # fmt: skip


def _delivered(rounds: list[Pings]) -> float:
    return 100 * sum(len(each.milliseconds) for each in rounds) / sum(each.sent for each in rounds)


def _round(path: DataPath, attacker: str, bystander: str, server: str) -> Pings:
    """Pings while the flood runs."""
    with under(path, Attack("syns", attacker, server, 4, RATE), PINGS * INTERVAL_SECONDS):
        return pings(path, bystander, server, PINGS)
