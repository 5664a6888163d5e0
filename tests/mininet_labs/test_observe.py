"""`make observe`: a lab whose metrics are in InfluxDB, and the two reports about it."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest
from support.page import Page

from dashboards.metrics.schema import DETECTION, FEEDBACK, MEASUREMENTS, TELEMETRY_LOSS
from mininet_labs.children import ROOT, module, mortal


@pytest.mark.ovs
@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_lab_is_seen_in_metrics_and_in_records(tmp_path: Path) -> None:
    """Every measurement has points; both pages tell of the attacker, its isolation, and what was denied."""
    recording = tmp_path / "lab.lp.gz"
    options = ("--out", str(tmp_path), "--seconds", "0", "--record", str(recording))
    subprocess.run(mortal(module("mininet_labs.observe", *options)), cwd=ROOT, check=True, timeout=500)
    told = {line.split(",", 1)[0] for line in gzip.decompress(recording.read_bytes()).decode().splitlines()}
    # Drift is told of VMs that were judged for a minute or more (`analyzer.drift.ENOUGH`); a quick lab is over by then.
    only_if_it_happens = {each.full_name for each in (TELEMETRY_LOSS, FEEDBACK, DETECTION)}
    expected = {measurement.full_name for measurement in MEASUREMENTS} - only_if_it_happens
    assert told >= expected
    for source in ("metrics", "records"):
        page = Page((tmp_path / f"{source}.html").read_text()).text
        for words in ("web1 isolated", "policy version 1", "web db tcp/"):
            assert words in page, source
