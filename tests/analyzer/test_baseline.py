"""The learner and its baseline, saved and loaded."""

from pathlib import Path

import numpy as np
import pytest

from analyzer import modelstore
from analyzer.baseline import POOLED, Baseline, Learner, Reservoir
from analyzer.features import FLOW_FEATURES
from analyzer.known import Known
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS
from runtime.errors import ModelError

SHAPE = (len(LENGTHS), 1, len(FEATURES))
RNG = np.random.default_rng(2)


def learned(seconds: int = 60, vms: int = 3) -> Learner:
    """A learner that has seen `vms` VMs of segments 1.. for so long, each with its own level of activity."""
    learner = Learner()
    for second in range(seconds):
        for vm in range(1, vms + 1):
            values = RNG.poisson(2 * vm, SHAPE).astype(float)
            learner.add_windows(1000.0 + second, np.array([vm]), np.array([vm]), np.array([1 + vm % 2]), values)
            learner.add_flows(np.array([1 + vm % 2]), RNG.normal(size=(1, len(FLOW_FEATURES))))
    return learner


def fit(learner: Learner, vms: int = 3) -> Baseline:
    """A baseline under the inventory `net`."""
    return learner.fit(Known(1).save(), vms, 7, "net")


@pytest.fixture(scope="module")
def base() -> Baseline:
    """Of a minute of three VMs."""
    return fit(learned())


def test_usual_values_are_of_the_vm_and_of_its_segment(base: Baseline) -> None:
    """A busy VM has a higher usual than a quiet one of the same segment; an unknown one has the segment's."""
    own, group = base.usual(np.array([1, 3, 0]), np.array([2, 2, 2]))
    assert (own[1, 0] < own[1, 1]).all()
    assert np.array_equal(own[:, 2], group[:, 2])
    assert np.array_equal(group[:, 0], group[:, 1])


def test_usual_is_stretched_over_longer_windows_than_were_learned(base: Baseline) -> None:
    """From 40 seconds of learning the usual of an hour is 90 times as high."""
    own, _ = base.usual(np.array([1]), np.array([2]))
    assert own[4] == pytest.approx(base.vm_usual[1][4][None] * 3600 / base.span)
    assert own[1] == pytest.approx(base.vm_usual[1][1][None])


@pytest.mark.parametrize(("seconds", "vms"), [(0, 1), (1, 1), (20, 1), (60, 1)])
def test_any_amount_of_training_gives_a_baseline(seconds: int, vms: int) -> None:
    """Nothing, one sample, some, a minute of one VM: every question has an answer in its range."""
    base = fit(learned(seconds, vms), vms)
    windows = base.window_p(np.array([0, 1, 99]), np.zeros((len(LENGTHS), 3, len(FEATURES))))
    flows = base.flow_p(np.array([0, 1, 99]), np.zeros((3, len(FLOW_FEATURES))))
    assert ((windows > 0) & (windows <= 1)).all()
    assert ((flows > 0) & (flows <= 1)).all()
    assert {0, POOLED} <= set(base.windows)


def test_extreme_windows_are_unusual(base: Baseline) -> None:
    """Hundredfold activity is far out in the tail, the usual one is not."""
    usual, wild = np.full(SHAPE, 4.0), np.full(SHAPE, 800.0)
    assert base.window_p(np.array([2]), usual)[0] > 0.05
    assert base.window_p(np.array([2]), wild)[0] < 1e-3


def test_reservoir_is_bounded_and_even() -> None:
    """However much comes in however large pieces, at most twice the wanted number is kept, evenly over time."""
    reservoir = Reservoir(100)
    for start in range(0, 100_000, 500):
        reservoir.add(np.arange(start, start + 500))
    rows = reservoir.rows()
    assert rows is not None
    assert 100 <= len(rows) <= 200
    assert len(set(np.diff(rows).tolist())) == 1


def test_a_saved_baseline_comes_back(base: Baseline, tmp_path: Path) -> None:
    """What is loaded judges exactly like what was saved; for another inventory there is none."""
    assert modelstore.load(tmp_path / "models", "net") is None
    modelstore.save(tmp_path / "models", base)
    again = modelstore.load(tmp_path / "models", "net")
    assert again is not None
    values = RNG.poisson(5, SHAPE).astype(float)
    assert np.array_equal(again.window_p(np.array([1]), values), base.window_p(np.array([1]), values))
    assert modelstore.load(tmp_path / "models", "another net") is None


@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_changed_model_is_never_loaded(tmp_path: Path, at: int) -> None:
    """One changed byte anywhere in the file: refused, naming the file."""
    modelstore.save(tmp_path, fit(learned(5)))
    file = tmp_path / modelstore.MODEL
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"baseline\.joblib: does not match its manifest"):
        modelstore.load(tmp_path, "net")


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"format": "x"}'])
def test_a_broken_manifest_is_named(tmp_path: Path, text: str) -> None:
    """A manifest that says nothing sensible is a ModelError, not a stack trace."""
    modelstore.save(tmp_path, fit(learned(5)))
    (tmp_path / modelstore.MANIFEST).write_text(text)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        modelstore.load(tmp_path, "net")


def test_another_versions_model_is_refused(tmp_path: Path) -> None:
    """A manifest of other libraries or features does not fit this analyzer."""
    modelstore.save(tmp_path, fit(learned(5)))
    file = tmp_path / modelstore.MANIFEST
    file.write_text(file.read_text().replace('"scikit-learn": "', '"scikit-learn": "0.'))
    with pytest.raises(ModelError, match="another version"):
        modelstore.load(tmp_path, "net")
