"""Replay of recorded flows: causal, strict about its input, and sane on real captures."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recordings import HEADER, office, row, write

from analyzer import core, replay
from analyzer.csvflows import NEEDED, read
from analyzer.flows import FlowState, address_text
from analyzer.site import FlowFileError, Site

GOOD = "1.0,2.0,1.0,tcp,10.0.0.1,40000,10.0.0.2,80,5,4,500,4000,1,1,0,8,2,HTTP"


Rule = dict[str, Any]


def run(folder: Path, test: Path, train: list[Path], internal: Sequence[str] = ()) -> tuple[list[float], list[Rule]]:
    """Scores and rules."""
    replay.run(test, train, internal, folder)
    scores = pd.read_csv(folder / "scores.csv")
    assert list(scores.columns) == ["score"]
    return scores["score"].tolist(), [json.loads(line) for line in (folder / "rules.jsonl").read_text().splitlines()]


@dataclass(frozen=True)
class Recording:
    """Files and what replay makes of them."""

    train: Path
    test: Path
    rows: list[str]
    """Of the test file, without header."""
    scores: list[float]
    rules: list[Rule]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Five minutes of office each, a scan of 400 ports in the second."""
    folder = tmp_path_factory.mktemp("recording")
    scan = [row(1000.0 + i / 100, "10.0.0.105", f"10.0.0.{100 + i % 10}", 1 + i, failed=True) for i in range(400)]
    train = write(folder / "train.csv", office(0, 300, 1))
    test = write(folder / "test.csv", [*office(900, 300, 2), *scan])
    return Recording(train, test, test.read_text().splitlines()[1:], *run(folder / "out", test, [train]))


def test_a_scanner_is_isolated_and_nobody_else(recording: Recording) -> None:
    """The scan leads to a first step and an isolation, soon; its flows score above nearly all others."""
    acting = [rule for rule in recording.rules if rule["action"] != "alert"]
    steps = [("restrict", "10.0.0.105"), ("isolate", "10.0.0.105")]
    assert [(rule["action"], rule["subject"]) for rule in acting] == steps
    assert 1000 <= acting[0]["time"] <= 1003
    assert "searching" in acting[0]["reasons"][0]
    assert "scan" in " ".join(acting[1]["reasons"])
    assert len(recording.scores) == len(recording.rows)
    is_scan = np.array([",1,1,60,40," in r for r in recording.rows])
    values = np.array(recording.scores)
    assert ((values >= 0) & (values <= 100)).all()
    assert np.median(values[is_scan]) > np.quantile(values[~is_scan], 0.99)


@pytest.mark.parametrize("share", [0.0, 0.501, 0.54, 0.9])
def test_a_prefix_gives_the_prefix_of_the_output(recording: Recording, tmp_path: Path, share: float) -> None:
    """Cut off anywhere, the recording gives the same scores and rules up to there: nothing looks ahead."""
    rows = recording.rows
    count = int(share * len(rows))
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress("\n".join([HEADER, *rows[:count]]).encode()))
    some, early = run(tmp_path / "out", cut, [recording.train])
    assert some == recording.scores[:count]
    assert early == recording.rules[: len(early)]
    last = float(rows[count - 1].split(",")[1]) if count else 0.0
    assert len(early) >= sum(rule["time"] < last - replay.STEP_SECONDS for rule in recording.rules)


@pytest.mark.parametrize(("name", "value"), [("AT_ONCE", 1), ("WORTH_A_THREAD", 1 << 30)])
def test_how_it_is_worked_on_changes_nothing(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    """Scores and rules are the same when few steps are worked on at once, or in one thread; also while learning."""
    assert len(recording.rows) > 2 * core.CORRECTED >= core.WORTH_A_THREAD
    monkeypatch.setattr(core, name, value)
    scores, rules = run(tmp_path / "few", recording.test, [recording.train])
    assert scores == pytest.approx(recording.scores, abs=1e-3)
    assert rules == recording.rules


def test_without_training_a_blatant_scan_is_still_seen(recording: Recording, tmp_path: Path) -> None:
    """Prior knowledge is enough for the obvious."""
    _, rules = run(tmp_path, recording.test, [])
    assert ("isolate", "10.0.0.105") in {(rule["action"], rule["subject"]) for rule in rules}


def test_names_and_times_play_no_role(recording: Recording, tmp_path: Path) -> None:
    """The same recording on another network and in another year gives the same scores and rules."""
    moved = []
    for file in (recording.train, recording.test):
        lines = [line.split(",") for line in file.read_text().splitlines()[1:]]
        for cells in lines:
            cells[0], cells[1] = (f"{float(t) + 7_200_000:.6f}" for t in cells[:2])
            cells[4], cells[6] = (ip.replace("10.0.0.", "172.20.9.") for ip in (cells[4], cells[6]))
        moved.append(write(tmp_path / file.name, [",".join(cells) for cells in lines]))
    there, others = run(tmp_path / "there", moved[1], [moved[0]])
    assert there == pytest.approx(recording.scores, abs=1e-3)
    assert [(r["action"], r["reasons"]) for r in others] == [(r["action"], r["reasons"]) for r in recording.rules]


def test_internal_networks_say_who_is_judged(tmp_path: Path) -> None:
    """A scanner outside `--internal` is denied by address, one inside is isolated."""
    scan = [row(1000.0 + i / 100, "192.0.2.7", f"10.0.0.{100 + i % 10}", 1 + i, failed=True) for i in range(300)]
    test = write(tmp_path / "test.csv", [*office(700, 400, 2), *scan])
    _, outside = run(tmp_path / "a", test, [], ["10.0.0.0/8"])
    _, inside = run(tmp_path / "b", test, [], ["10.0.0.0/8", "192.0.2.0/24"])
    assert {r["action"] for r in outside if r["subject"] == "192.0.2.7"} >= {"deny"}
    assert {r["action"] for r in inside if r["subject"] == "192.0.2.7"} >= {"isolate"}


def test_rows_are_read_as_meant(tmp_path: Path) -> None:
    """Protocols, MACs, empty cells, refusals and flows recorded from the answering side come out right."""
    lines = [
        GOOD,
        "1.0,1.0,0,arp,b8:27:eb:15:88:9c,,ff:ff:ff:ff:ff:ff,,4,0,240,0,,,,,,",
        "1,1,0,tcp,10.0.0.1,40000,10.0.0.2,81,1,1,60,40,1,0,1,1,0,-",
        "1,1,0,tcp,10.0.0.9,21,192.0.2.1,40000,9,8,900,400,0,2,0,9,9,FTP",
        '1,1,0,udp,192.0.2.5,161,10.0.0.2,40000,1,0,1400,0,,,,,,"a,b"',
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([HEADER, *lines]))
    rows = read(path, Site.of([])).rows
    assert rows["proto"].tolist() == [6, 255, 6, 6, 17]
    assert address_text(int(rows[1]["src_hi"]), int(rows[1]["src_lo"])) == "b8:27:eb:15:88:9c"
    assert (rows["dst_segment"][1], rows["src_vm"][1] > 0) == (-1, True)
    assert (rows["state"] & FlowState.FAILED != 0).tolist() == [False, False, True, False, False]
    turned = rows[3]
    assert (turned["src_vm"], turned["dst_port"], turned["src_pkts"], turned["dst_bytes"]) == (0, 21, 8, 900)
    assert int(rows[4]["state"]) & FlowState.ANSWERED_ONLY


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "cannot be read"),
        (HEADER.replace("dst_ip,", ""), ":1: has no column dst_ip"),
        (f"{HEADER}\n{GOOD}\n{GOOD.replace('80', 'http')}", ":3: dst_port: 'http' is no number"),
        (f"{HEADER}\n{GOOD.replace('40000', '70000')}", ":2: src_port: '70000' is no number between 0 and 65535"),
        (f"{HEADER}\n{GOOD.replace(',5,', ',-5,')}", ":2: src_pkts: '-5'"),
        (f"{HEADER}\n{GOOD.replace('1.0,2.0', ',2.0')}", ":2: start: ''"),
        (f"{HEADER}\n{GOOD.replace('1.0,2.0', '3.0,2.0')}", ":2: end: is before start"),
        (f"{HEADER}\n{GOOD.replace('1.0,2.0', '1.0,nan')}", ":2: end: 'nan'"),
        (f"{HEADER}\n{GOOD.replace('10.0.0.2', '10.0.0.256')}", ":2: dst_ip: '10.0.0.256' is no address"),
        (f"{HEADER}\n{GOOD.replace('tcp', '')}", ":2: proto: is empty"),
        (f"{HEADER}\n{GOOD}\n{GOOD},1,2", ":3: not a table"),
        (f"{HEADER}\n{GOOD}\n1.0,2.0", ":3: proto: is empty"),
    ],
)
def test_wrong_files_are_named_by_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    """Whatever is wrong, the message says where."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(FlowFileError) as error:
        read(path, Site.of([]))
    assert str(error.value).startswith(f"{path}")
    assert place in str(error.value)


def test_damaged_archives_and_missing_files_are_named(tmp_path: Path) -> None:
    """No gzip, cut gzip, no file, binary: a FlowFileError that names the file."""
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}".encode())[:-12])
    fake = tmp_path / "fake.csv.gz"
    fake.write_bytes(b"no gzip at all")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(bytes(range(256)) * 20)
    for path in (cut, fake, binary, tmp_path / "none.csv"):
        with pytest.raises(FlowFileError, match=path.name):
            read(path, Site.of([]))


def test_wrong_networks_are_refused() -> None:
    """`--internal` must be networks."""
    with pytest.raises(FlowFileError, match="--internal"):
        Site.of(["10.0.0.1/8", "x"])


CELL = st.sampled_from(["", "1", "-1", "1e400", "nan", "10.0.0.1", "x", "\x00", '"', "65536", "fe80::1", "tcp", "٣"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CELL, min_size=17, max_size=19), max_size=4))
def test_no_cells_upset_the_reader(tmp_path: Path, rows: list[list[str]]) -> None:
    """Any cells at all are either read as flows or refused as a FlowFileError, never anything else."""
    path = tmp_path / "fuzz.csv"
    path.write_text("\n".join([HEADER, GOOD, *(",".join(cells) for cells in rows)]))
    try:
        batch = read(path, Site.of([]))
    except FlowFileError as error:
        assert str(path) in str(error)
    else:
        assert np.isfinite(batch.rows["end"]).all()
        assert set(NEEDED) <= set(HEADER.split(","))


def test_a_real_scan_on_real_traffic(root_dir: Path, tmp_path: Path) -> None:
    """Nmap against real benign devices: the scanner's rows stand out, and it is the only one acted on."""
    traffic = root_dir.parent / "shared" / "traffic"
    if not traffic.is_dir():
        pytest.skip("no recorded traffic beside the project")
    benign = pd.read_csv(traffic / "iot_sentinel_benign" / "flows.csv.gz", dtype=str, keep_default_na=False).head(3000)
    attack = pd.read_csv(traffic / "nmap_tcp_connect_scan" / "flows.csv.gz", dtype=str, keep_default_na=False)
    shift = float(benign["start"].iloc[2000]) - float(attack["start"].iloc[0])
    for name in ("start", "end"):
        attack[name] = (attack[name].astype(float) + shift).map("{:.6f}".format)
    test = pd.concat([benign.iloc[1500:], attack]).drop(columns=["label", "label_detail"])
    test = test.iloc[np.argsort(test["end"].astype(float), kind="stable")]
    benign.iloc[:1500].drop(columns=["label", "label_detail"]).to_csv(tmp_path / "train.csv", index=False)
    test.to_csv(tmp_path / "test.csv", index=False)
    _, rules = run(tmp_path / "out", tmp_path / "test.csv", [tmp_path / "train.csv"])
    assert {rule["subject"] for rule in rules if rule["action"] != "alert"} == {"192.168.1.10"}
