"""Evaluation on labelled captures: figures as they are defined, and a page that holds them."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from analyzer import evaluate
from analyzer.models import labelled
from cli import evaluating
from dashboards import evaluation

HEADER = (
    "start,end,duration,proto,src_ip,src_port,dst_ip,dst_port,src_pkts,dst_pkts,src_bytes,dst_bytes,syn,fin,rst,ack,psh,"
    "app,label,label_detail"
)
SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=30).map(np.array)


@given(SCORES, SCORES)
def test_auc_is_the_chance_that_an_attack_scores_higher(good: np.ndarray, evil: np.ndarray) -> None:
    """Over all pairs, ties counting half; and it is the area under the points of the curve where none is left out."""
    pairs = np.sign(evil[:, None] - good[None, :])
    chance = float((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert evaluate.auc(good, evil) == pytest.approx(chance)
    points = np.array(evaluate.roc(good, evil))
    assert (np.diff(points, axis=0) >= 0).all()
    assert float(np.trapezoid(points[:, 1], points[:, 0])) == pytest.approx(chance)


def test_rates_need_enough_benign_flows() -> None:
    """A rate at 1 % of false positives says nothing below a thousand benign flows."""
    good, evil = np.arange(1000.0), np.array([995.0, 1.0])
    assert evaluate.tpr(good, evil, 0.01) == 0.5
    assert evaluate.tpr(good[:999], evil, 0.01) is None
    assert evaluate.auc(good, good[:0]) is None


def capture(path: Path) -> Path:
    """Ten minutes of requests between four hosts; in the last two one of them scans."""
    rng = np.random.default_rng(1)
    rows = [
        (at, f"10.0.0.{rng.integers(1, 5)}", "10.0.0.9", 443, "6,5,600,3000,2,2,0,9,3,", "benign,")
        for at in np.sort(rng.uniform(0, 600, 1500))
    ]
    rows += [
        (480 + i / 10, "10.0.0.3", "10.0.0.9", i + 1, "1,1,60,40,1,0,1,1,0,", "malicious,portscan") for i in range(400)
    ]
    lines = [f"{at},{at + 0.2},0.2,tcp,{a},40000,{b},{port},{rest},{truth}" for at, a, b, port, rest, truth in rows]
    path.write_text("\n".join([HEADER, *sorted(lines, key=lambda line: float(line.split(",")[1]))]))
    return path


def test_a_scan_in_a_capture_is_found_and_told(tmp_path: Path) -> None:
    """The scanner is acted on, nobody else is, and page and figures say so."""
    found = evaluate.evaluate(labelled.read(str(capture(tmp_path / "office<1>.csv")), []), 0.4)
    assert (found.acted, found.offenders, found.malicious) == (1, 1, 400)
    assert found.delay is not None
    assert found.delay < 30
    assert found.auc is not None
    assert found.auc > 0.95
    assert not found.false_rules
    assert [nominal for nominal, _ in found.realised] == list(evaluate.LEVELS)
    confusion: dict[str, object] = {
        "confusion": [{"truth": "scan", "said": "benign", "flows": 3}],
        "families": {"worm": 0.125},
    }
    page = evaluation.render(evaluation.Evaluation([found], ["x<2>.csv: has no flows"], None, confusion, "test"))
    assert "office&lt;1&gt;.csv" in page
    assert "office<1>" not in page
    assert "0.125" in page
    assert "left out: x&lt;2&gt;.csv: has no flows" in page
    del confusion["families"]  # of a classifier that was trained before there were any
    assert "0.125" not in evaluation.render(
        evaluation.Evaluation([found], ["x<2>.csv: has no flows"], None, confusion, "test")
    )
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_capture_without_calm_is_judged_unlearned(tmp_path: Path) -> None:
    """Nothing benign: nothing is learned from, and the scanner is found all the same."""
    path = capture(tmp_path / "x.csv")
    path.write_text(path.read_text().replace("benign,", ","))
    found = evaluate.evaluate(labelled.read(str(path), []), 0.4)
    assert (found.learned, found.flows, found.malicious, found.acted) == (0, 1900, 400, 1)
    assert (found.auc, found.realised) == (None, ())


def test_a_capture_without_attacks_has_no_offenders(tmp_path: Path) -> None:
    """Nothing but false alarms can come of it."""
    path = capture(tmp_path / "x.csv")
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "malicious" not in line))
    found = evaluate.evaluate(labelled.read(str(path), []), 0.4)
    assert (found.malicious, found.offenders, found.auc, found.delay, found.false_rules) == (0, 0, None, None, {})


def test_what_cannot_be_judged_is_left_out_of_the_page(tmp_path: Path) -> None:
    """An empty capture and one with a time that is none are named, the page is made of the rest, the status says so."""
    capture(tmp_path / "good.csv")
    (tmp_path / "empty.csv").write_text(HEADER + "\n")
    (tmp_path / "odd.csv").write_text(f"{HEADER}\n1,nan,0,tcp,10.0.0.1,1,10.0.0.2,2,1,1,60,60,1,0,0,0,0,,benign,\n")
    out = tmp_path / "page.html"
    paths = [str(tmp_path / f"{name}.csv") for name in ("empty", "odd", "good")]
    done = CliRunner().invoke(evaluating.evaluate, [*paths, "--out", str(out)])
    assert "good.csv: AUC" in done.output
    assert str(done.exception) == "2 of 3 captures are left out"
    page = out.read_text()
    assert "empty.csv: has no flows" in page
    assert "odd.csv:2: end: &#39;nan&#39; is no number" in page


def test_causes_are_counted_by_what_a_reason_names() -> None:
    """What stands before the colon."""
    rules: list[dict[str, object]] = [
        {"reasons": ["scan: tried 40 hosts", "x"]},
        {"reasons": ["scan: tried 9 services"]},
        {"reasons": []},
    ]
    assert evaluate.causes(rules) == {"scan": 2, "none": 1}
