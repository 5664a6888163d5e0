r"""Rows of a run of the captures' own `score.py` (its `--json`): what `dynseg replay` sees, and how soon.

    python ../shared/traffic/score.py --protocol ../shared/traffic/protocol.yaml --jobs 2 \
        --command '.venv/bin/dynseg replay' --json out/score.json

No supervised model takes part: replay runs without the classifier unless it is told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.rows import Row

RESULT = Path("out/score.json")


def rows(say: Callable[[str], None], result: Path = RESULT) -> list[Row]:
    """Figures of the run in `result`; without one, a row that says how to make it."""
    if not result.is_file():
        return [Row("score.py", None, "", ">=", 0.9, 0, reason=f"no {result}: see benchmarks/analyzer/score.py")]
    total = json.loads(result.read_text())["total"]
    say(f"{result}: {total['cases']} cases")
    attacks, days = total["attack_cases"], total["host_days"]

    def row(measure: str, value: float, unit: str, op: str, target: float, count: int = total["cases"]) -> Row:
        return Row(measure, None if value is None else round(value, 4), unit, op, target, count)

    return [
        row("attack cases acted on", total["acted"] / attacks, "", ">=", 0.9, attacks),
        row("attack cases alerted or acted on", total["alerted"] / attacks, "", ">=", 1.0, attacks),
        row("benign cases with an acting rule", total["benign_cases_acted"], "", "<=", 0, total["benign_cases"]),
        row("false acting rules a host-day", total["false_acted_per_host_day"], "", "<=", 0.02),
        row("victims acted against", total["victim_hits"], "", "<=", 0),
        row("false alerts a host-day", total["false_alerts"] / days, "", "<=", 1.0),
        row("mean share of malicious flows stopped", total["mean_stopped"], "", ">=", 0.6, attacks),
        row("macro AUC", total["macro_auc"], "", ">=", 0.985, attacks),
        row("macro TPR at 1 % FPR", total["macro_tpr_1pct"], "", ">=", 0.9, attacks),
        row("macro TPR at 0.1 % FPR", total["macro_tpr_01pct"], "", ">=", 0.7, attacks),
        row("median delay to an acting rule", total["median_delay_s"], "s", "<=", 60.0, attacks),
        row("median malicious flows before an acting rule", total["median_delay_flows"], "", "<=", 20.0, attacks),
    ]
