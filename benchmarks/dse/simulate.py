"""Simulating a policy on ten million archived flows of a thousand VMs, no two hours alike.

Beside it: DuckDB adds up the same flows by their ends and services, and judges nothing. The reference judges a sample
of them one by one; that both find the same is looked at in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np

from analyzer.archive import files
from analyzer.archive.files import Partition
from analyzer.archive.schema import Encoder, hour_name
from benchmarks.archive import SEGMENTS, START, VFNS, VMS, Workload, inventory
from benchmarks.rows import Row
from cli.recorded import recorded
from policies.document import parse
from policies.impact.flows import FlowColumns
from policies.impact.tally import OUTCOMES, Impact, Outcome, Rules, Tally, service_name
from policies.reference import decide
from policies.rules import Verdict
from topology.model import OUTSIDE, Inventory

FLOWS = 10_000_000
HOURS = 24
RULES = 200
ROUNDS = 3
SAMPLE = 3000
"""Flows that the reference judges, too: some hundred a second."""
MAX_SECONDS = 5.0
_PORTS = (443, 80, 53, 5432, 22, 445)
_PEER = """
    SELECT count(*) FROM (
        SELECT src_ip, dst_ip, src_vm, dst_vm, proto, dst_port, count(*), sum(src_bytes + dst_bytes)
        FROM read_parquet($paths) GROUP BY ALL)"""


def rows(out: Path) -> list[Row]:
    """Seconds to simulate a document, and how many flows the reference judges otherwise."""
    network = inventory()
    with tempfile.TemporaryDirectory(prefix="dse-", dir=out) as made:
        archive = Path(made)
        print(f"making an archive of {FLOWS:,} flows ...", flush=True)
        fill(archive, network)
        before, after = (Rules(parse(text, network, lambda _: ())) for text in documents())
        took, peer = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            impact = simulate(archive, network, before, after)
            took.append(time.perf_counter() - began)
            peer.append(grouped(archive))
        other = differing(archive, network, before, after)
    found = sum(impact.flows(outcome) for outcome in Outcome)
    note = (
        f"{RULES} rules against {RULES // 2}, {VMS} VMs; best {min(took):.2f} s; {impact.flows(Outcome.DROPPED):,} "
        f"flows would be dropped, {impact.flows(Outcome.ALLOWED):,} newly allowed, in {len(impact.groups):,} groups"
    )
    seconds = round(statistics.median(took), 2)
    peer_name = "DuckDB adding the flows up by ends and service, s"
    sample = "of a sample: counted under other ends, services or outcomes than it finds one by one"
    return [
        Row(f"simulate a document over {found / 1e6:.0f} million flows, median", seconds, "s", "<=", MAX_SECONDS,
            ROUNDS, peer_name, round(statistics.median(peer), 2), note),
        Row("flows that the reference judges otherwise", other, "flows", "<=", 0, SAMPLE, reason=sample),
    ]  # fmt: skip


def documents() -> tuple[str, str]:
    """A policy of segments, VMs and networks, and one of half of its rules."""
    lines = []
    for number in range(RULES - 1):
        source, destination = number % SEGMENTS + 1, number // SEGMENTS % SEGMENTS + 1
        port = _PORTS[number % len(_PORTS)]
        to = "outside" if number % 7 == 0 else f"{{segment: seg{destination}}}"
        come = f"{{vm: vm{number * 5 + 1:04d}}}" if number % 5 == 0 else f"{{segment: seg{source}}}"
        action = "deny" if number % 3 else "allow"
        traffic = f"service: {{protocol: tcp, ports: {port}}}, priority: {1000 + number % 4}"
        lines.append(f"- {{name: r{number}, action: {action}, from: {come}, to: {to}, {traffic}}}\n")
    lines.append("- {name: nets, action: deny, from: any, to: {networks: [198.18.64.0/18, 198.19.0.0/20]}}\n")
    return "rules:\n" + "".join(lines[::2]), "rules:\n" + "".join(lines)


def fill(archive: Path, network: Inventory) -> None:
    """A day's flows as merging leaves them."""
    encoder, workload = Encoder(network), Workload(network)
    each = FLOWS // (HOURS * VFNS)
    for vfn in range(VFNS):
        for hour in range(HOURS):
            begin = START + 3600.0 * hour
            folder = Partition(hour_name(begin), f"vfn{vfn:02d}").folder(archive)
            table = encoder.table(workload.flows(each, begin, 3600.0, vfn))
            for number, half in enumerate((table.slice(0, each // 2), table.slice(each // 2))):
                files.write(folder, number, half)
            files.merge(folder)


def simulate(archive: Path, network: Inventory, before: Rules, after: Rules) -> Impact:
    """As the command does it, its start apart."""
    tally = Tally(network, before, after)
    for flows in recorded(archive, None, None):
        tally.add(flows)
    return tally.result()


def grouped(archive: Path) -> float:
    """Seconds that DuckDB takes to add the flows up."""
    paths = [str(file.path) for part in files.partitions(archive) for file in files.closed(part.folder(archive))]
    began = time.perf_counter()
    duckdb.connect().execute(_PEER, {"paths": paths}).fetchall()
    return time.perf_counter() - began


def differing(archive: Path, network: Inventory, before: Rules, after: Rules) -> int:
    """Of a sample, how many flows are counted elsewhere than the reference, one by one, would have them."""
    flows = next(recorded(archive, None, None))
    flows = flows.take(np.random.default_rng(1).choice(len(flows), SAMPLE, replace=False))
    tally = Tally(network, before, after)
    tally.add(flows)
    counted = Counter(
        {(one.source, one.destination, one.service, one.outcome): one.flows for one in tally.result().groups}
    )
    expected = Counter(_judged(flows, row, network, before, after) for row in range(SAMPLE))
    return (expected - counted).total()


def _judged(
    flows: FlowColumns, row: int, network: Inventory, before: Rules, after: Rules
) -> tuple[str, str, str, Outcome]:
    packet = flows.packet(row)
    old, new = (decide(network, rules.policy, (), packet).verdict is Verdict.ALLOW for rules in (before, after))
    source, destination = (
        OUTSIDE if vm is None else network.vms[vm].segment for vm in (packet.source, packet.destination)
    )
    service = service_name(int(flows.proto[row]), int(flows.dst_port[row]))
    return source, destination, service, OUTCOMES[old][new]
