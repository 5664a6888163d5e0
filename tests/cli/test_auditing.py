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
