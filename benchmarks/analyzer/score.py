"""Rows of a run of the captures' own `score.py`: what `dynseg replay` sees, how soon, and what the references see.

The run is taken from `out/score.json` (its `--json`) when it is there, and made otherwise; so are the references' runs
(`out/reference-NAME.json`), which lie beside the captures. No supervised model takes part: replay uses no classifier.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.analyzer.calibration import TRAFFIC
from benchmarks.analyzer.pace import Case, apart, delay, in_time, paces
from benchmarks.rows import Row

RESULT = Path("out/score.json")
REFERENCES = ("iforest", "knn", "ae")
JOBS = 2


def rows(say: Callable[[str], None], result: Path = RESULT, traffic: Path = TRAFFIC) -> list[Row]:
    """Figures of the runs; without them and without captures, a row that says so."""
    if not result.is_file() and not (traffic / "score.py").is_file():
        reason = f"no {result}, and no score.py beside the project to make it with"
        return [Row("score.py", None, "", ">=", 0.9, 0, reason=reason)]
    total, cases = _run(say, result, f"{Path(sys.executable).with_name('dynseg')} replay", traffic)
    others = {name: result.with_name(f"reference-{name}.json") for name in REFERENCES}
    references = {
        name: _run(say, file, f"{sys.executable} {traffic / 'reference.py'} {name}", traffic)[0]
        for name, file in others.items()
        if file.is_file() or (traffic / "reference.py").is_file()
    }
    attacks, days = total["attack_cases"], total["host_days"]
    fast, late = apart(cases, paces(traffic))
    share = sum(map(in_time, late)) / len(late) if late else None

    def row(measure: str, value: float | None, unit: str, op: str, target: float, count: int = total["cases"]) -> Row:
        return Row(measure, None if value is None else round(value, 4), unit, op, target, count)

    def beside(measure: str, key: str, target: float) -> Row:
        value, known = total[key], {name: other[key] for name, other in references.items() if other[key] is not None}
        best = max(known, key=lambda name: known[name], default=None)
        peer, peer_value = (None, None) if best is None else (f"best reference, {best}", round(known[best], 4))
        rounded = None if value is None else round(value, 4)
        return Row(measure, rounded, "", ">=", target, attacks, peer, peer_value)

    return [
        row("attack cases acted on", total["acted"] / attacks, "", ">=", 0.9, attacks),
        row("attack cases alerted or acted on", total["alerted"] / attacks, "", ">=", 1.0, attacks),
        row("benign cases with an acting rule", total["benign_cases_acted"], "", "<=", 0, total["benign_cases"]),
        row("false acting rules a host-day", total["false_acted_per_host_day"], "", "<=", 0.02),
        row("victims acted against", total["victim_hits"], "", "<=", 0),
        row("false alerts a host-day", total["false_alerts"] / days, "", "<=", 1.0),
        row("mean share of malicious flows stopped", total["mean_stopped"], "", ">=", 0.6, attacks),
        beside("macro AUC", "macro_auc", 0.985),
        beside("macro TPR at 1 % FPR", "macro_tpr_1pct", 0.9),
        beside("macro TPR at 0.1 % FPR", "macro_tpr_01pct", 0.7),
        row("median delay to an acting rule", total["median_delay_s"], "s", "<=", 60.0, attacks),
        row("median malicious flows before an acting rule", total["median_delay_flows"], "", "<=", 20.0, attacks),
        row("the same delay, fast attacks", delay(fast, "delay_s"), "s", "<=", 60.0, len(fast)),
        row("the same flows, fast attacks", delay(fast, "delay_flows"), "", "<=", 20.0, len(fast)),
        row("slow attacks acted on in an hour or 50 flows", share, "", ">=", 1.0, len(late)),
    ]


def _run(
    say: Callable[[str], None], file: Path, command: str, traffic: Path
) -> tuple[Mapping[str, Any], Sequence[Case]]:
    """Total and cases of the run in `file`, which is made if it is not there."""
    if not file.is_file():
        say(f"running score.py for {file.stem}")
        file.parent.mkdir(parents=True, exist_ok=True)
        score = [sys.executable, str(traffic / "score.py"), "--protocol", str(traffic / "protocol.yaml")]
        subprocess.run([*score, "--jobs", str(JOBS), "--command", command, "--json", str(file)], check=True)
    found = json.loads(file.read_text())
    say(f"{file}: {found['total']['cases']} cases")
    return found["total"], found["cases"]
