"""`dynseg import`: files in, one CSV or one each out, complaints on the side."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main

HEAD = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,Label"
ROW = "2011/08/10 09:46:5{},1,udp,10.0.0.{},1027,<->,198.51.100.9,53,CON,0,0,4,400,240,"


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Two logs of the same name and a file that is none."""
    made = []
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        made.append(tmp_path / folder / "net.binetflow")
        made[-1].write_text("\n".join([HEAD, ROW.format(5 - number, 1), ROW.format(7, 2), "2011/08/10,1"]))
    (tmp_path / "notes.txt").write_text("nothing to see")
    return [*made, tmp_path / "notes.txt"]


def run(*arguments: Path | str) -> Result:
    return CliRunner().invoke(main, ["import", *map(str, arguments)])


@pytest.mark.parametrize("name", ["flows.csv", "flows.csv.gz"])
def test_all_into_one(logs: list[Path], tmp_path: Path, name: str) -> None:
    """Ordered by end; what was left out is told; replay reads it."""
    out = tmp_path / name
    result = run(*logs[:2], "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{logs[0]}: 2 flows, 1 things left out" in result.stdout
    assert "4 flows of 2 hosts inside" in result.stdout
    assert f"dynseg: {logs[0]}:4: has only some of its 15 columns" in result.stderr
    text = gzip.decompress(out.read_bytes()).decode() if name.endswith("gz") else out.read_text()
    ends = [float(line.split(",")[1]) for line in text.splitlines()[1:]]
    assert ends == sorted(ends)
    assert len(ends) == 4
    done = CliRunner().invoke(main, ["replay", str(out), "--out", str(tmp_path / "result")])
    assert done.exit_code == 0, done.output


def test_one_each_into_a_folder(logs: list[Path], tmp_path: Path) -> None:
    """Named after their files, and numbered where those are called alike; a refused file makes status 1."""
    result = run(*logs, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "notes.txt: is of no kind that can be imported" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "net.binetflow-2.csv.gz",
        "net.binetflow.csv.gz",
    ]


def test_whose_hosts_are_inside_can_be_said(logs: list[Path], tmp_path: Path) -> None:
    """With other networks other hosts are the site's own; what is no network is refused."""
    assert (
        "4 flows of 1 hosts inside"
        in run(*logs[:2], "--internal", "198.51.100.0/24", "--out", tmp_path / "x.csv").stdout
    )
    wrong = run(logs[0], "--internal", "here", "--out", tmp_path / "x.csv")
    assert (wrong.exit_code, "--internal" in wrong.stderr) == (1, True)


def test_a_place_that_cannot_be_written_is_named(logs: list[Path], tmp_path: Path) -> None:
    """A file where a folder should be."""
    result = run(logs[0], "--out", tmp_path / "notes.txt" / "x.csv")
    assert result.exit_code == 1
    assert "notes.txt" in result.stderr
    assert "cannot be written" in result.stderr


def test_nothing_readable_writes_nothing(logs: list[Path], tmp_path: Path) -> None:
    """Only refused files: no output, status 1."""
    result = run(logs[2], "--out", tmp_path / "x.csv")
    assert (result.exit_code, (tmp_path / "x.csv").exists()) == (1, False)
