"""The frame around the parts of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import frame
from benchmarks.rows import Row
from benchmarks.traffic import __main__ as traffic
from benchmarks.vfn import __main__ as vfn
from benchmarks.vfn.bench import Bench
from mininet_labs.errors import LabError


def test_a_part_that_breaks_off_misses_and_the_next_one_runs(tmp_path: Path) -> None:
    """Why it broke off stands in its row."""

    def breaks(bench: Bench) -> list[Row]:
        raise LabError("no switch")

    parts: frame.Parts = {"a": breaks, "b": lambda _: [Row("b", 1.0, "s", "<=", 2.0, 1)]}
    said: list[str] = []
    first, second = frame.measure(parts, ["a", "b"], Bench(said.append, tmp_path))
    assert (first.met, second.met) == (False, True)
    assert "no switch" in str(first.reason)
    assert any("MISSED" in line for line in said)


@pytest.mark.parametrize("main", [vfn.main, traffic.main])
def test_an_unknown_part_is_refused(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    """With the names of those that there are."""
    with pytest.raises(SystemExit):
        main(["--only", "flood,pull"])
    told = capsys.readouterr().err
    assert "'pull'" in told
    assert "flood" in told
