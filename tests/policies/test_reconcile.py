"""The state machine of one VFN, under any order of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.switch import MemorySwitch, PlainCodec

from policies.desired import Desired, Layer
from policies.entries import Field, TableEntry
from policies.reconcile import ANSWER_SECONDS, FEW, FEW_OF, step
from policies.vfnstate import (
    Again,
    Ahead,
    Applied,
    Apply,
    Command,
    Count,
    Counted,
    Down,
    Drift,
    DropMeters,
    Event,
    Failed,
    Goal,
    Installed,
    Measured,
    Phase,
    Read,
    Synced,
    Timer,
    Touched,
    Unwatched,
    Up,
    VfnState,
    Wanted,
)

CODEC = PlainCodec()
POOL = [
    TableEntry(6 + priority % 2, priority, (Field("reg2", priority),), rules=(f"r{priority}",))
    for priority in range(1, 7)
]
METERS = [{}, {1: 10}, {1: 20}, {2: 10}]


def by_cookie(entries: Sequence[TableEntry]) -> dict[int, TableEntry]:
    return {CODEC.cookie(entry): entry for entry in entries}


LAYERS = {entry: Layer(by_cookie([entry])) for entry in POOL}


def desired(entries: Sequence[TableEntry]) -> Desired:
    """Layers that goals share, as those of the compiler do."""
    return Desired([tuple(LAYERS.get(entry) or Layer(by_cookie([entry])) for entry in entries)])


def goal(entries: Sequence[TableEntry], meters: dict[int, int] | None = None) -> Goal:
    rules = frozenset(rule for entry in entries for rule in entry.rules)
    return Goal(desired(entries), len(entries), rules, meters=meters or {})


class Machine:
    """The machine, a switch, and at most one command under way, whose answer comes when the test wants."""

    def __init__(self) -> None:
        self.state = VfnState(interval=5.0, audit_interval=300.0)
        self.switch = MemorySwitch()
        self.now = 0.0
        self.pending: Command | None = None
        self.seen: list[Command] = []

    def feed(self, event: Event) -> None:
        self.state, commands = step(self.state, event, self.now, CODEC.differences)
        for command in commands:
            self.seen.append(command)
            if isinstance(command, (Read, Count, Apply)):
                lost = isinstance(event, (Timer, Down, Up)) or self.pending is None
                assert lost or self.state.phase is Phase.AWAY, "two commands are under way"
                self.pending = command
            elif isinstance(command, Again):
                self.switch.apply(b"".join(map(CODEC.add, command.entries)))
            elif isinstance(command, DropMeters):
                self.switch.apply(CODEC.drop_meters(command.meters))
        if self.state.phase in (Phase.AWAY, Phase.IDLE):
            self.pending = None

    def want(self, goal: Goal) -> None:
        self.feed(Wanted(goal, *goal.entries.difference(self.state.goal.entries)))

    def answer(self) -> None:
        command, self.pending = self.pending, None
        entries = tuple(self.switch.entries.values())
        if isinstance(command, Count):
            self.feed(Counted(command.request, Counter(entry.table for entry in entries)))
        elif isinstance(command, Read) and command.cookies is not None:
            self.feed(Installed(command.request, [one for one in entries if one.cookie in command.cookies]))
        elif isinstance(command, Read):
            self.feed(Installed(command.request, entries[:2], last=False))
            self.feed(Installed(command.request, meters=dict(self.switch.meters), last=False))
            self.feed(Installed(command.request, entries[2:]))
        elif isinstance(command, Apply):
            self.switch.apply(CODEC.set_meters(command.meters, command.there))
            bundle = CODEC.change(command.add, command.delete, command.remove, command.request)
            self.feed(Applied(command.request, 0.001, self.switch.apply(bundle)))

    def ahead(self, *entries: TableEntry) -> None:
        """Sent past the cycle: it is in the switch whatever the machine does."""
        self.switch.apply(b"".join(map(CODEC.add, entries)))
        self.feed(Ahead(by_cookie(entries)))

    def put(self, entry: TableEntry) -> None:
        """Somebody else writes an entry."""
        installed = CODEC.installed(entry)
        self.switch.entries[installed.table, installed.priority, installed.match] = installed

    def settle(self) -> None:
        for _ in range(30):
            if self.pending is None:
                break
            self.answer()

    def pass_time(self, seconds: float = 5.0) -> None:
        self.now += seconds
        self.feed(Timer())
        self.settle()

    def said(self, *kinds: type) -> list[Command]:
        return [command for command in self.seen if isinstance(command, kinds)]


def let_want(machine: Machine, data: st.DataObject) -> None:
    entries = data.draw(st.lists(st.sampled_from(POOL), unique=True))
    machine.want(goal(entries, data.draw(st.sampled_from(METERS))))


def let_pass(machine: Machine, data: st.DataObject) -> None:
    machine.now += data.draw(st.sampled_from((0.0, 2.0, 5.0, ANSWER_SECONDS)))
    machine.feed(Timer())


def let_fill(machine: Machine, data: st.DataObject) -> None:
    machine.switch.room = data.draw(st.sampled_from((2, 100)))


def let_hurry(machine: Machine, data: st.DataObject) -> None:
    if machine.state.phase is not Phase.AWAY:
        machine.ahead(data.draw(st.sampled_from(POOL)))


def let_meddle(machine: Machine, data: st.DataObject) -> None:
    if data.draw(st.booleans()) and machine.switch.entries:
        machine.switch.entries.popitem()
    else:
        machine.put(data.draw(st.sampled_from(POOL)))
    if data.draw(st.booleans()):
        machine.feed(Touched())


HAPPENINGS: Sequence[Callable[[Machine, st.DataObject], None]] = (
    lambda machine, _: machine.feed(Up()),
    lambda machine, _: machine.feed(Down()),
    lambda machine, _: machine.answer(),
    let_want,
    let_pass,
    let_fill,
    let_hurry,
    let_meddle,
)


@given(st.data())
def test_whatever_happens_the_vfn_ends_as_desired(data: st.DataObject) -> None:
    """After any order of comings, goings, changes, hurry, losses, silences and meddling, quiet makes it right."""
    machine = Machine()
    for _ in range(data.draw(st.integers(0, 25))):
        data.draw(st.sampled_from(HAPPENINGS))(machine, data)
    machine.switch.room = 100
    if machine.state.phase is Phase.AWAY:
        machine.feed(Up())
    machine.want(machine.state.goal)
    machine.settle()
    for _ in range(3):
        machine.pass_time(301)
    assert machine.state.in_sync
    assert machine.state.phase is Phase.IDLE
    assert machine.state.enforced_ratio == 1.0
    assert machine.state.confirmed_rules == machine.state.rules
    assert {entry.cookie for entry in machine.switch.entries.values()} == set(machine.state.desired)
    assert machine.switch.meters == machine.state.goal.meters
    assert machine.state.counts == Counter(entry.table for entry in machine.switch.entries.values())


def started(*entries: TableEntry, meters: dict[int, int] | None = None) -> Machine:
    machine = Machine()
    machine.feed(Up())
    machine.want(goal(entries, meters))
    machine.settle()
    machine.seen.clear()
    return machine


def test_a_vfn_that_has_come_is_left_alone_until_its_goal_is_known() -> None:
    """Compiling takes time: until then neither time nor reports lead to judging it by an older goal, or none."""
    machine = Machine()
    machine.put(POOL[0])
    machine.feed(Up())
    machine.feed(Touched())
    machine.pass_time(1000)
    assert machine.seen == []
    machine.want(goal(POOL[:1]))
    machine.settle()
    assert not machine.said(Apply)
    assert machine.state.in_sync


def test_a_quiet_vfn_is_only_counted_and_seldom_read() -> None:
    """Without a difference a cycle is one count, every interval, and says nothing; now and then all is read."""
    machine = started(*POOL[:3])
    for _ in range(3):
        machine.pass_time()
    assert [type(command) for command in machine.seen] == [Count, Count, Count]
    machine.seen.clear()
    machine.pass_time(300)
    machine.pass_time()
    assert [type(command) for command in machine.seen] == [Read, Count]


def test_a_vfn_that_does_not_tell_of_changes_is_read_each_time() -> None:
    """Counts alone would not show an entry that was altered."""
    machine = started(*POOL[:3])
    machine.feed(Unwatched())
    for _ in range(3):
        machine.pass_time()
    assert [type(command) for command in machine.seen[-2:]] == [Read, Read]


def test_the_same_desired_entries_again_cause_nothing() -> None:
    """Only what changes is acted upon."""
    machine = started(*POOL[:3])
    machine.want(goal(POOL[:3]))
    assert machine.seen == []


def test_a_change_is_sent_at_once_and_only_it_is_read_back() -> None:
    """Of a settled VFN nothing has to be read first: the difference of the goals is the bundle."""
    machine = started(*POOL[:3])
    machine.want(goal(POOL[1:4]))
    machine.settle()
    apply, _, read, synced = machine.seen
    assert isinstance(apply, Apply)
    assert (list(apply.add.values()), list(apply.remove.values()), apply.delete) == ([POOL[3]], [POOL[0]], ())
    assert isinstance(read, Read)
    assert set(read.cookies or ()) == {CODEC.cookie(POOL[3]), CODEC.cookie(POOL[0])}
    assert isinstance(synced, Synced)
    machine.pass_time()
    assert isinstance(machine.seen[-1], Count), "the counts are right without a reading"


def test_much_that_changes_is_read_back_whole() -> None:
    """A reading by cookie asks once for each."""
    machine = started(*POOL[:3])
    machine.want(goal([TableEntry(9, 1, (Field("reg3", number),)) for number in range(FEW)]))
    machine.settle()
    (read,) = machine.said(Read)
    assert isinstance(read, Read)
    assert read.cookies is None
    assert machine.state.in_sync


def test_rules_without_entries_here_need_no_switch() -> None:
    """Another set of rules with the same entries is confirmed as it is."""
    machine = started(*POOL[:3])
    machine.want(replace(machine.state.goal, rules=frozenset({"another"})))
    assert machine.seen == [Synced()]
    assert machine.state.confirmed_rules == frozenset({"another"})


def test_a_change_during_a_cycle_is_part_of_the_next() -> None:
    """What changes while a bundle or its reading is under way follows at once in another."""
    machine = started()
    machine.want(goal(POOL[:2]))
    assert isinstance(machine.pending, Apply)
    machine.want(goal(POOL[1:3]))
    machine.answer()
    machine.want(goal(POOL[1:4]))
    machine.settle()
    applies = [command for command in machine.seen if isinstance(command, Apply)]
    assert [(len(apply.add), len(apply.remove)) for apply in applies] == [(2, 0), (2, 1)]
    assert len(machine.said(Synced)) == 1
    assert not machine.said(Drift)


def test_drops_that_went_ahead_are_taken_in_or_taken_out() -> None:
    """They are read back as part of the whole; if their rule has ended meanwhile, they are taken out. None is drift."""
    machine = started(*POOL[:2])
    machine.ahead(POOL[2])
    machine.want(goal(POOL[:3]))
    machine.settle()
    assert machine.state.in_sync
    assert not machine.said(Apply), "it is there already"
    machine.ahead(POOL[3])
    machine.want(goal(POOL[:3]))
    machine.settle()
    machine.pass_time()
    assert {one.priority for one in machine.switch.entries.values()} == {1, 2, 3}
    assert not machine.said(Drift)


def test_drops_that_went_ahead_stay_until_the_goal_is_asked() -> None:
    """A reading that shows them before the goal knows of them deletes nothing."""
    machine = started(*POOL[:2])
    machine.pass_time(295)
    machine.now += 10
    machine.feed(Timer())
    assert isinstance(machine.pending, Read)
    machine.ahead(POOL[2])
    machine.settle()
    assert not machine.said(Apply)
    machine.want(goal(POOL[:3]))
    machine.settle()
    assert machine.state.in_sync
    assert len(machine.switch.entries) == 3
    assert not machine.said(Drift)


def test_drops_that_went_ahead_outlast_what_is_confirmed_before_the_goal_is_asked() -> None:
    """While others are read back the goal may not know of them yet; nothing of them is taken out, and none is drift."""
    machine = started(*POOL[:2])
    machine.ahead(POOL[2])
    machine.want(goal(POOL[:3]))
    machine.ahead(POOL[3])
    machine.settle()
    assert machine.state.confirmed_rules == frozenset({"r1", "r2", "r3"}), "what the goal knows of is proven meanwhile"
    machine.want(goal(POOL[1:3]))
    machine.ahead(POOL[4])
    machine.settle()
    assert {one.priority for one in machine.switch.entries.values()} == {2, 3, 5}, "the fourth's rule is over"
    machine.pass_time(301)
    machine.want(goal(POOL[1:3] + POOL[4:5]))
    machine.settle()
    assert machine.state.in_sync
    assert {one.priority for one in machine.switch.entries.values()} == {2, 3, 5}
    assert not machine.said(Drift)


def test_drops_that_went_ahead_make_no_count_or_reading_wrong() -> None:
    """In the midst of isolations a look at the VFN finds nothing amiss, and all is not read again and again."""
    machine = started(*POOL[:2])
    machine.ahead(POOL[2])
    machine.pass_time()
    assert [type(command) for command in machine.seen] == [Count]
    machine.pass_time(301)
    assert [type(command) for command in machine.seen] == [Count, Read]
    machine.want(goal(POOL[:3]))
    machine.settle()
    machine.seen.clear()
    machine.pass_time()
    assert [type(command) for command in machine.seen] == [Count], "they are counted once"
    assert len(machine.switch.entries) == 3


def test_what_is_strange_beside_drops_that_went_ahead_is_taken_out() -> None:
    """Somebody else's entries do not stay for as long as there is hurry."""
    machine = started(*POOL[:2])
    machine.ahead(POOL[2])
    machine.put(POOL[3])
    machine.feed(Touched())
    machine.settle()
    assert {one.priority for one in machine.switch.entries.values()} == {1, 2, 3}
    (drift,) = machine.said(Drift)
    assert isinstance(drift, Drift)
    assert [entry.priority for entry in drift.strange] == [4]


def test_of_a_vfn_that_holds_much_more_is_read_back_by_cookie() -> None:
    """What is few is a matter of how many there are: reading everything costs as much as all of them."""
    many = [TableEntry(9, 1, (Field("reg3", number),)) for number in range(2 * FEW * FEW_OF)]
    machine = started(*many)
    machine.want(goal(many[FEW + 1 :]))
    machine.settle()
    (read,) = machine.said(Read)
    assert isinstance(read, Read)
    assert len(read.cookies or ()) == FEW + 1
    assert machine.state.in_sync


def test_drops_that_meet_the_removal_of_their_like_win() -> None:
    """A bundle under way may take out what was sent meanwhile; it is sent again right after its barrier."""
    machine = started(*POOL[:2])
    machine.want(goal(POOL[:1]))
    assert isinstance(machine.pending, Apply)
    machine.ahead(POOL[1])
    machine.answer()
    assert machine.said(Again) == [Again((POOL[1],))]
    assert len(machine.switch.entries) == 2, "it is there before anything is read"
    machine.want(goal(POOL[:2]))
    machine.settle()
    assert machine.state.in_sync
    assert len(machine.switch.entries) == 2
    assert len(machine.said(Apply)) == 1, "nothing had to be repaired"
    assert not machine.said(Drift)


def test_meddling_that_is_reported_is_repaired_at_once() -> None:
    """A lost, an altered and a strange entry, each without waiting for a cycle, and told as drift."""
    machine = started(*POOL[:3])
    key = next(iter(machine.switch.entries))
    altered = TableEntry(POOL[1].table, POOL[1].priority, POOL[1].match, goto=9)
    for meddle in (lambda: machine.switch.entries.pop(key), lambda: machine.put(altered), lambda: machine.put(POOL[5])):
        meddle()
        machine.seen.clear()
        machine.feed(Touched())
        machine.settle()
        assert {entry.cookie for entry in machine.switch.entries.values()} == set(machine.state.desired)
        assert len(machine.said(Drift)) == 1
    assert machine.state.in_sync


def test_meddling_that_is_not_reported_is_found_by_counting() -> None:
    """An event can be lost: a table that has another number of entries is read within one cycle."""
    machine = started(*POOL[:3])
    machine.switch.entries.popitem()
    machine.pass_time()
    assert len(machine.switch.entries) == 3
    assert [type(command) for command in machine.seen][:3] == [Count, Read, Measured]
    assert machine.said(Measured) == [Measured(2 / 3, 3), Measured(1.0, 3)]
    assert len(machine.said(Drift)) == 1


def test_who_meddles_all_the_time_is_given_a_rest() -> None:
    """Reports during a reading lead to the next one a cycle later, not at once."""
    machine = started(*POOL[:3])
    for _ in range(5):
        machine.feed(Touched())
        machine.feed(Touched())
        machine.settle()
    assert len(machine.said(Read)) == 1
    machine.pass_time()
    assert len(machine.said(Read)) == 2
    assert not machine.state.doubted


def test_a_change_that_somebody_undoes_at_once_is_found_by_its_reading() -> None:
    """The barrier is not believed: what was changed is read back, and what is not there is repaired."""
    machine = started(*POOL[:3])
    machine.want(goal(POOL[:4]))
    machine.answer()
    del machine.switch.entries[CODEC.identity(POOL[3])[0], CODEC.identity(POOL[3])[1], CODEC.identity(POOL[3])[3]]
    machine.settle()
    assert machine.state.in_sync
    assert len(machine.switch.entries) == 4


def test_meters_come_before_the_entries_and_go_when_unused() -> None:
    """Set when they differ, once; a restart that finds them right sets none."""
    machine = started(*POOL[:1], meters={1: 10, 2: 10})
    machine.want(goal(POOL[:2], {1: 10, 2: 20, 3: 5}))
    apply = machine.pending
    assert isinstance(apply, Apply)
    assert apply.meters == {2: 20, 3: 5}
    assert apply.there == frozenset({2})
    machine.settle()
    machine.want(goal(POOL[:2], {3: 5}))
    machine.settle()
    machine.pass_time(301)
    assert machine.switch.meters == {3: 5}
    mods = machine.switch.meter_mods
    machine.feed(Down())
    machine.feed(Up())
    machine.want(goal(POOL[:2], {3: 5}))
    machine.settle()
    assert (machine.state.in_sync, machine.switch.meter_mods) == (True, mods)


def test_meters_that_a_switch_refuses_do_not_keep_its_entries_from_it() -> None:
    """They are tried once in a while, and the VFN is in sync without."""
    machine = Machine()
    apply = machine.switch.apply

    def without_meters(body: bytes, down: Collection[int] = (), up: Collection[int] = ()) -> list[dict[str, Any]]:
        errors = apply(body, down, up)
        machine.switch.meters.clear()
        return errors

    machine.switch.apply = without_meters  # type: ignore[method-assign]
    machine.feed(Up())
    machine.want(goal(POOL[:3], {1: 10}))
    machine.settle()
    assert machine.state.in_sync
    assert len(machine.said(Apply)) == 1


def test_a_failure_is_tried_again_later_each_time_but_a_change_at_once() -> None:
    """Backoff grows while nothing changes; something new to hold does not wait for it."""
    machine = started(*POOL[:1])
    machine.switch.room = 1
    machine.want(goal(POOL[:2]))
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
    assert [one.priority for one in machine.switch.entries.values()] == [1], "the old entries are whole"
    machine.seen.clear()
    machine.want(goal(POOL[2:3]))
    assert isinstance(machine.seen[0], Read)
    machine.settle()
    assert machine.state.in_sync


def test_a_late_answer_of_an_earlier_connection_is_not_taken() -> None:
    """After a VFN has gone and come, answers to what was asked before mean nothing."""
    machine = started(*POOL[:1])
    machine.now += 5.0
    machine.feed(Timer())
    old = machine.pending
    assert isinstance(old, Count)
    machine.feed(Down())
    machine.feed(Up())
    machine.want(goal(POOL[:1]))
    assert machine.state.phase is Phase.READING
    before = machine.state
    machine.feed(Installed(old.request))
    machine.feed(Counted(old.request, {}))
    assert machine.state == before
