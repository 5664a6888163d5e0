"""The database of rules and audit, and what its chain shows."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies import audit
from policies.lifecycle import RuleRecord, move
from policies.rules import Action, Protocol, RuleState, Scope, SegmentationRule
from policies.store import Entry, Store, record_json, record_of
from runtime.errors import AuditError

ROWS = 12
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a few audit rows, closed."""
    file = tmp_path / "dynseg.sqlite"
    store = Store(file)
    for number in range(ROWS):
        store.write([Entry(1000.0 + number / 3, "engine", "note", {"number": number, "text": "ä\n"})])
    store.close()
    return file


def change(path: Path, *statements: str) -> None:
    """Alter a database as somebody with the file in hands can: triggers are no obstacle."""
    connection = sqlite3.connect(path)
    connection.executescript("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;" + ";".join(statements))
    connection.close()


def test_a_whole_chain_verifies(path: Path) -> None:
    """Count and head are those of the store, and an opened store goes on where it stopped."""
    result = audit.verify(path)
    store = Store(path)
    assert (result.count, result.head, result.error, result.ok) == (ROWS, store.head, None, True)
    store.write([Entry(1.0, "anna", "note", {})])
    assert audit.verify(path).count == ROWS + 1
    store.close()


def test_the_database_refuses_to_change_or_remove_audit_rows(path: Path) -> None:
    """Whoever writes through SQL without taking the triggers away is stopped."""
    with sqlite3.connect(path) as connection:
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE seq = 3"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "seq", "words"),
    [
        ("UPDATE audit SET body = replace(body, '5', '6') WHERE seq = 6", 6, "altered"),
        ("UPDATE audit SET ts = ts + 1e-6 WHERE seq = 4", 4, "altered"),
        ("UPDATE audit SET actor = 'anna' WHERE seq = 1", 1, "altered"),
        ("UPDATE audit SET kind = 'other' WHERE seq = 12", 12, "altered"),
        ("UPDATE audit SET hash = replace(hash, substr(hash, 1, 1), 'z') WHERE seq = 7", 7, "altered"),
        ("UPDATE audit SET prev = upper(prev) WHERE seq = 5", 5, "does not continue"),
        ("UPDATE audit SET ts = 'never' WHERE seq = 5", 5, "wrong type"),
        ("UPDATE audit SET body = x'00ff' WHERE seq = 5", 5, "wrong type"),
        ("UPDATE audit SET body = cast(x'ff' as text) WHERE seq = 5", 5, "cannot be read"),
        ("DELETE FROM audit WHERE seq = 3", 3, "row 3 is missing"),
        ("DELETE FROM audit WHERE seq = 1", 1, "row 1 is missing"),
        ("DELETE FROM audit WHERE seq BETWEEN 4 AND 9", 4, "row 4 is missing"),
        ("DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3", 3, "does not continue"),
        (
            "UPDATE audit SET seq = 100 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; "  # noqa: ISC004
            "UPDATE audit SET seq = 4 WHERE seq = 100",
            3,
            "does not continue",
        ),
        ("INSERT INTO audit SELECT 0, ts, actor, kind, body, prev, hash FROM audit WHERE seq = 1", 1, "missing"),
        ("INSERT INTO audit SELECT 20, ts, actor, kind, body, prev, hash FROM audit WHERE seq = 1", 13, "missing"),
    ],
)
def test_each_way_of_tampering_is_found_at_its_row(path: Path, statement: str, seq: int, words: str) -> None:
    """Altered, removed, reordered and added rows are found, and the first bad one is named."""
    change(path, statement)
    result = audit.verify(path)
    assert result.error is not None
    assert words in result.error
    assert f"row {seq}" in result.error
    assert result.count == seq - 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, ROWS), st.sampled_from(("actor", "kind", "body", "prev", "hash")), st.data())
def test_any_flipped_bit_of_a_row_is_found(path: Path, seq: int, column: str, data: st.DataObject) -> None:
    """One bit of any text of any row makes the chain break at that row."""
    copy = path.with_name("copy.sqlite")
    shutil.copy(path, copy)
    with sqlite3.connect(copy) as connection:
        (text,) = connection.execute(f"SELECT {column} FROM audit WHERE seq = ?", [seq]).fetchone()
    connection.close()
    raw = bytearray(text.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    change(copy, f"UPDATE audit SET {column} = cast(x'{raw.hex()}' AS text) WHERE seq = {seq}")
    result = audit.verify(copy)
    assert result.count == seq - 1
    assert result.error is not None
    assert f"row {seq}" in result.error


def test_rows_missing_at_the_end_show_only_in_count_and_head(path: Path) -> None:
    """A chain cut at its end is whole in itself; it differs from what was noted of it before."""
    noted = audit.verify(path)
    change(path, f"DELETE FROM audit WHERE seq > {ROWS - 2}")
    cut = audit.verify(path)
    assert cut.ok
    assert (cut.count, cut.head) != (noted.count, noted.head)


def test_a_damaged_or_missing_file_is_named(path: Path, tmp_path: Path) -> None:
    """No file, a file of something else and a torn file end in a result or an error that names the file."""
    with pytest.raises(AuditError, match=r"none\.sqlite: there is no audit database"):
        audit.verify(tmp_path / "none.sqlite")
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(AuditError, match="text: not a readable audit database"):
        audit.verify(tmp_path / "text")
    with pytest.raises(AuditError, match="check `state_dir`"):
        Store(tmp_path / "text")
    page, torn = 4096, tmp_path / "torn.sqlite"
    for place in range(1, path.stat().st_size // page):
        damaged = bytearray(path.read_bytes())
        damaged[place * page : (place + 1) * page] = b"\xff" * page
        torn.write_bytes(damaged)
        try:
            found = audit.verify(torn)
        except AuditError:
            continue
        assert not found.ok or found == audit.verify(path)


def test_rows_are_read_in_parts_and_by_kind(path: Path) -> None:
    """`after`, `limit` and `kind` choose; bodies come back as they were given."""
    assert [row.seq for row in audit.list(path, after=3, limit=2)] == [4, 5]
    assert audit.list(path, kind="other") == ()
    (row,) = audit.list(path, after=ROWS - 1, kind="note")
    assert row.body == {"number": ROWS - 1, "text": "ä\n"}
    assert row.as_dict()["prev"] == audit.list(path)[-2].hash


def _verify_as_nobody(path: Path, results) -> None:
    os.setgid(65534)
    os.setuid(65534)
    results.put(audit.verify(path).count)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it becomes somebody else")
def test_reading_needs_no_right_to_write(path: Path) -> None:
    """A file in a place where nothing may be written verifies for somebody who may only read."""
    with tempfile.TemporaryDirectory() as folder:
        frozen = Path(shutil.copy(path, folder))
        frozen.chmod(0o444)
        Path(folder).chmod(0o555)
        assert _elsewhere(_verify_as_nobody, frozen) == ROWS


def _elsewhere(function, *arguments):
    """The result of a function that puts it into a queue, run in a process of its own."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=function, args=(*arguments, results))
    process.start()
    result = results.get(timeout=30)
    process.join()
    return result


def test_verifying_goes_on_while_the_engine_writes(path: Path) -> None:
    """Another process verifies again and again during writes, and never sees half of one."""
    script = (
        "import sys; from pathlib import Path; from policies import audit\n"
        "for _ in range(20): print(audit.verify(Path(sys.argv[1])).error)"
    )
    store = Store(path)
    with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True, cwd=ROOT) as reader:
        while reader.poll() is None:
            store.write([Entry(1.0, "engine", "note", {"a": 1}), Entry(1.0, "engine", "note", {"b": 2})])
        assert reader.stdout is not None
        assert reader.stdout.read().split() == ["None"] * 20
    store.close()


RULE = SegmentationRule(
    "a" * 12, Action.ALLOW, "anna", 5.0, source_ip=ip_network("fd00::/64"), destination_vm="db1", port=80,
    protocol=Protocol.TCP, scope=Scope.OTHER_SEGMENTS, reasons=("because",), expires=9.0,
)  # fmt: skip
RECORD = RuleRecord(RULE, RuleState.INSTALLING, 5.0, ("v1", "v2"))


def test_a_record_survives_the_way_to_json_and_back() -> None:
    """Every field of a rule comes back in its type."""
    full = replace(move(RECORD, RuleState.FAILED, 6.0, "table full"), installed_at=5.5)
    assert record_of(record_json(full)) == full
    isolation = replace(full, rule=SegmentationRule("b" * 12, Action.ISOLATE, "analyzer", 1.5, "web", "web1"))
    assert record_of(record_json(isolation)) == isolation


def test_rules_are_kept_with_their_history(tmp_path: Path) -> None:
    """What was written is there after a restart; what is over and gone is no longer pending."""
    store = Store(tmp_path / "x.sqlite")
    enforced = move(RECORD, RuleState.ENFORCED, 6.0)
    released = move(enforced, RuleState.RELEASED, 7.0, "enough")
    for record in (RECORD, enforced, released):
        store.write([Entry(1.0, "engine", "note", {})], [record])
    store.close()
    store = Store(tmp_path / "x.sqlite")
    assert store.pending() == (released,)
    assert store.rule("a" * 12) == released
    assert store.rule("b" * 12) is None
    assert [(ts, state.value, why) for ts, state, why in store.history("a" * 12)] == [
        (5.0, "installing", ""), (6.0, "enforced", ""), (7.0, "released", "enough"),
    ]  # fmt: skip
    store.write([], [replace(released, removed_at=8.0)])
    assert store.pending() == ()
    assert store.rules() == store.rules(RuleState.RELEASED) == (replace(released, removed_at=8.0),)
    assert store.rules(RuleState.ENFORCED) == ()
    store.close()


def test_a_rule_and_its_record_are_written_both_or_neither(tmp_path: Path) -> None:
    """When the audit row cannot be written the rule is not, either, and the chain goes on from before."""
    store = Store(tmp_path / "x.sqlite")
    store.write([Entry(1.0, "engine", "note", {})])
    other = sqlite3.connect(tmp_path / "x.sqlite")
    other.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    other.commit()
    with pytest.raises(AuditError, match="disk full"):
        store.write([Entry(2.0, "engine", "admitted", {})], [RECORD])
    assert store.rules() == ()
    other.execute("DROP TRIGGER full")
    other.commit()
    other.close()
    store.write([Entry(3.0, "engine", "admitted", {})], [RECORD])
    assert audit.verify(store.path).count == 2
    assert len(store.rules()) == 1
    store.close()


def test_a_second_writer_is_found_out(tmp_path: Path) -> None:
    """Two engines on one file cannot fork the chain: the later write of the one that lags is refused."""
    one, two = Store(tmp_path / "x.sqlite"), Store(tmp_path / "x.sqlite")
    one.write([Entry(1.0, "engine", "note", {})])
    with pytest.raises(AuditError, match="no other engine"):
        two.write([Entry(1.0, "engine", "note", {})])
    assert audit.verify(one.path).ok
    one.close()
    two.close()


def test_only_the_owner_may_read_the_database(tmp_path: Path) -> None:
    """The file and its log are made with mode 0600."""
    store = Store(tmp_path / "deep" / "x.sqlite")
    store.write([Entry(1.0, "engine", "note", {})])
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "deep").iterdir()}
    assert modes == {0o600}
    store.close()


def test_what_is_no_json_is_refused_before_it_is_written(tmp_path: Path) -> None:
    """A number that is not finite has no canonical text."""
    store = Store(tmp_path / "x.sqlite")
    with pytest.raises(ValueError, match="JSON"):
        store.write([Entry(1.0, "engine", "note", {"x": float("nan")})])
    assert store.count == 0
    store.close()


def test_what_is_written_together_is_one_transaction(tmp_path: Path) -> None:
    """Nobody else sees a part of it, who writes it reads it, and at the end all of it is on the disk."""
    store = Store(tmp_path / "x.sqlite")
    with store.together():
        for second in (1.0, 2.0):
            store.write([Entry(second, "engine", "note", {})], [RECORD])
        assert store.rule(RECORD.rule.id) == RECORD
        assert audit.verify(store.path).count == 0
    assert (audit.verify(store.path).count, audit.verify(store.path).head) == (2, store.head)
    store.close()


def test_together_is_all_or_nothing(tmp_path: Path) -> None:
    """When the second of two writes fails the first is not there, either, and the chain goes on from before."""
    store = Store(tmp_path / "x.sqlite")
    with pytest.raises(ValueError, match="JSON"), store.together():
        store.write([Entry(1.0, "engine", "note", {})], [RECORD])
        store.write([Entry(2.0, "engine", "note", {"x": float("nan")})])
    assert (store.count, store.rules()) == (0, ())
    store.write([Entry(3.0, "engine", "note", {})])
    assert audit.verify(store.path).head == store.head
    store.close()


def test_states_of_several_rules_at_once_are_each_in_their_history(tmp_path: Path) -> None:
    """Also a rule's that has gone through some of them in one write; what has not changed is not told again."""
    store = Store(tmp_path / "several.sqlite")
    one, other = (RuleRecord(replace(RULE, id=name), RuleState.PROPOSED, 1.0) for name in ("one", "other"))
    approved = move(one, RuleState.APPROVED, 2.0)
    installing = replace(move(approved, RuleState.INSTALLING, 3.0), vfns=("v1",))
    store.write([], [one, other, approved, installing, replace(installing, installed_at=4.0)])
    states = {name: [state for _, state, _ in store.history(name)] for name in ("one", "other")}
    assert states == {
        "one": [RuleState.PROPOSED, RuleState.APPROVED, RuleState.INSTALLING],
        "other": [RuleState.PROPOSED],
    }
    kept = store.rule("one")
    assert kept is not None
    assert (kept.state, kept.installed_at, kept.vfns) == (RuleState.INSTALLING, 4.0, ("v1",))
    assert store.rules(RuleState.PROPOSED) == (other,)
    store.close()
