"""Poor training and odd recordings: a clear message or a graceful result, never a silent zero."""

import logging
from pathlib import Path

import numpy as np
import pytest
from support.baselines import fitted, learned
from support.recordings import HEADER, flow, office, row, write

from analyzer import replay
from analyzer.core import Core
from analyzer.csvflows import read
from analyzer.learning import Learning
from analyzer.models.signing import Signer
from analyzer.modelstore import ModelStore
from analyzer.replay import Replayed
from analyzer.site import Site
from runtime.settings import AnalyzerSettings

SCAN = [row(1000.0 + i / 100, "10.0.0.105", f"10.0.0.{100 + i % 10}", 1 + i, failed=True) for i in range(300)]


def judged(folder: Path, training: list[str], test: list[str]) -> Replayed:
    """What a replay says that learned from these rows."""
    site = Site.of([])
    train = read(write(folder / "train.csv", training), site)
    return replay.replay([train], read(write(folder / "test.csv", test), site), site)


def cut_off(result: Replayed) -> set[str]:
    """Who was isolated or denied."""
    return {rule["subject"] for rule in result.rules if rule["action"] in ("isolate", "deny")}


def acted_on(result: Replayed) -> set[str]:
    """About whom there is more than an alert."""
    return {rule["subject"] for rule in result.rules if rule["action"] != "alert"}


CONSTANT = [row(float(second), "10.0.0.101", "10.0.0.9", 445) for second in range(300)]


@pytest.mark.parametrize(
    "training",
    [[], office(0, 3, 1)[:1], [r for r in office(0, 300, 1) if ",10.0.0.100," in r], CONSTANT],
    ids=["nothing", "one flow", "one VM", "always the same"],
)
def test_a_scan_is_seen_whatever_was_learned(tmp_path: Path, training: list[str]) -> None:
    """Nothing, one flow, one VM, one flow again and again: the scanner is acted on.

    Nobody else is cut off, unless a single flow was learned: all others are new beside it.
    """
    result = judged(tmp_path, training, [*office(990, 60, 2), *SCAN])
    assert np.isfinite(result.scores).all()
    assert "10.0.0.105" in acted_on(result)
    if len(training) != 1:
        assert cut_off(result) == {"10.0.0.105"}


def test_where_nothing_was_learned_nothing_is_new(tmp_path: Path) -> None:
    """Desktops with one file server, and a backup to a stranger, are no attack to who knows nothing."""
    backup = [flow(1000.0 + 15 * i, "10.0.0.105", "203.0.113.9", 4433, "300,40,280000,2500") for i in range(6)]
    rows = [*office(990, 120, 2), *backup]
    assert acted_on(judged(tmp_path, [], rows)) == set()
    assert acted_on(judged(tmp_path, office(0, 300, 1), rows)) == {"10.0.0.105"}


def test_too_little_to_learn_from_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells how much there was, and what to do."""
    with caplog.at_level(logging.WARNING, "dynseg"):
        judged(tmp_path, [], [row(1000.0, "10.0.0.1", "10.0.0.9", 443)])
    assert "0 windows and 0 flows of VMs are too few to learn from" in caplog.text
    assert "--train" in caplog.text


def test_a_recording_of_another_network_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where no host is inside there is nobody to judge, and the log tells what to name."""
    office_there = write(tmp_path / "test.csv", [row(1000.0 + i, "192.0.2.1", "192.0.2.9", 443) for i in range(9)])
    with caplog.at_level(logging.WARNING, "dynseg"):
        replay.run(office_there, [], [], tmp_path / "out")
        assert "none of its hosts is inside" in caplog.text
        assert "--internal" in caplog.text
        caplog.clear()
        replay.run(office_there, [], ["192.0.2.0/24"], tmp_path / "out")
        assert "none of its hosts is inside" not in caplog.text


def test_time_that_goes_backwards_counts_as_the_newest(tmp_path: Path) -> None:
    """Rows of a recording in any order: every one gets a score, and the scan is seen all the same."""
    rows = [*office(990, 60, 2), *SCAN]
    order = np.random.default_rng(1).permutation(len(rows))
    (tmp_path / "test.csv").write_text("\n".join([HEADER, *(rows[i] for i in order)]) + "\n")
    site = Site.of([])
    train = read(write(tmp_path / "train.csv", office(0, 120, 1)), site)
    result = replay.replay([train], read(tmp_path / "test.csv", site), site)
    assert len(result.scores) == len(rows)
    assert np.isfinite(result.scores).all()
    assert "10.0.0.105" in {rule["subject"] for rule in result.rules}


def test_a_baseline_of_another_inventory_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    """Learning begins anew, and the status tells why."""
    store = ModelStore(tmp_path / "models", Signer.fresh())
    store.save(fitted(learned(), inventory="then"), "learned")
    core = Core(np.ones(4, np.int16), 1)
    learning = Learning(core, AnalyzerSettings(), store, "now", 3)
    try:
        assert core.baseline is None
        assert learning.problem == "baseline 1 was learned under another inventory; learning anew"
    finally:
        learning.close()
