"""Rows of benchmarks: what counts as met, and what is written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.rows import Row, table, write


@pytest.mark.parametrize(
    ("value", "op", "target", "met"),
    [(2.0, "<=", 2.0, True), (2.1, "<=", 2.0, False), (3.0, ">=", 3.0, True), (2.9, ">=", 3.0, False)],
)
def test_a_target_is_met_up_to_its_own_value(value: float, op: str, target: float, met: bool) -> None:
    """Both directions, the target itself included."""
    assert Row("m", value, "s", op, target, 1).met is met


def test_a_measure_without_a_value_misses(tmp_path: Path) -> None:
    """What could not be measured is no success, and says why in table and file."""
    row = Row("m", None, "s", "<=", 1e9, 0, reason="the switch was away")
    assert "MISSED" in table([row])
    assert "the switch was away" in table([row])
    write([row], tmp_path / "new" / "rows.json")
    (read,) = json.loads((tmp_path / "new" / "rows.json").read_text())
    assert (read["value"], read["met"], read["reason"]) == (None, False, "the switch was away")


def test_the_peer_stands_in_table_and_file(tmp_path: Path) -> None:
    """A ratio can be checked: the peer's own figure is there."""
    row = Row("push", 4.0, "x", ">=", 3.0, 7, peer="ovs-ofctl, s", peer_value=0.2)
    assert "ovs-ofctl, s: 0.2" in table([row])
    write([row], tmp_path / "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text())[0]["peer_value"] == 0.2
