"""Questions to the archive: each filter, the newest first, whole flows, clear complaints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archived import ENCODER, flow, judged
from support.telemetry import START

from analyzer.archive import files, query
from analyzer.archive.decisions import Decision
from analyzer.archive.files import Partition
from analyzer.archive.query import COMMON_SCHEMA, Filter
from analyzer.archive.schema import Judged, Note
from analyzer.ledger import Parts
from runtime.errors import ArchiveError

HOUR = 3600.0
SCAN = Note("scan", ("tried 30 services",))


def keep(archive: Path, number: int, batch: Judged) -> None:
    for place, table in ENCODER.split(batch).items():
        files.write(Partition(*place).folder(archive), number, table)


def ports(archive: Path, limit: int | None = None, **wanted: Any) -> list[int]:
    """Source ports of the answer, in its order."""
    return query.flows(archive, Filter(**wanted), ["src_port"], limit).read_all().column(0).to_pylist()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six flows of three hours, by source port; the first two hours are merged."""
    folder = tmp_path_factory.mktemp("archive")
    keep(folder, 1, judged([flow("web1", "db1", at=0, src_port=1), flow("web1", "203.0.113.66", at=60, src_port=2)]))
    keep(folder, 2, judged([flow("web1", "db2", at=61, src_port=3)], Decision.DENIED, 80.0, SCAN, "r1"))
    keep(folder, 3, judged([flow("db1", "web1", at=HOUR, src_port=4)], Decision.UNKNOWN, 30.0))
    keep(
        folder,
        4,
        judged([flow("web2", "web1", at=2 * HOUR, src_port=5), flow("ops1", "db1", at=2 * HOUR + 1, src_port=6)]),
    )
    for partition in files.partitions(folder):
        if partition.hour < "2027-01-15T10":
            files.merge(partition.folder(folder))
    return folder


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"vm": "web1"}, [5, 4, 3, 2, 1]),
        ({"vm": "ops1"}, [6]),
        ({"vm": "nobody"}, []),
        ({"segment": "db"}, [6, 4, 3, 1]),
        ({"segment": "outside"}, [2]),
        ({"since": START + 60}, [6, 5, 4, 3, 2]),
        ({"until": START + 60}, [1]),
        ({"since": START + 60, "until": START + HOUR}, [3, 2]),
        ({"since": START + 9 * HOUR}, []),
        ({"verdict": "scan"}, [3]),
        ({"min_risk": 30.0}, [4, 3]),
        ({"decision": "unknown"}, [4]),
        ({"vm": "web1", "segment": "db", "decision": "allowed"}, [1]),
        ({"limit": 1}, [6]),
        ({"limit": 4}, [6, 5, 4, 3]),
        ({"vm": "web1", "limit": 3}, [5, 4, 3]),
        ({"until": START + 61.5, "limit": 1}, [3]),
    ],
)
def test_each_filter_gives_its_flows(archive: Path, wanted: dict[str, Any], found: list[int]) -> None:
    """Newest first, whether merged or not, across hours."""
    assert ports(archive, **wanted) == found


def test_a_flow_of_a_vm_with_itself_is_one(tmp_path: Path) -> None:
    """Looked for at either end it is found once."""
    keep(tmp_path, 1, judged([flow("web1", "web1", src_port=1)]))
    assert ports(tmp_path, vm="web1") == [1]


def test_columns_come_as_asked(archive: Path) -> None:
    """In that order, times as epoch seconds, reasons as a list, the VFN from its folder."""
    names = ["vfn", "reasons", "end", "src_vm", "score", "rule", "decision"]
    (row,) = query.flows(archive, Filter(verdict="scan"), names).read_all().to_pylist()
    assert list(row.items()) == [
        ("vfn", "leaf1"), ("reasons", ["tried 30 services"]), ("end", START + 61), ("src_vm", "web1"), ("score", 80.0),
        ("rule", "r1"), ("decision", "denied"),
    ]  # fmt: skip
    everything = query.flows(archive, Filter()).read_all()
    assert everything.column_names == list(query.COLUMNS)


def test_nothing_found_has_its_columns(archive: Path) -> None:
    """An empty answer can be printed like any other."""
    names = ["start", "src_vm", "reasons", "vfn"]
    assert query.flows(archive, Filter(since=START + 9 * HOUR), names).read_all().column_names == names
    assert query.common(archive, Filter(since=START + 9 * HOUR)).read_all().column_names == list(COMMON_SCHEMA)


def test_the_common_schema_has_whole_flows(tmp_path: Path) -> None:
    """Parts of one flow, of several hours, are one row; flags are told one by one; another flow stays another."""
    first = judged([flow("web1", "db1", at=1, seconds=1, flags=2, src_pkts=1), flow("web1", "db1", at=1, src_port=9)])
    keep(tmp_path, 1, first)
    rest = judged([flow("web1", "db1", at=HOUR, seconds=HOUR - 1, flags=17, src_pkts=10)])
    parts = Parts(rest.parts.rows, first.parts.opened[:1], rest.parts.number + 1)
    keep(tmp_path, 2, Judged(parts, rest.decided, rest.score, rest.note, rest.notes))
    rows = query.common(tmp_path, Filter(vm="web1")).read_all().to_pylist()
    assert [(row["src_port"], row["end"]) for row in rows] == [(9, START + 1), (40_000, START + HOUR)]
    assert tuple(rows[1]) == COMMON_SCHEMA
    assert {name: rows[1][name] for name in ("start", "duration", "src_pkts", "dst_pkts", "proto", "app")} == {
        "start": START, "duration": HOUR, "src_pkts": 11, "dst_pkts": 4, "proto": "tcp", "app": "",
    }  # fmt: skip
    assert [rows[1][name] for name in ("syn", "fin", "rst", "ack", "psh")] == [1, 1, 0, 1, 0]


def test_complaints_say_what_and_where(archive: Path, tmp_path: Path) -> None:
    """No archive, an empty one, a column that there is not, a damaged file."""
    with pytest.raises(ArchiveError, match="there is no flow archive here"):
        ports(tmp_path / "nowhere")
    with pytest.raises(ArchiveError, match="empty so far"):
        ports(tmp_path)
    with pytest.raises(ArchiveError, match=r"no column dst_prt .*did you mean `dst_port`"):
        query.flows(archive, Filter(), ["dst_prt"])
    damaged = Partition("2027-01-15T08", "leaf1").folder(tmp_path)
    damaged.mkdir(parents=True)
    (damaged / "1-1.parquet").write_bytes(os.urandom(500))
    with pytest.raises(ArchiveError, match=r"cannot be read: .*1-1\.parquet"):
        ports(tmp_path)


def test_files_that_are_merged_while_one_asks_are_asked_again(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has gone since it was listed is no error: its rows are in another one."""
    listed = query._paths
    answers = iter([[*listed(archive, ["2027-01-15T08"]), str(archive / "gone.parquet")]])
    monkeypatch.setattr(query, "_paths", lambda folder, hours: next(answers, None) or listed(folder, hours))
    assert ports(archive, until=START + HOUR) == [3, 2, 1]


NASTY = st.sampled_from(["web1", "'", "'; DROP TABLE x; --", "$vm", "{source}", "{files}", '"', "%", "\x00", "é"])


@settings(max_examples=25)
@given(NASTY, NASTY, NASTY)
def test_no_text_is_taken_for_sql(archive: Path, vm: str, segment: str, verdict: str) -> None:
    """Names are compared, never executed."""
    found = ports(archive, vm=vm, segment=segment, verdict=verdict)
    assert found == []
