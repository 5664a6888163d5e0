"""The benchmark of simulation, in small: what it measures is the right answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.archive import inventory
from benchmarks.dse import simulate
from policies.document import parse
from policies.impact.tally import Outcome, Rules


def test_the_archive_that_is_made_is_simulated_as_the_reference_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every flow that was made is counted, some of every kind, and none elsewhere than the reference would."""
    for name, value in (("FLOWS", 20_000), ("HOURS", 1), ("SAMPLE", 300)):
        monkeypatch.setattr(simulate, name, value)
    network = inventory()
    simulate.fill(tmp_path, network)
    before, after = (Rules(parse(text, network, lambda _: ())) for text in simulate.documents())
    impact = simulate.simulate(tmp_path, network, before, after)
    counted = {outcome: impact.flows(outcome) for outcome in Outcome}
    assert sum(counted.values()) == 20_000
    assert min(counted[Outcome.PERMITTED], counted[Outcome.DROPPED], counted[Outcome.DENIED]) > 0
    assert simulate.differing(tmp_path, network, before, after) == 0
