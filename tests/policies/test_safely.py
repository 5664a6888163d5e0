"""What leaves, and when: not before what was written ahead of it is on the disk."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import policies.store
from policies import safely
from policies.aside import Worker
from policies.safely import Safely
from policies.store import Entry, Store
from runtime.errors import AuditError


class Disk:
    """The system's call that waits for a disk, which here is done when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.error: OSError | None = None
        self._free = threading.Semaphore(0)

    def sync(self, _file: int) -> None:
        """In place of `os.fdatasync`."""
        self.begun += 1
        assert self._free.acquire(timeout=10)
        if self.error is not None:
            raise self.error

    def finish(self) -> None:
        """One call is done."""
        self._free.release()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    slow = Disk()
    monkeypatch.setattr(os, "fdatasync", slow.sync)
    return slow


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "dynseg.sqlite")
    yield made
    made.close()


def write(store: Store, kind: str) -> None:
    with store.together(durable=False):
        store.write([Entry(1.0, "engine", kind, {})])


def until_ready(waiting: Safely, worker: Worker) -> None:
    assert select.select([worker.fileno], [], [], 10)[0]
    assert waiting.ready


def safely_in(store: Store, worker: Worker) -> Safely:
    """Messages are words; those with a mark are in a hurry, and their first letter is the lane."""
    return Safely(store, worker, Worker(), lambda word: word.endswith("!"), lambda word: word[0])


def test_a_message_leaves_when_what_was_written_before_it_is_on_the_disk(store: Store, disk: Disk) -> None:
    """What is written meanwhile is waited for by itself; whoever asks meanwhile is not answered ahead of others."""
    worker = Worker()
    waiting = safely_in(store, worker)
    write(store, "one")
    assert waiting.leave(["first"]) == []
    write(store, "two")
    assert waiting.leave(["second"]) == []
    assert waiting.leave(["question"]) == []
    disk.finish()
    until_ready(waiting, worker)
    assert waiting.leave([]) == ["first"]
    assert waiting.busy
    disk.finish()
    until_ready(waiting, worker)
    assert (waiting.leave(["last"]), waiting.busy) == (["second", "question", "last"], False)
    assert disk.begun == 2


def test_without_something_written_nothing_waits(store: Store, disk: Disk) -> None:
    """Nor is the disk asked for what was written durably, or given up."""
    waiting = safely_in(store, Worker())
    with store.together():
        store.write([Entry(1.0, "engine", "sure", {})])
    with pytest.raises(KeyError), store.together(durable=False):
        store.write([Entry(1.0, "engine", "given up", {})])
        raise KeyError
    assert waiting.leave(["at once"]) == ["at once"]
    assert waiting.seconds() is None
    assert disk.begun == 0


def test_what_no_message_waits_for_is_safe_soon(store: Store, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for others for a while only."""
    worker = Worker()
    waiting = safely_in(store, worker)
    waiting.leave([])
    monkeypatch.setattr(safely, "LINGER_SECONDS", 1000.0)
    write(store, "one")
    assert waiting.leave([]) == []
    assert disk.begun == 0
    assert 900 < (waiting.seconds() or 0.0) <= 1000
    monkeypatch.setattr(safely, "LINGER_SECONDS", 0.0)
    assert waiting.seconds() == 0.0
    waiting.leave([])
    disk.finish()
    until_ready(waiting, worker)
    assert not store.unsafe


def test_what_is_in_a_hurry_waits_for_its_lane_alone(store: Store, disk: Disk) -> None:
    """It leaves while the disk is waited for, unless something of its lane waits; the others keep their order."""
    worker = Worker()
    waiting = safely_in(store, worker)
    write(store, "one")
    assert waiting.leave(["alpha!", "beta", "alpha", "alpha again!", "gamma!"]) == ["alpha!", "gamma!"]
    write(store, "two")
    assert waiting.leave(["beta again!", "delta!"]) == ["delta!"]
    disk.finish()
    until_ready(waiting, worker)
    assert waiting.leave(["epsilon!"]) == ["beta", "alpha", "alpha again!", "epsilon!"]
    disk.finish()
    until_ready(waiting, worker)
    assert waiting.leave([]) == ["beta again!"]


def test_a_disk_that_fails_lets_nothing_leave(store: Store, disk: Disk) -> None:
    """Whoever runs the engine is told which file it is."""
    worker = Worker()
    waiting = safely_in(store, worker)
    write(store, "one")
    waiting.leave(["never"])
    disk.error = OSError(5, "Input/output error")
    disk.finish()
    until_ready(waiting, worker)
    with pytest.raises(AuditError, match="not safe on the disk: Input/output error"):
        waiting.leave([])


def test_what_is_not_waited_for_is_read_by_others_all_the_same(store: Store, disk: Disk) -> None:
    """The chain goes on whole, and later writes are durable again by themselves (2 is FULL)."""
    write(store, "one")
    store.write([Entry(2.0, "engine", "two", {})])
    assert [row.kind for row in store.audit()] == ["one", "two"]
    assert store._driver.execute("PRAGMA synchronous").fetchone() == (2,)


def test_the_log_is_moved_into_the_database_beside_the_loop(
    store: Store, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No commit does it, however many there are; what is written meanwhile is sure, and leaves, all the same."""
    monkeypatch.setattr(policies.store, "TIDY_ROWS", 50)
    sure, tidier = Worker(), Worker()
    waiting = Safely(store, sure, tidier, lambda _: False, lambda word: word)
    before = store.path.stat().st_size
    for _ in range(50):
        write(store, "x" * 100_000)  # together more than SQLite moves by itself in a commit, were it let
    assert store.path.stat().st_size == before
    waiting.leave(["told"])
    assert select.select([tidier.fileno], [], [], 10)[0]
    assert store.path.stat().st_size > before + 50 * 100_000
    assert waiting.leave([]) == []
    disk.finish()
    until_ready(waiting, sure)
    assert waiting.leave([]) == ["told"]
    assert not waiting.busy
    assert len(store.audit()) == 50
