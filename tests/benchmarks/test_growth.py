"""How growth is judged and drawn."""

from __future__ import annotations

from pathlib import Path

from benchmarks.vfn.growth import SIZES, Cost, draw, judge


def _costs(push: float, idle: float, change: float) -> dict[int, Cost]:
    """Costs that grow with so much a power of the rules."""
    return {
        size: Cost(size, 4 * size, 1e-3 * size**push, 1e-3 * size**idle, 1e-3 * size**change, 1e-3) for size in SIZES
    }


def test_linear_push_and_flat_cycles_meet_the_targets() -> None:
    """Ratios are 1 where push takes the same for each rule, and the others the same for any number of them."""
    rows = judge(_costs(push=1.0, idle=0.0, change=0.0))
    assert [row.value for row in rows] == [1.0, 1.0, 1.0]
    assert all(row.met for row in rows)


def test_faster_growth_misses_them() -> None:
    """Push that grows with the square, cycles that grow with the number of rules."""
    rows = judge(_costs(push=2.0, idle=1.0, change=0.5))
    assert [row.value for row in rows] == [100.0, 100.0, 10.0]
    assert not any(row.met for row in rows)


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    """A PNG of some size."""
    draw(list(_costs(1.0, 0.1, 0.2).values()), tmp_path / "growth.png")
    picture = (tmp_path / "growth.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
