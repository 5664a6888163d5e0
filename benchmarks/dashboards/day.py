"""A day of a network of 1,000 VMs as InfluxDB holds it: five-minute points of every measurement of the schema.

They are written as the continuous queries of `dashboards.resolutions` would have made them; to write 9 million points
of ten seconds first, and down-sample them, takes minutes and ends in the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from dashboards import resolutions
from dashboards.metrics import schema
from dashboards.metrics.schema import Field, Kind, Measurement

VMS, SEGMENTS, VFNS = 1000, 100, 25
PEERS, SERVICES = 8, ("tcp/443", "tcp/5432", "tcp/other")
"""Segments that a segment talks to, and by what."""
HOURS = 24
RISKY = 0.02
"""Part of the VMs that anything is ever thought of."""
STATES = (schema.ENFORCEMENT, schema.PROCESS)
"""Of which dashboards ask how they stand now: of points as they were written."""
_STEP = resolutions.FINE_SECONDS
_FRACTIONS = {"enforced_ratio", "drift"}
_FLAGS = {"connected", "in_sync", "up", "judging"}
Tags = Mapping[str, str]


def tag_sets() -> list[tuple[Measurement, Sequence[Tags]]]:
    """Every series of the network."""
    segments = [f"segment{n:03d}" for n in range(SEGMENTS)]
    vfns = [{"vfn": f"vfn{n:02d}"} for n in range(VFNS)]
    decisions = ("allowed", "unknown", "denied")
    vms = [
        {"vm": f"vm{n:04d}", "segment": segments[n * SEGMENTS // VMS], "vfn": vfns[n % VFNS]["vfn"]} for n in range(VMS)
    ]
    pairs = [(n, (n * 7 + peer * 13 + 1) % SEGMENTS) for n in range(SEGMENTS) for peer in range(PEERS)]
    flows = [
        {"src_segment": segments[a], "dst_segment": segments[b], "service": service, "decision": decision}
        for (a, b), service in product(pairs, SERVICES)
        for decision in (("allowed", "denied") if (a + b) % 10 == 0 else ("allowed",))
    ]
    processes = [{"process": name} for name in ("control", "engine", "analyzer", "metrics")]
    behaviours = ("scan", "bruteforce", "beacon", "exfiltration", "unusual")
    sums = {"src_segment", "dst_segment", "decision"}
    together = {tuple(sorted((tag, value) for tag, value in each.items() if tag in sums)): 0 for each in flows}
    return [
        (schema.VM, vms),
        (schema.FLOWS, flows),
        (schema.SEGMENTS, [{"segment": segment} for segment in segments]),
        (replace(schema.FLOWS, name="pairs"), [dict(each) for each in together]),
        (schema.VFN, [{**vfn, "decision": decision} for vfn in vfns for decision in decisions]),
        (schema.VERDICTS, [
            {"behaviour": behaviour, "segment": segment, "confirmed": "no"}
            for behaviour, segment in product(behaviours, segments[::10])
        ]),
        (schema.RULES, [
            {"action": action, "mode": "enforce", "state": state, "issuer": "analyzer"}
            for action, state in product(("isolate", "deny", "allow"), ("enforced", "installing"))
        ]),
        (schema.RULE_HITS, [
            {"rule": f"rule{n}", "kind": "policy", "action": "deny", "mode": "observe" if n % 5 == 0 else "enforce"}
            for n in range(200)
        ]),
        (schema.ENFORCEMENT, vfns),
        (schema.PROCESS, processes),
        (schema.TELEMETRY, [{}]),
        (schema.TELEMETRY_LOSS, vfns),
    ]  # fmt: skip


def lines(until: float, step: int = _STEP, only: Collection[Measurement] = ()) -> Iterator[list[str]]:
    """Line protocol (times in seconds), by the series, of the day before a moment.

    Args:
        until: epoch seconds.
        step: seconds from one point to the next.
        only: measurements; none: all.
    """
    rng = np.random.default_rng(7)
    begin = int(until) // step * step - HOURS * 3600
    times = range(begin, begin + HOURS * 3600, step)
    for measurement, sets in tag_sets():
        if only and measurement not in only:
            continue
        for number, tags in enumerate(sets):
            columns = [
                _values(field, len(times), rng, risky=number < RISKY * len(sets)) for field in measurement.fields
            ]
            yield _series(measurement, tags, times, columns)


def _series(measurement: Measurement, tags: Tags, times: Sequence[int], columns: Sequence[Sequence[str]]) -> list[str]:
    head = ",".join(
        (measurement.full_name, *(f"{tag}={value}" for tag, value in sorted({**tags, "node": "n1"}.items())))
    )
    names = [field.name for field in measurement.fields]
    rows = zip(times, zip(*columns, strict=True), strict=True)
    return [f"{head} {','.join(map('='.join, zip(names, row, strict=True)))} {time}" for time, row in rows]


def _values(field: Field, count: int, rng: np.random.Generator, *, risky: bool) -> list[str]:
    """Of a day, as line protocol writes them."""
    if field.name == "risk":
        values = rng.uniform(0, 100, count) if risky else np.zeros(count)
        return [f"{value:.1f}" for value in values.tolist()]
    if field.name in _FRACTIONS or field.name in _FLAGS:
        return ["1" if field.kind is Kind.FLOAT else "1i"] * count
    if field.kind is Kind.FLOAT:
        return [f"{value:.4f}" for value in rng.exponential(0.01, count).tolist()]
    return [f"{value}i" for value in rng.integers(0, 10_000, count).tolist()]


def events(until: float) -> list[str]:
    """A thousand things that happened, at times of their own."""
    kinds = ("isolation", "release", "policy", "drift")
    return [
        f"{schema.EVENTS.full_name},kind={kinds[n % 4]},node=n1,vm=vm{n % 50:04d} "
        f'title="vm{n % 50:04d}: something",text="for a reason of some length",rule="abc",actor="analyzer",events=1i'
        f" {int(until - n * 86)}"
        for n in range(1000)
    ]
