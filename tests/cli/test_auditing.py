"""`dynseg audit` on a real audit file, without an engine."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from policies.store import Entry, Store


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder with settings and a log of three records."""
    (tmp_path / "dynseg.yaml").write_text("state_dir: .\n")
    store = Store(tmp_path / "dynseg.sqlite")
    store.write([Entry(1_790_000_000.0 + n, "analyzer", kind, {"vm": "web1"}) for n, kind in enumerate("aab")])
    store.close()
    return tmp_path


def run(node: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments], env={"DYNSEG_CONFIG": str(node / "dynseg.yaml")})


def test_an_unbroken_log_is_proven(node: Path) -> None:
    """Count and head, status 0."""
    result = run(node, "verify")
    assert result.exit_code == 0
    assert result.stdout.startswith("3 records, unbroken; head ")
    proven = json.loads(run(node, "verify", "--json").stdout)
    assert (proven["count"], proven["error"]) == (3, None)
    assert proven["head"] in result.stdout


def test_a_changed_record_is_named(node: Path) -> None:
    """Status 1, and which record it is."""
    with sqlite3.connect(node / "dynseg.sqlite") as database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute('UPDATE audit SET body = \'{"vm":"web2"}\' WHERE seq = 2')
    result = run(node, "verify")
    assert result.exit_code == 1
    assert result.stderr == "BROKEN: row 2 was altered\n"
    assert json.loads(run(node, "verify", "--json").stdout)["count"] == 1


def test_records_are_listed(node: Path) -> None:
    """As a table, or as JSON; from a number on, of one kind, so many."""
    assert run(node, "list").stdout.splitlines()[0].split() == ["seq", "ts", "actor", "kind", "body"]
    assert [row["seq"] for row in json.loads(run(node, "list", "--json").stdout)] == [1, 2, 3]
    assert [row["seq"] for row in json.loads(run(node, "list", "--json", "--after", "1", "--limit", "1").stdout)] == [2]
    assert [row["seq"] for row in json.loads(run(node, "list", "--json", "--kind", "b").stdout)] == [3]


def test_another_file_can_be_named(node: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A copy from elsewhere, or a file that is none."""
    copy = tmp_path_factory.mktemp("copy") / "log.sqlite"
    copy.write_bytes((node / "dynseg.sqlite").read_bytes())
    assert run(node, "verify", "--database", str(copy)).exit_code == 0
    copy.write_text("no database")
    result = run(node, "verify", "--database", str(copy))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_no_log_yet_is_told(tmp_path: Path) -> None:
    """One line, status 1."""
    (tmp_path / "dynseg.yaml").write_text("state_dir: .\n")
    result = run(tmp_path, "verify")
    assert result.exit_code == 1
    assert "there is no audit database" in result.stderr


def test_an_export_is_proven_by_its_lines(node: Path) -> None:
    """In both formats, from a file or the input; an altered line is named."""
    for form, begin in (("ocsf", "{"), ("cef", "<110>1 ")):
        lines = run(node, "export", "--format", form).stdout.splitlines()
        assert len(lines) == 3
        assert all(line.startswith(begin) for line in lines)
        file = node / form
        file.write_text("\n".join(lines) + "\n")
        assert run(node, "verify", "--export", str(file)).stdout.startswith("3 records, unbroken; head ")
        file.write_text("\n".join(line.replace("web1", "web2") for line in lines))
        result = run(node, "verify", "--export", str(file))
        assert (result.exit_code, result.stderr) == (1, "BROKEN: line 1: row 1 was altered\n")


def test_an_export_begins_when_it_is_told_to(node: Path) -> None:
    """And proves what it has."""
    lines = run(node, "export", "--since", "1790000001", "--until", "1790000001").stdout.splitlines()
    assert [json.loads(line)["metadata"]["sequence"] for line in lines] == [2]


def test_what_was_in_force_is_rebuilt(node: Path) -> None:
    """At a moment; of now it is compared with what the database holds, and a difference is told."""
    store = Store(node / "dynseg.sqlite")
    store.write([Entry(1_790_000_010.0, "anna", "policy", {"version": 1, "digest": "d", "rules": 0})])
    store.write([Entry(1_790_000_020.0, "anna", "hold", {"on": True})])
    store.close()
    before = json.loads(run(node, "replay", "--at", "1790000012", "--json").stdout)
    assert (before["seq"], before["policy"]["version"], before["hold"], before["rules"]) == (4, 1, False, [])
    result = run(node, "replay", "--json")
    assert result.exit_code == 1
    now = json.loads(result.stdout)
    assert (now["hold"], now["differences"]) == (
        True,
        ["the database holds version 0 of the policy, the records say 1"],
    )
    assert "DIFFERENT: the database holds version 0" in run(node, "replay").stderr


def test_what_rests_on_altered_records_is_told_so(node: Path) -> None:
    """By replay, from the first altered row on; a moment before it is proven as it was."""
    with sqlite3.connect(node / "dynseg.sqlite") as database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute('UPDATE audit SET body = \'{"vm":"web2"}\' WHERE seq = 2')
    said = "BROKEN: row 2 was altered; what is shown rests on records that are not proven"
    result = run(node, "replay")
    assert (result.exit_code, said in result.stderr) == (1, True)
    first = json.loads(run(node, "list", "--json", "--limit", "1").stdout)[0]["ts"]
    before = run(node, "replay", "--at", str(first), "--json")
    assert (before.exit_code, json.loads(before.stdout)["broken"]) == (0, None)


@pytest.mark.parametrize("command", [["export"], ["export", "--format", "cef"], ["list"], ["replay"]])
def test_values_of_the_wrong_type_are_told(node: Path, command: list[str]) -> None:
    """SQLite keeps whatever somebody writes into a column."""
    with sqlite3.connect(node / "dynseg.sqlite") as database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute("UPDATE audit SET ts = 'x' WHERE seq = 2")
    result = run(node, *command)
    assert (result.exit_code, "row 2 has a value of the wrong type" in result.stderr) == (1, True)


def test_nothing_is_no_proof(node: Path) -> None:
    """An emptied log, an empty export, and one that is no text."""
    file = node / "export"
    for content in (b"", b"\xff\xfe"):
        file.write_bytes(content)
        assert run(node, "verify", "--export", str(file)).exit_code == 1
    with sqlite3.connect(node / "dynseg.sqlite") as database:
        database.execute("DROP TRIGGER audit_no_delete")
        database.execute("DELETE FROM audit")
    result = run(node, "verify")
    assert (result.exit_code, result.stderr) == (1, "BROKEN: there is no row in it, so nothing is proven\n")
