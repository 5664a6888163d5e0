"""Tails are corrected by how often they are met, within bounds, and nobody suspected has a say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.baselines import fitted, learned

from analyzer.allowance import LEAST, LEVELS, MEMORY, MOST, Allowance
from analyzer.baseline import Baseline
from analyzer.calibration import SPARED_SECONDS, Calibration
from analyzer.flows import F8, FlowBatch
from analyzer.windows import LENGTHS

RNG = np.random.default_rng(4)
SHARES = st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=40).map(np.array)


def met(p: F8, parts: int = 50) -> tuple[Allowance, F8]:
    """An allowance that p of one model came to in parts, and p as it was adjusted ahead of each."""
    allowance, adjusted = Allowance(1, 1), []
    for part in np.array_split(p, parts):
        segment = np.ones(len(part), np.int16)
        adjusted.append(allowance.adjust(segment, part[None])[0])
        allowance.note(segment, part[None], np.ones(len(part), bool))
    return allowance, np.concatenate(adjusted)


def test_tails_that_are_right_stay_as_they_are() -> None:
    """Uniform p is met as often as it says before and after."""
    _, adjusted = met(RNG.random(20_000))
    for level in LEVELS[:2]:
        assert level / 1.5 <= (adjusted <= level).mean() <= 1.5 * level


@pytest.mark.parametrize("power", [1.2, 1.5])
def test_tails_that_are_met_too_often_become_right(power: float) -> None:
    """Traffic that has moved away meets the 1 % tail in 2 to 5 % of cases, and before long in about 1 %."""
    _, adjusted = met(RNG.random(20_000) ** power, 400)
    assert (adjusted[4000:] <= 0.01).mean() < 0.02
    assert (adjusted[4000:] <= 0.001).mean() < 0.003


@given(SHARES, SHARES)
def test_adjusted_p_is_a_probability_in_the_same_order(seen: F8, asked: F8) -> None:
    """Whatever was met, p stays in (0, 1], never falls where it rose, and changes by no more than the limits."""
    allowance, _ = met(seen, 1)
    asked = np.sort(asked)
    p = allowance.adjust(np.ones(len(asked), np.int16), asked[None])[0]
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p) >= -1e-12).all()
    assert (p <= np.minimum(1, asked * MOST) * (1 + 1e-9)).all() or (asked > LEVELS[-1]).any()
    assert (p >= asked * LEAST * (1 - 1e-9)).all()


def test_who_behaves_oddly_for_ever_is_not_forgiven() -> None:
    """However often p of 1e-9 is met, it stays below 1e-7."""
    allowance, _ = met(np.full(10_000, 1e-9))
    assert allowance.adjust(np.ones(1, np.int16), np.array([[1e-9]]))[0, 0] < 1e-7
    assert (allowance.share(1) == 1).all()


def test_what_is_long_past_does_not_count() -> None:
    """After ten times the memory of calm the factor is what it was."""
    allowance, _ = met(np.r_[np.full(5000, 1e-3), RNG.random(int(10 * MEMORY))])
    assert (allowance.factors(1) < 2.5).all()


def test_models_that_were_not_asked_stay_unasked() -> None:
    """NaN is neither a hit nor a miss."""
    allowance = Allowance(1, 2)
    p = np.array([[1e-4] * 100, [np.nan] * 100])
    segment = np.ones(100, np.int16)
    allowance.note(segment, p, np.ones(100, bool))
    adjusted = allowance.adjust(segment, p)
    assert np.isnan(adjusted[1]).all()
    assert (adjusted[0] > 1e-3).all()
    assert np.isnan(allowance.share(1)[1]).all()


@pytest.fixture(scope="module")
def base() -> Baseline:
    """Of a minute of three VMs."""
    return fitted(learned())


def meet(calibration: Calibration, begin: float, seconds: int, suspect: bool) -> None:
    """VM 1 of segment 2 meets the outermost tails at every evaluation, four a second."""
    for quarter in range(4 * seconds):
        tails = np.full((len(LENGTHS), 1), 1e-4)
        one = np.array([1])
        calibration.note_windows(begin + quarter / 4, one, np.array([2], np.int16), tails, np.array([suspect]))


def test_suspects_have_no_say_in_what_is_normal(base: Baseline) -> None:
    """What a VM does counts once a second; from a finding on, for an hour, it does not."""
    calibration = Calibration(base, 3, 2)
    segment, tails = np.array([2], np.int16), np.full((len(LENGTHS), 1), 1e-4)
    meet(calibration, 1000.0, 100, suspect=True)
    meet(calibration, 1100.0, 100, suspect=False)
    assert (calibration.windows(segment, tails) == tails).all()
    meet(calibration, 1100.0 + SPARED_SECONDS + 1, 100, suspect=False)
    assert (calibration.windows(segment, tails) > 10 * tails).all()
    found = {(one.kind, one.nominal): one.share for one in calibration.report()}
    assert found["windows 10s", 0.01] == 1.0


def test_flows_are_corrected_segment_by_segment(base: Baseline) -> None:
    """Odd flows of one segment make nothing of another likelier, and strangers' flows nothing at all."""
    calibration = Calibration(base, 3, 2)
    rows = FlowBatch.empty(600).rows
    rows["src_vm"], rows["end"] = np.where(np.arange(600) < 300, 1, 0), 1000.0
    rows["src_segment"] = np.where(rows["src_vm"] > 0, 2, 0)
    p = np.full(600, 1e-4)
    calibration.note_flows(rows, p)
    adjusted = calibration.flows(np.array([2, 1, 0, -1], np.int16), np.full(4, 1e-4))
    assert adjusted[0] > 1e-3
    assert (adjusted[1:] == 1e-4).all()


def test_suspects_make_nothing_usual_by_dealing_with_others(base: Baseline) -> None:
    """What others do with a suspect does not count, whoever began it; what was found in strangers changes nothing."""
    calibration = Calibration(base, 3, 2)
    segment, tails = np.array([2], np.int16), np.full((len(LENGTHS), 1), 1e-4)
    meet(calibration, 1000.0, 100, suspect=True)
    rows = FlowBatch.empty(300).rows
    rows["src_vm"], rows["dst_vm"], rows["src_segment"], rows["end"] = 2, 1, 2, 1200.0
    odd, asked = np.full(300, 1e-4), np.full(1, 1e-4)
    calibration.note_flows(rows, odd)
    assert calibration.flows(segment, asked) == asked
    calibration.note_windows(1200.0, np.zeros(1, np.int64), segment, tails, np.ones(1, bool))
    rows["dst_vm"] = 0
    calibration.note_flows(rows, odd)
    assert calibration.flows(segment, asked) > 10 * asked


def test_a_baseline_of_nothing_is_not_corrected() -> None:
    """A prior was never meant to be met as often as it says."""
    calibration = Calibration(fitted(learned(0)), 3, 2)
    meet(calibration, 1000.0, 100, suspect=False)
    assert calibration.report() == []
