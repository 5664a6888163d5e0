"""`dynseg flows` on an archive; asking the analyzer's memory is in test_asking."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.archived import ENCODER, flow, judged
from support.telemetry import START

from analyzer.archive import files
from analyzer.archive.decisions import Decision
from analyzer.archive.files import Partition
from analyzer.archive.schema import Note
from cli.flows import SHOWN
from cli.main import main


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with an archive: 60 flows of web1 that are right, one of web2 that is not."""
    folder = tmp_path_factory.mktemp("state")
    good = judged([flow("web1", "db1", at=i, src_port=1000 + i) for i in range(60)])
    note = Note("scan", ("tried 30 services", 'half of them "failed"'))
    bad = judged([flow("web2", "203.0.113.66", at=100, flags=2)], Decision.DENIED, 91.0, note, "abc")
    for number, batch in enumerate((good, bad)):
        for place, table in ENCODER.split(batch).items():
            files.write(Partition(*place).folder(folder / "flows"), number, table)
    return folder


def run(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["flows", *arguments], env={"DYNSEG_STATE_DIR": str(state), "DYNSEG_CONFIG": None})


def test_a_table_of_the_newest(state: Path) -> None:
    """Without options: the latest flows of all VMs, a screenful."""
    result = run(state)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 1 + SHOWN
    assert lines[0].split()[:3] == ["start", "end", "proto"]
    assert "web2" in lines[1]
    assert 'scan       tried 30 services; half of them "failed"' in lines[1]


def test_json_for_programs(state: Path) -> None:
    """Objects with the columns that were asked for; a VM may be named in either way."""
    for named in (["--vm", "web2"], ["web2", "--min-risk", "50"]):
        result = run(state, *named, "--json", "--columns", "end,src_vm,score,reasons")
        assert json.loads(result.stdout) == [
            {
                "end": START + 100,
                "src_vm": "web2",
                "score": 91.0,
                "reasons": ["tried 30 services", 'half of them "failed"'],
            }
        ]


def test_csv_has_everything(state: Path) -> None:
    """No limit unless asked for; lists joined, quotes quoted."""
    rows = list(csv.DictReader(io.StringIO(run(state, "--csv").stdout)))
    assert len(rows) == 61
    assert rows[0]["reasons"] == 'tried 30 services; half of them "failed"'
    assert rows[1]["reasons"] == ""
    assert len(run(state, "--csv", "--limit", "7").stdout.splitlines()) == 8


def test_the_common_schema_is_what_replay_reads(state: Path, tmp_path: Path) -> None:
    """What comes out goes into replay as it is."""
    result = run(state, "--common-schema", "--since", str(START + 10), "--vm", "web1")
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "start,end,duration,proto,src_ip,src_port,dst_ip,dst_port,src_pkts,dst_pkts,src_bytes,dst_bytes,"
        "syn,fin,rst,ack,psh,app"
    )
    assert len(lines) == 51
    (tmp_path / "flows.csv").write_text(result.stdout)
    done = CliRunner().invoke(main, ["replay", str(tmp_path / "flows.csv"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "out" / "scores.csv").read_text().splitlines()) == 51


@pytest.mark.parametrize(
    ("since", "rows"),
    [
        ("2027-01-15T08:01:40+00:00", 1),
        (str(START + 59), 2),
        (f"{START + 58.5:.1f}", 2),
        ("40000d", 61),
    ],
)
def test_times_are_written_in_several_ways(state: Path, since: str, rows: int) -> None:
    """ISO 8601, epoch seconds, and an age."""
    assert len(run(state, "--csv", "--since", since).stdout.splitlines()) == 1 + rows


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--since", "yesterday"], 2, "'yesterday' is no time; write 2026-11-22T10:00"),
        (["--since", "2027-13-01"], 2, "'2027-13-01' is no time"),
        (["--until", "9" * 30], 2, "is no time"),
        (["--since", "1h", "--until", "2h"], 2, "--until is not later than --since"),
        (["--columns", "start,size"], 1, "dynseg: --columns: there is no column size"),
        (["--decision", "maybe"], 2, "'maybe' is not one of"),
        (["--min-risk", "200"], 2, "200"),
        (["web1", "--vm", "web2"], 2, "web1 and --vm web2 are two VMs; give one"),
        (["--csv", "--common-schema"], 2, "give one of --json, --csv and --common-schema"),
        (["--archive", "nowhere"], 1, "dynseg: nowhere: there is no flow archive here"),
    ],
)
def test_mistakes_are_named(state: Path, arguments: list[str], status: int, said: str) -> None:
    """One line that says what to write instead."""
    result = run(state, *arguments)
    assert result.exit_code == status
    assert said in " ".join(result.stderr.split())


def test_an_archive_without_flows_says_so(tmp_path: Path) -> None:
    """Before the first flow has ended."""
    (tmp_path / "flows").mkdir()
    result = run(tmp_path)
    assert (result.exit_code, "empty so far" in result.stderr) == (1, True)


def test_a_vm_that_is_not_there_is_no_vm_without_flows(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is wrong where neither archive nor inventory have it; without an inventory nobody can tell."""
    assert run(state, "--vm", "web9").stdout == "none\n"
    file = tmp_path / "inventory.yaml"
    file.write_text(
        "segments: {web: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
        "  web3: {segment: web, vfn: v1, port: a, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    )
    monkeypatch.setenv("DYNSEG_INVENTORY", str(file))
    assert run(state, "--vm", "web3").stdout == "none\n"
    assert run(state, "--vm", "web1").exit_code == 0, "it was one once"
    refused = run(state, "--vm", "web9")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "dynseg: no flow of a VM 'web9', and none in the inventory (did you mean `web3`? known: web3)\n",
    )
