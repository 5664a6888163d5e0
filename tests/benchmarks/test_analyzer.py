"""The analyzer's benchmark: its load is a network's, and its rows say what they rest on."""

import json
from pathlib import Path

import numpy as np
import pytest

from analyzer.flows import FlowState
from benchmarks.analyzer import poison, score
from benchmarks.analyzer.load import START, VMS, Load


def test_the_load_is_ordered_and_of_the_network() -> None:
    """Flows come in order of their ends, from VMs that there are, to few peers each, and few fail."""
    rows = Load().flows(5000, START, 0.5).rows
    assert (np.diff(rows["end"]) >= 0).all()
    assert rows["end"].max() < START + 0.5
    assert ((rows["src_vm"] >= 1) & (rows["src_vm"] <= VMS)).all()
    assert ((rows["dst_vm"] == 0) == (rows["dst_segment"] == 0)).all()
    assert 0 < (rows["state"] & FlowState.FAILED != 0).mean() < 0.02


def test_rows_of_a_score_are_its_figures(tmp_path: Path) -> None:
    """Shares are of the attack cases, alerts of the host-days; without a run the row says how to make one."""
    total = {
        "cases": 4, "attack_cases": 2, "acted": 1, "alerted": 2, "benign_cases": 2, "benign_cases_acted": 0,
        "false_acted_per_host_day": 0.0, "victim_hits": 0, "false_alerts": 3, "host_days": 6.0, "mean_stopped": 0.5,
        "macro_auc": 0.9, "macro_tpr_1pct": 0.8, "macro_tpr_01pct": None,
        "median_delay_s": 3.0, "median_delay_flows": 9.0,
    }  # fmt: skip
    file = tmp_path / "score.json"
    file.write_text(json.dumps({"total": total, "cases": []}))
    (tmp_path / "reference-knn.json").write_text(json.dumps({"total": {**total, "macro_auc": 0.7}, "cases": []}))
    found = {row.measure: row for row in score.rows(print, file, tmp_path)}
    assert (found["macro AUC"].peer, found["macro AUC"].peer_value) == ("best reference, knn", 0.7)
    assert found["macro TPR at 0.1 % FPR"].peer is None
    assert found["attack cases acted on"].value == 0.5
    assert found["false alerts a host-day"].value == 0.5
    assert found["macro TPR at 0.1 % FPR"].met is False
    (missing,) = score.rows(print, tmp_path / "none.json", tmp_path)
    assert missing.value is None
    assert "score.py" in str(missing.reason)


@pytest.mark.slow
def test_attacks_among_the_training_hide_none() -> None:
    """Three flows in a thousand, or a little more each day while it learns on: at most 5 points are lost."""
    found = poison.rows(lambda _: None, poison.Size(learned=4000, judged=2000, bad=40, days=2))
    assert [row.met for row in found] == [True, True], [row.reason for row in found]
