"""What a process exposes is what Prometheus' own parser reads."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.exposition import Exposition, counter, gauge
from runtime.health import health


def exposed() -> Exposition:
    def families():
        yield gauge("dynseg_ratio", "A ratio.", [({"vfn": 'a"\\\n'}, 0.5), ({"vfn": "b"}, 1)])
        yield counter("dynseg_things_total", "Things.", [({}, 7)])
        yield gauge("dynseg_nothing", "No samples.", [])

    return Exposition(families, "engine", "1.2")


def test_families_are_read_back() -> None:
    """Names, labels with odd letters, values; the process says what it is."""
    found = {family.name: family for family in text_string_to_metric_families(exposed().text().decode())}
    assert {tuple(s.labels.values()): s.value for s in found["dynseg_ratio"].samples} == {('a"\\\n',): 0.5, ("b",): 1}
    assert [(s.name, s.value) for s in found["dynseg_things"].samples] == [("dynseg_things_total", 7)]
    assert found["dynseg_build_info"].samples[0].labels == {"process": "engine", "version": "1.2"}
    assert found["process_resident_memory_bytes"].samples[0].value > 1e6


@pytest.mark.cluster
def test_prometheus_finds_nothing_to_complain_about() -> None:
    """`promtool check metrics` knows the conventions."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing: deploy/setup.sh --dev brings it")
    done = subprocess.run(["promtool", "check", "metrics"], input=exposed().text(), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_health_is_of_this_process() -> None:
    """Processor time and age grow, memory is there."""
    before = health()
    sum(range(200_000))
    after = health()
    assert after["cpu_seconds"] >= before["cpu_seconds"] > 0
    assert after["uptime_seconds"] > before["uptime_seconds"]
    assert after["memory_bytes"] > 1e6
