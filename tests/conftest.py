"""What all tests share: Open vSwitch for those that are marked `ovs`."""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path

import hypothesis
import pytest

from mininet_labs import marks

ROOT = Path(__file__).resolve().parent.parent
# The first example may have to compile a loop. The same examples are drawn in every run, so that a change that fails is
# to blame for it; `make search` draws others, and more, to find what these miss. Only dear tests say how many.
hypothesis.settings.register_profile("dynseg", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=100, print_blob=True)
hypothesis.settings.load_profile("dynseg")
gc.set_threshold(5_000, 20, 20)
_STARTED_BY_US = pytest.StashKey[bool]()
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is such a process for each processor: what numpy and scikit-learn would compute on all of them at once, they
    # would mostly wait for there. Read when the first of them is imported, by a test's file.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """What was imported by now stays: looking through it for garbage, and that often, took a tenth of the time."""
    gc.collect()
    gc.freeze()


def _deploy_ovs(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "deploy" / "ovs", command], capture_output=True, text=True, timeout=60, check=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before a test marked `ovs`, and before its fixtures: see that Open vSwitch runs and nothing old is in the way."""
    if item.get_closest_marker("ovs") is None:
        return
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes bridges and network namespaces")
    if _STARTED_BY_US not in item.config.stash:
        _start_ovs(item)
    marks.forget_orphans()  # of a control that was killed


def _start_ovs(item: pytest.Item) -> None:
    was_running = _deploy_ovs("status").returncode == 0
    if not was_running:
        done = _deploy_ovs("start")
        if done.returncode != 0:
            pytest.fail(f"Open vSwitch cannot be started: {done.stderr.strip()}", pytrace=False)
    item.config.stash[_STARTED_BY_US] = not was_running


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave Open vSwitch as it was found."""
    if config.stash.get(_STARTED_BY_US, False):
        _deploy_ovs("stop")


@pytest.fixture(scope="session")
def root_dir() -> Path:
    """The project's folder."""
    return ROOT
