"""How processes end."""

from __future__ import annotations

import os
import select
import signal

import pytest

from runtime import ending
from runtime.ending import Company, on_signals


@pytest.mark.parametrize("number", ending.SIGNALS)
def test_a_signal_is_noted_and_ends_a_wait(number: signal.Signals) -> None:
    """Nothing is interrupted: the file is readable, and whoever asks is told."""
    with on_signals() as told:
        assert not told.asked
        assert select.select([told], [], [], 0) == ([], [], [])
        os.kill(os.getpid(), number)
        assert select.select([told], [], [], 10) == ([told], [], [])
        assert told.asked


def test_everything_is_put_back() -> None:
    """Handlers and the wake-up file are as before, after an error, too."""
    before = [signal.getsignal(number) for number in ending.SIGNALS]
    with pytest.raises(KeyError), on_signals():
        raise KeyError
    assert [signal.getsignal(number) for number in ending.SIGNALS] == before
    wake_up = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wake_up)
    assert wake_up == -1


def test_who_is_alone_for_long_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the start, and from when the last one left; a stranger who leaves changes nothing."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    company = Company()
    now[0] += ending.ORPHAN_SECONDS
    assert not company.missed()
    now[0] += 1
    assert company.missed()
    company.came("control")
    company.came("another")
    assert company
    company.left("control")
    now[0] += 1000
    assert not company.missed()
    company.left("another")
    assert not company
    now[0] += ending.ORPHAN_SECONDS
    company.left("a stranger")
    assert not company.missed()
    now[0] += 1
    assert company.missed()
