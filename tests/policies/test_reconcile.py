"""The state machine of one VFN, under any order of events."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from support.switch import MemorySwitch, PlainCodec

from policies.entries import Field, TableEntry
from policies.reconcile import (
    ANSWER_SECONDS,
    Applied,
    Apply,
    Command,
    Down,
    Drift,
    Event,
    Failed,
    Installed,
    Phase,
    Read,
    Synced,
    Timer,
    Up,
    VfnState,
    Wanted,
    step,
)

CODEC = PlainCodec()
POOL = [TableEntry(6, priority, (Field("reg2", priority),), rules=(f"r{priority}",)) for priority in range(1, 7)]


def wanted(entries: Sequence[TableEntry]) -> Wanted:
    rules = frozenset(rule for entry in entries for rule in entry.rules)
    return Wanted({CODEC.cookie(entry): entry for entry in entries}, rules)


class Machine:
    """The machine, a switch, and at most one command under way, whose answer comes when the test wants."""

    def __init__(self) -> None:
        self.state = VfnState(interval=5.0)
        self.switch = MemorySwitch()
        self.now = 0.0
        self.pending: Command | None = None
        self.seen: list[Command] = []

    def feed(self, event: Event) -> None:
        self.state, commands = step(self.state, event, self.now, CODEC.differences)
        for command in commands:
            self.seen.append(command)
            if isinstance(command, (Read, Apply)):
                lost = isinstance(event, (Timer, Down, Up)) or self.pending is None
                assert lost or self.state.phase is Phase.AWAY, "two commands are under way"
                self.pending = command
        if self.state.phase in (Phase.AWAY, Phase.IDLE):
            self.pending = None

    def answer(self) -> None:
        command, self.pending = self.pending, None
        if isinstance(command, Read):
            self.feed(Installed(command.request, tuple(self.switch.entries.values()), last=True))
        elif isinstance(command, Apply):
            messages = [*map(CODEC.delete, command.delete), *map(CODEC.add, command.add)]
            errors = self.switch.apply(CODEC.bundle(messages, command.request))
            self.feed(Applied(command.request, 0.001, errors))

    def settle(self) -> None:
        for _ in range(20):
            if self.pending is None:
                break
            self.answer()


@settings(deadline=None)
@given(st.data())
def test_whatever_happens_the_vfn_ends_as_desired(data: st.DataObject) -> None:
    """After any order of comings, goings, changes, losses, silences and meddling, one quiet while makes it right."""
    machine = Machine()
    for _ in range(data.draw(st.integers(0, 25))):
        kind = data.draw(st.sampled_from(("up", "down", "want", "answer", "silence", "meddle", "time", "full")))
        if kind == "up":
            machine.feed(Up())
        elif kind == "down":
            machine.feed(Down())
        elif kind == "want":
            machine.feed(wanted(data.draw(st.lists(st.sampled_from(POOL), unique=True))))
        elif kind == "answer":
            machine.answer()
        elif kind == "silence":
            machine.now += ANSWER_SECONDS
            machine.feed(Timer())
        elif kind == "time":
            machine.now += data.draw(st.floats(0, 10))
            machine.feed(Timer())
        elif kind == "full":
            machine.switch.room = data.draw(st.sampled_from((2, 100)))
        elif data.draw(st.booleans()) and machine.switch.entries:
            machine.switch.entries.popitem()
        else:
            entry = CODEC.installed(data.draw(st.sampled_from(POOL)))
            machine.switch.entries[entry.table, entry.priority, entry.match] = entry
    machine.switch.room = 100
    if machine.state.phase is Phase.AWAY:
        machine.feed(Up())
        machine.feed(wanted(list(machine.state.desired.values())))
    for _ in range(3):
        machine.settle()
        machine.now = max(machine.now, machine.state.due or 0.0)
        machine.feed(Timer())
    machine.settle()
    assert machine.state.in_sync
    assert machine.state.phase is Phase.IDLE
    assert machine.state.enforced_ratio == 1.0
    assert machine.state.confirmed_rules == machine.state.rules
    assert {entry.cookie for entry in machine.switch.entries.values()} == set(machine.state.desired)


def started(*entries: TableEntry) -> Machine:
    machine = Machine()
    machine.feed(Up())
    machine.feed(wanted(entries))
    machine.settle()
    machine.seen.clear()
    return machine


def test_a_quiet_vfn_is_only_read() -> None:
    """Without a difference a cycle is one reading, every interval, and says nothing."""
    machine = started(*POOL[:3])
    for _ in range(3):
        machine.now += 5.0
        machine.feed(Timer())
        machine.settle()
    assert [type(command) for command in machine.seen] == [Read, Read, Read]


def test_the_same_desired_entries_again_cause_nothing() -> None:
    """Only what changes is acted upon."""
    machine = started(*POOL[:3])
    machine.feed(wanted(POOL[:3]))
    assert machine.seen == []


def test_a_change_during_a_cycle_is_part_of_the_next() -> None:
    """What changes while a reading is under way is in the bundle, what changes later follows in another."""
    machine = started()
    machine.feed(wanted(POOL[:1]))
    machine.feed(wanted(POOL[:2]))
    machine.answer()
    assert isinstance(machine.pending, Apply)
    assert list(machine.pending.add) == POOL[:2]
    machine.feed(wanted(POOL[1:3]))
    machine.settle()
    applies = [command for command in machine.seen if isinstance(command, Apply)]
    assert [(len(apply.add), len(apply.delete)) for apply in applies] == [(2, 0), (1, 1)]
    assert [type(command) for command in machine.seen].count(Synced) == 1
    assert not any(isinstance(command, Drift) for command in machine.seen)


def test_a_failure_is_tried_again_later_each_time_but_a_change_at_once() -> None:
    """Backoff grows while nothing changes; something new to hold does not wait for it."""
    machine = started(*POOL[:1])
    machine.switch.room = 1
    machine.feed(wanted(POOL[:2]))
    machine.settle()
    waits = []
    for _ in range(3):
        failed = machine.seen[-1]
        assert isinstance(failed, Failed)
        waits.append(failed.next_try - machine.now)
        machine.now = failed.next_try
        machine.feed(Timer())
        machine.settle()
    assert waits[0] < waits[1] < waits[2]
    machine.seen.clear()
    machine.feed(wanted(POOL[2:3]))
    assert isinstance(machine.seen[0], Read)


def test_a_late_answer_of_an_earlier_connection_is_not_taken() -> None:
    """After a VFN has gone and come, answers to what was asked before mean nothing."""
    machine = started(*POOL[:1])
    machine.now += 5.0
    machine.feed(Timer())
    old = machine.pending
    assert isinstance(old, Read)
    machine.feed(Down())
    machine.feed(Up())
    machine.feed(wanted(POOL[:1]))
    assert machine.state.phase is Phase.READING
    before = machine.state
    machine.feed(Installed(old.request, (), last=True))
    assert machine.state == before
