"""The whole pipeline against a bare switch: processor time of a short TCP connection, TCP throughput, round trips.

Both bridges stand beside each other and are measured in turns, with the same ends and the same programs. A short
connection's cost is the switch daemon's processor time over many of them, several under way at a time.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.rows import Row
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.datapath import DataPath, data_path
from benchmarks.vfn.headers import PORT
from benchmarks.vfn.measures import pings, switch_seconds, throughput
from mininet_labs import marks
from mininet_labs.children import module

ROUNDS = 7
TURNS = 3
"""Of a round, in which all take part; its figure is the median. So a disturbance of a second touches all alike."""
CONNECTIONS = 2_500
TRANSFER_SECONDS = 1.5
PINGS = 500
PAIRS = {
    "bare": ("bare1", "bare2"),
    "stateful": ("client", "server"),
    "stateless": ("swift1", "swift2"),
}
NO_LIMIT = 1_000_000
"""New connections a second and VM: the meters are passed, and let everything through."""
MAX_STATEFUL, MAX_STATELESS = 2.5, 1.8
MIN_THROUGHPUT, MAX_P99 = 0.95, 1.2


def rows(bench: Bench) -> list[Row]:
    """Cost, throughput and delay, each as a ratio to the bare switch's."""
    with data_path(bench, NO_LIMIT) as path:
        cost = in_turns(bench, "us a connection", tuple(PAIRS), TURNS, lambda pair: cost_of(path, *PAIRS[pair]))
        rate = in_turns(
            bench, "Gbit/s", ("bare", "stateful"), 1, lambda pair: throughput(path, *PAIRS[pair], TRANSFER_SECONDS)
        )
        delay = in_turns(
            bench, "ms p99", ("bare", "stateful"), TURNS, lambda pair: pings(path, *PAIRS[pair], PINGS).quantile(0.99)
        )
        told = f"{path.entries} entries"
    return [
        ratio("whole pipeline, CPU per short TCP connection", cost, "stateful", "<=", MAX_STATEFUL, "us", told),
        ratio("the same in a stateless segment", cost, "stateless", "<=", MAX_STATELESS, "us", told),
        ratio("whole pipeline, iperf3 throughput", rate, "stateful", ">=", MIN_THROUGHPUT, "Gbit/s", told),
        ratio("whole pipeline, ping p99", delay, "stateful", "<=", MAX_P99, "ms", told),
    ]


def cost_of(path: DataPath, client: str, server: str) -> float:
    """Microseconds of the switch daemon a short connection, until nothing of it is cached any more."""
    address = path.inventory.vms[server].addresses[0]
    before = switch_seconds()
    path.run(client, *module("benchmarks.vfn.connections", "open", address, PORT, CONNECTIONS))
    # Else the cached flows of one turn would be looked after in the next one's time.
    marks.run("ovs-appctl", "revalidator/purge")
    return 1e6 * (switch_seconds() - before) / CONNECTIONS


def in_turns(
    bench: Bench, unit: str, names: Sequence[str], turns: int, measure: Callable[[str], float]
) -> Mapping[str, Sequence[float]]:
    """A figure a round by name; who begins changes from turn to turn."""
    found: dict[str, list[float]] = {name: [] for name in names}
    order = list(names)
    for _ in range(ROUNDS):
        taken: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(turns):
            for name in order:
                taken[name].append(measure(name))
            order = [*order[1:], order[0]]
        for name, values in taken.items():
            found[name].append(statistics.median(values))
        bench.say("  ".join(f"{name} {values[-1]:.3g}" for name, values in found.items()) + f" {unit}")
    return found


def ratio(
    measure: str, found: Mapping[str, Sequence[float]], name: str, op: str, target: float, unit: str, told: str
) -> Row:
    """The median of the rounds' ratios: the machine's pace drifts, but in a round it is the same for all."""
    ratio = statistics.median(ours / bare for ours, bare in zip(found[name], found["bare"], strict=True))
    ours, bare = statistics.median(found[name]), statistics.median(found["bare"])
    reason = f"{ours:.3g} {unit}; {told}"
    return Row(f"{measure}, against bare NORMAL", round(ratio, 3), "x", op, target, len(found[name]),
               f"NORMAL, {unit}", round(bare, 3), reason)  # fmt: skip
