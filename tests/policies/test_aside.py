"""Work beside the loop, and the loop's right of way over it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from support.switch import PlainCodec

from policies import aside
from policies.aside import Way
from policies.enforcer import Enforcer
from runtime.settings import OpenFlowSettings
from topology.model import Inventory, Segment, Vfn

EMPTY = Inventory(segments={"web": Segment("web", 1)}, vfns={"v1": Vfn("v1", 0, 1, "v1")}, links=(), vms={}, outside={})


def begun(work: Callable[[], object]) -> threading.Event:
    """Do it in a thread; is it done?"""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, daemon=True).start()
    return done


def test_a_vfn_is_compiled_when_the_loop_has_nothing_pressing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops in the midst of it, and goes on when the loop is free."""
    monkeypatch.setattr(aside, "WAY_SECONDS", 60.0)
    way = Way()
    enforcer = Enforcer(EMPTY, PlainCodec(), OpenFlowSettings(), way=way)
    enforcer.up("v1", {}, (), 0.0)
    work = enforcer.next_work()
    assert work is not None
    way.claim(True)
    done = begun(lambda: enforcer.compile(work))
    assert not done.wait(0.1)
    way.claim(False)
    assert done.wait(10)


def test_work_is_done_in_the_end_however_busy_the_loop_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of it waits so long in all, not at each place where it could."""
    monkeypatch.setattr(aside, "WAY_SECONDS", 0.01)
    way = Way()
    way.claim(True)

    def work() -> None:
        way.begin()
        for _ in range(100_000):
            way.give()

    assert begun(work).wait(10)
