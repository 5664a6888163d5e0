"""The tables of `docs/detection.md`: what a run of the captures' own `score.py` says of each case.

`benchmarks/analyzer/score.py` tells how to make such a run; then `.venv/bin/python -m benchmarks.analyzer.cases`.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterable
from pathlib import Path

from benchmarks.analyzer.calibration import TRAFFIC
from benchmarks.analyzer.pace import Case, Paces, apart, delay, in_time, paces
from benchmarks.analyzer.score import RESULT

HELD_OUT = 3
"""A case whose name's CRC-32 this divides was not looked at while detectors were built."""


def held_out(name: str) -> bool:
    """Is the case one of those?"""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def table(cases: Iterable[Case]) -> str:
    """Markdown: a row for each case with an attack, as they come."""
    head = "| case | AUC | TPR at 1 %, 0.1 % | acted: after s, flows | stopped | false: acted, victims, alerts |"
    rows = [_row(case) for case in cases if case["attack"]]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def calm(cases: Iterable[Case]) -> str:
    """Markdown: the cases without an attack, in which every rule is false."""
    head = "| case | host-days | false: acted, unsure, alerts |"
    rows = [
        f"| {case['name']} | {case['host_days']:.2f} | "
        f"{case['false_acted']}, {case['unsure_acted']}, {case['false_alerts']} |"
        for case in cases
        if not case["attack"]
    ]
    return "\n".join([head, "|---|---|---|", *rows])


def summary(name: str, cases: Iterable[Case]) -> str:
    """One sentence about some of the attack cases."""
    attacks = [case for case in cases if case["attack"]]
    if not attacks:
        return f"{name}: none."
    acted, told = (sum(case[what] for case in attacks) for what in ("acted", "alerted"))
    means = {what: _mean(case[what] for case in attacks) for what in ("auc", "tpr_1pct", "tpr_01pct", "stopped")}
    return (
        f"{name}: {acted} of {len(attacks)} acted on, {told} alerted or acted on; mean AUC {means['auc']}, "
        f"TPR {means['tpr_1pct']} at 1 %, {means['tpr_01pct']} at 0.1 %; {means['stopped']} of the flows stopped."
    )


def delays(cases: Iterable[Case], paces: Paces) -> str:
    """One sentence about how soon fast and slow attacks were acted on."""
    fast, late = apart(cases, paces)
    seconds, flows = delay(fast, "delay_s"), delay(fast, "delay_flows")
    said = "none acted on" if seconds is None or flows is None else f"median {seconds:.1f} s and {flows:.0f} flows"
    return (
        f"Delay to the first acting rule: {len(fast)} fast attacks, {said}; "
        f"{sum(map(in_time, late))} of {len(late)} slow ones within an hour or 50 flows."
    )


def _row(case: Case) -> str:
    name = case["name"] + (" (held out)" if held_out(case["name"]) else "")
    delay = "alert only" if case["alerted"] else "no"
    if case["acted"]:
        delay = f"{case['delay_s']:,.{0 if case['delay_s'] >= 10 else 2}f}, {case['delay_flows']:,}"
    rates = "too few negatives" if case["tpr_1pct"] is None else f"{case['tpr_1pct']:.2f}, {case['tpr_01pct']:.2f}"
    auc = "host level" if case["auc"] is None else f"{case['auc']:.3f}" + "*" * case["background_as_negative"]
    false = f"{case['false_acted']}, {case['victim_hits']}, {case['false_alerts']}"
    return f"| {name} | {auc} | {rates} | {delay} | {case['stopped']:.2f} | {false} |"


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "-"


def main() -> None:
    """Print sentences and tables of a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, nargs="?", default=RESULT, help="what score.py wrote with --json")
    cases = json.loads(parser.parse_args().result.read_text())["cases"]
    print(summary("All", cases))
    print(summary("Developed on", [case for case in cases if not held_out(case["name"])]))
    print(summary("Held out", [case for case in cases if held_out(case["name"])]))
    print(delays(cases, paces(TRAFFIC)))
    print(f"\n{table(cases)}\n\n{calm(cases)}")


if __name__ == "__main__":
    main()
