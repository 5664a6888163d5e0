"""What more rules cost: 100, 1,000, 10,000 and 100,000 of them at one VFN, through the engine's own enforcer.

- *push*: the VFN connects empty; from the decision to send its entries to the barrier's reply, encoding included.
- *no change*: a cycle when all is right.
- *one change*: one rule of the policy is another one now; from the new entries to their reading back, so difference,
  bundle and confirmation.
- *compile*: of that one change, before.

"Flat" means that 100 times the rules take at most twice the time; "linear", that a rule among 100,000 takes at most
twice the time of one among 1,000. Draws `vfn-growth.png`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib import pyplot as plt

from benchmarks.rows import Row
from benchmarks.vfn import workload
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.openflow import connection
from benchmarks.vfn.rig import bridges
from benchmarks.vfn.site import Site
from policies.acl import Acl, Policy

SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS = 21
MAX_RATIO = 2.0
_SMALL, _LARGE = 1_000, 100_000


@dataclass(frozen=True)
class Cost:
    """Medians at one number of rules, in seconds."""

    rules: int
    entries: int
    push: float
    idle: float
    change: float
    compile: float


def rows(bench: Bench) -> list[Row]:
    """The ratios, and the plot."""
    costs = {size: _measure(size, bench) for size in SIZES}
    draw(list(costs.values()), bench.out / "vfn-growth.png")
    return judge(costs)


def judge(costs: Mapping[int, Cost]) -> list[Row]:
    """How each cost grows from 1,000 to 100,000 rules."""
    small, large = costs[_SMALL], costs[_LARGE]

    def row(measure: str, seconds: Callable[[Cost], float], factor: float) -> Row:
        told = ", ".join(f"{1000 * seconds(cost):.3g} ms at {cost.rules:,}" for cost in costs.values())
        ratio = round(seconds(large) / seconds(small) / factor, 2)
        return Row(f"growth 1k to 100k rules, {measure}", ratio, "x", "<=", MAX_RATIO, ROUNDS, reason=told)

    more = large.rules / small.rules
    compiled = ", ".join(f"{1000 * cost.compile:.3g} ms at {cost.rules:,}" for cost in costs.values())
    change = row("reconcile after one change", lambda cost: cost.change, 1.0)
    return [
        replace(row("push, a rule", lambda cost: cost.push, more), n=1),
        row("reconcile with no change", lambda cost: cost.idle, 1.0),
        replace(change, reason=f"{change.reason}; to compile it, before: {compiled}"),
    ]


def draw(costs: Sequence[Cost], path: Path) -> None:
    """Seconds over rules, both axes logarithmic."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    lines: dict[str, Callable[[Cost], float]] = {
        "push of all": lambda cost: cost.push,
        "reconcile after one change": lambda cost: cost.change,
        "compile after one change": lambda cost: cost.compile,
        "reconcile with no change": lambda cost: cost.idle,
    }
    for label, seconds in lines.items():
        axes.plot([cost.rules for cost in costs], [1000 * seconds(cost) for cost in costs], marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="rules of the policy", ylabel="milliseconds",
             title="What a VFN costs as its rules grow")  # fmt: skip
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _measure(size: int, bench: Bench) -> Cost:
    inventory = workload.one_vfn()
    (vfn,) = inventory.vfns.values()
    acls = workload.acls(size + ROUNDS, list(inventory.segments))
    versions = [_policy(number, acls, size) for number in range(ROUNDS + 1)]
    with bridges([vfn.bridge]), connection(vfn.bridge) as switch:
        site = Site(inventory, switch)
        site.connect(versions[0])
        push = site.push_seconds
        idle = statistics.median(_seconds(site.cycle) for _ in range(ROUNDS))
        changes, compiles = [], []
        for version in versions[1:]:
            taken = _seconds(lambda version=version: site.change(version))  # type: ignore[misc]
            changes.append(taken - site.compile_seconds)
            compiles.append(site.compile_seconds)
        entries = site.entries
    cost = Cost(size, entries, push, idle, statistics.median(changes), statistics.median(compiles))
    bench.say(f"{size} rules, {entries} entries: push {push:.3f} s, a cycle without change {1000 * idle:.2f} ms,"
              f" after one change {1000 * cost.change:.2f} ms (and compile {1000 * cost.compile:.2f} ms)")  # fmt: skip
    return cost


def _policy(number: int, acls: Sequence[Acl], size: int) -> Policy:
    """The first rules, but for `number` of them, which are others."""
    return Policy(version=number + 1, acls=(*acls[number:size], *acls[size : size + number]))


def _seconds(what: Callable[[], None]) -> float:
    begin = time.perf_counter()
    what()
    return time.perf_counter() - begin
