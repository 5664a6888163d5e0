"""Loops as machine code."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from analyzer import warm
from analyzer.compiled import compiled, signed


def test_without_a_place_to_keep_it_code_is_compiled_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """A function that stands in no file has nothing beside which its machine code could lie."""
    place: dict[str, Any] = {}
    exec("def double(number):\n    return 2 * number\n", place)
    with caplog.at_level("INFO"):
        double = compiled(place["double"])
    assert double(21) == 42
    assert "compiled at each start" in caplog.text


def test_numbers_of_all_columns_may_be_mixed() -> None:
    """Unsigned ones become signed, so that bits can be told apart."""
    assert signed(np.uint8(255)) & ~1 == 254


def test_warming_up_leaves_nothing_to_compile(caplog: pytest.LogCaptureFixture) -> None:
    """The second time in a process it is a matter of milliseconds, and not worth a word."""
    warm.up()
    with caplog.at_level("INFO"):
        warm.up()
    assert caplog.records == []


FIRST_ATTACK = """
import gc, json
import numpy as np
from numba.core.dispatcher import Dispatcher
from analyzer import baseline, warm
from analyzer.core import Core
from analyzer.flows import TCP, FlowBatch, FlowState
warm.up()
baseline.log.disabled = True

def known():
    made = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]
    return {f"{one.py_func.__module__}.{one.py_func.__qualname__}": len(one.signatures) for one in made}

def opened(state, begin, services):
    events, number = FlowBatch.empty(400), np.arange(400)
    rows = events.rows
    rows["src_vm"], rows["src_segment"], rows["dst_segment"] = 1 + number % 2, 1, 1
    rows["dst_lo"], rows["dst_port"], rows["proto"] = number % services, begin, TCP
    rows["state"], rows["src_pkts"], rows["end"] = state, 1, begin + number / 100
    return events

before = known()
core = Core(np.array([0, 1, 1], np.int16), 1)
for number in range(1, 30):
    core.feed(opened(FlowState.NEW, 10 * number, 3))
core.judge_by(core.stop_learning()(0, ""))
for state, begin, whole in ((FlowState.ASKED, 500, False), (FlowState.NEW | FlowState.FAILED, 600, True)):
    found = list(core.steps(opened(state, begin, 400), np.arange(0, 401, 10), whole=whole))
print(json.dumps({
    "anew": [name for name, count in known().items() if count != before.get(name)],
    "verdicts": sum(len(step.verdicts) for step in found),
}))
"""


def test_an_attack_finds_everything_compiled() -> None:
    """The first verdict of a process does not wait for machine code, whatever a VM opens at once."""
    run = subprocess.run([sys.executable, "-c", FIRST_ATTACK], capture_output=True, text=True, timeout=100, check=True)
    told = json.loads(run.stdout)
    assert told["verdicts"] > 0
    assert told["anew"] == []
