"""What all taps cost on the data path: the pipeline's row of bench-vfn again, with every kind of copy switched on."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rows import Row
from benchmarks.vfn import pipeline
from benchmarks.vfn.bench import Bench
from benchmarks.vfn.datapath import data_path
from benchmarks.vfn.headers import PORT
from mininet_labs.run import Progress
from policies.pipeline.taps import Taps

ALL = Taps(dns=True, bindings=True, first_payload=(80, 443, 8080, 8443, PORT))
"""The port of the connections that are measured is one where first payload is copied."""
MAX_RATIO = 2.5


def rows() -> list[Row]:
    """Processor time of a short TCP connection, as a ratio to the bare switch's."""
    bench = Bench(Progress(), Path("out/bench"))
    with data_path(bench, pipeline.NO_LIMIT, ALL) as path:
        pairs = {name: pipeline.PAIRS[name] for name in ("bare", "stateful")}
        cost = pipeline.in_turns(
            bench, "us a connection", tuple(pairs), pipeline.TURNS, lambda pair: pipeline.cost_of(path, *pairs[pair])
        )
        told = f"{path.entries} entries; SYN, DNS, DHCP, ARP and first payload copied, NetFlow on"
    return [pipeline.ratio("all taps on, CPU per short TCP connection", cost, "stateful", "<=", MAX_RATIO, "us", told)]
