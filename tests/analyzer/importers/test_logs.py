"""Zeek's and argus' logs: read as meant, wrong lines named and left out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer import csvflows
from analyzer.flows import ACK, FIN, RST, SYN, FlowState, address_text
from analyzer.importers import files
from analyzer.importers.columns import COLUMNS
from analyzer.importers.files import Imported
from analyzer.site import FlowFileError, Site


def cells(text: str) -> list[str]:
    return text.split()


FIELDS = cells(
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state "
    "missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents"
)
WEB = cells("1600000000.5 C1 10.0.0.5 41000 198.51.100.7 443 tcp ssl 2.25 700 9000 SF 0 ShADadFf 8 1120 10 9520 -")
LONE = cells("1600000001.0 C2 10.0.0.6 41001 10.0.0.9 23 tcp - - - - S0 0 S 1 60 0 0 (empty)")
DNS = cells("1600000000.1 C3 fd00::5 5353 2001:db8::53 53 udp dns 0.01 40 90 SF 0 Dd 1 88 1 138 -")
ARGUS = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,Label"


def zeek(*rows: list[str], fields: list[str] = FIELDS) -> str:
    head = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tconn"]
    return "\n".join([*head, "\t".join(["#fields", *fields]), *("\t".join(row) for row in rows), "#close\tnow"]) + "\n"


def as_json(row: list[str], nested: bool = False) -> str:
    """The row as Zeek writes it with `LogAscii::use_json`."""
    entry: dict[str, Any] = {name: cell for name, cell in zip(FIELDS, row, strict=True) if cell not in ("-", "(empty)")}
    for name in ("ts", "duration"):
        entry |= {name: float(entry[name])} if name in entry else {}
    for name in ("id.orig_p", "id.resp_p", "orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes"):
        entry[name] = int(entry[name])
    if nested:
        entry["id"] = {name[3:]: entry.pop(name) for name in [n for n in entry if n.startswith("id.")]}
    return json.dumps(entry)


def imported(path: Path, text: str | bytes) -> Imported:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return files.read(path, Site.of([]))


@pytest.mark.parametrize("form", ["tsv", "tsv.gz", "json", "nested", "twice"])
def test_zeek_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    """TSV with a header, gzipped, one log after the other, JSON lines flat or nested: the same flows by their end."""
    rows = (WEB, LONE, DNS)
    text = {
        "json": "\n".join(map(as_json, rows)),
        "nested": "\n".join(as_json(row, nested=True) for row in rows) + "\n",
        "twice": zeek(WEB) + zeek(LONE, DNS),
    }.get(form, zeek(*rows))
    found = imported(tmp_path / "conn.log", gzip.compress(text.encode()) if form.endswith("gz") else text)
    assert found.faults.told() == []
    dns, lone, web = found.batch.rows
    assert (web["start"], web["end"]) == (1600000000.5, 1600000002.75)
    assert address_text(int(web["src_hi"]), int(web["src_lo"])) == "10.0.0.5"
    assert [int(web[name]) for name in ("src_port", "dst_port", "src_pkts", "dst_pkts", "src_bytes", "dst_bytes")] == [
        41000, 443, 8, 10, 1120, 9520,
    ]  # fmt: skip
    assert int(web["flags"]) & (SYN | FIN | RST | ACK) == SYN | FIN
    assert (int(web["state"]) & FlowState.FAILED, int(lone["state"]) & FlowState.FAILED) == (0, FlowState.FAILED)
    assert (int(dns["proto"]), int(dns["dst_port"])) == (17, 53)
    assert float(dns["end"] - dns["start"]) == pytest.approx(0.01)
    cells = found.table.iloc[2]
    assert list(found.table.columns) == list(COLUMNS)
    assert [cells[name] for name in ("syn", "fin", "rst", "ack", "psh", "app")] == ["2", "2", "0", "", "2", "ssl"]


def test_zeek_without_ip_bytes_uses_payload_bytes(tmp_path: Path) -> None:
    """Where a log has no `*_ip_bytes`."""
    kept = [i for i, name in enumerate(FIELDS) if not name.endswith("ip_bytes")]
    found = imported(tmp_path / "c", zeek([WEB[i] for i in kept], fields=[FIELDS[i] for i in kept]))
    assert (int(found.batch.rows[0]["src_bytes"]), int(found.batch.rows[0]["dst_bytes"])) == (700, 9000)


def test_iso_times_of_zeek(tmp_path: Path) -> None:
    """`JSON::TS_ISO8601` is UTC."""
    line = as_json(WEB).replace("1600000000.5", '"2020-09-13T12:26:40.500000Z"')
    assert imported(tmp_path / "c", line).batch.rows[0]["start"] == 1600000000.5


def test_wrong_lines_of_zeek_cost_only_themselves(tmp_path: Path) -> None:
    """Cut off, not a number, no address, a port too large: named with its line, counted, the rest is read."""
    other = [*WEB]
    other[3] = "http"
    far = [*WEB]
    far[5] = "70000"
    nowhere = [*WEB]
    nowhere[2] = "10.0.0.256"
    back = [*WEB]
    back[8] = "-1"
    text = zeek(WEB, WEB[:9], other, far, nowhere, nowhere, back, LONE)
    found = imported(tmp_path / "conn.log", text + "\t".join(WEB[:4]))
    assert len(found.batch) == 2
    told = found.faults.told()
    at = f"{tmp_path / 'conn.log'}:"
    assert told[0] == f"{at}8: has only some of its 19 fields: a line that was cut off (2 times)"
    assert f"{at}13: its duration is none: '-1'" in told
    assert f"{at}9: src_port is no number: 'http'" in told
    assert f"{at}10: dst_port is no number: '70000'" in told
    assert f"{at}11: src_ip is no address: '10.0.0.256' (2 times)" in told
    assert sum(found.faults.counts.values()) == 7


def test_wrong_json_lines_cost_only_themselves(tmp_path: Path) -> None:
    """Half an object, something else than an object, an object without a needed key."""
    lacking = as_json(WEB).replace("orig_pkts", "pkts")
    found = imported(tmp_path / "c", "\n".join([as_json(WEB), "[1]", lacking, as_json(LONE)[:40]]))
    assert len(found.batch) == 1
    assert [line.split(": ", 1)[1] for line in found.faults.told()] == [
        "is no JSON object",
        "has no orig_pkts",
        "is no JSON: a line that was cut off",
    ]


def argus(*rows: str, head: str = ARGUS) -> str:
    return "\n".join([head, *rows]) + "\n"


def test_argus_is_read_as_meant(tmp_path: Path) -> None:
    """Packets divided like bytes, hexadecimal ports of ICMP, flows seen from the right end, flags by letters."""
    rows = (
        "2011/08/10 09:46:53.5,10.5,tcp,10.0.0.84,1027,   <?>,198.51.100.9,443,FSPA_FSPA,0,0,40,10000,2500,flow=x",
        "2011/08/10 09:46:59.0,0.000000,icmp,10.0.0.84,0x0008,   ->,198.51.100.1,0x0303,ECO,0,,1,98,98,",
        "2011/08/10 09:47:00.0,1.0,tcp,198.51.100.9,80,   <-,10.0.0.84,1028,SA_SRA,0,0,3,180,60,",
        "2011/08/10 09:47:02.0,0.0,arp,10.0.0.84,,  who,10.0.0.1,,INT,,,1,60,60,",
    )
    found = imported(tmp_path / "a.binetflow", argus(*rows))
    assert found.faults.told() == []
    echo, back, asked, web = (found.batch.rows[i] for i in range(4))
    assert web["end"] == 1312969624.0
    assert [int(web[n]) for n in ("src_pkts", "dst_pkts", "src_bytes", "dst_bytes")] == [10, 30, 2500, 7500]
    assert int(web["flags"]) & (SYN | FIN) == SYN | FIN
    assert int(web["state"]) & FlowState.FAILED == 0
    assert (int(echo["proto"]), int(echo["src_port"])) == (1, 0)
    assert [int(back[n]) for n in ("src_port", "dst_port", "src_bytes", "dst_bytes")] == [1028, 80, 120, 60]
    assert int(asked["proto"]) == 255


def test_argus_with_packets_of_each_side(tmp_path: Path) -> None:
    """Told, they are taken."""
    head = ARGUS.replace("SrcBytes,Label", "SrcBytes,SrcPkts,DstPkts")
    row = "1312969613.5,1,udp,10.0.0.84,1027,<->,198.51.100.9,53,CON,0,0,40,10000,2500,39,1"
    found = imported(tmp_path / "a", argus(row, head=head)).batch.rows[0]
    assert (int(found["src_pkts"]), int(found["dst_pkts"]), found["start"]) == (39, 1, 1312969613.5)


def test_wrong_lines_of_argus_cost_only_themselves(tmp_path: Path) -> None:
    """A cut line, words for numbers, more source bytes than bytes."""
    good = "2011/08/10 09:46:53.5,1,tcp,10.0.0.84,1027,->,198.51.100.9,443,S_,0,0,4,400,240,"
    rows = (
        good,
        good[:40],
        good.replace("4,400", "4,many"),
        good.replace("4,400", "4,100"),
        good.replace("2011", "when"),
    )
    found = imported(tmp_path / "a", argus(*rows))
    assert len(found.batch) == 1
    assert [line.removeprefix(f"{tmp_path / 'a'}:") for line in sorted(found.faults.told())] == [
        "3: has only some of its 15 columns: a line that was cut off",
        "4: dst_bytes is no number: 'many' (2 times)",
        "6: its start is no time: 'when/08/10 09:46:53.5'",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (zeek(WEB, fields=["time", *FIELDS[1:]]), r":6: has no field ts \(a conn.log has ts, "),
        (argus("x", head=ARGUS.replace("SrcBytes,", "")), r":1: has no column srcbytes \(a binetflow has StartTime"),
        ("#separator \\x09\n1\t2\n", ":2: flows before any #fields"),
        ("", "is empty"),
        ("some words\n", "is of no kind that can be imported .*conn.log"),
        ("\x00\x01\x02", "is of no kind"),
    ],
)
def test_files_that_cannot_be_read_at_all(tmp_path: Path, text: str, said: str) -> None:
    """A missing column, nothing, something else: an error that names file and remedy."""
    with pytest.raises(FlowFileError, match=said) as error:
        imported(tmp_path / "file.log", text)
    assert str(error.value).startswith(str(tmp_path / "file.log"))


def test_a_gzip_that_breaks_off_is_read_that_far(tmp_path: Path) -> None:
    """What was before the break is there, and the break is told."""
    packed = gzip.compress(zeek(*[[f"{1600000000 + i}.{i * 7919 % 1000}", *WEB[1:]] for i in range(5000)]).encode())
    found = imported(tmp_path / "conn.log.gz", packed[: len(packed) // 2])
    assert 1000 < len(found.batch) < 4000
    assert any("breaks off, the rest is lost" in line for line in found.faults.told())


def test_a_file_without_flows_is_no_mistake(tmp_path: Path) -> None:
    """A log of a silent network."""
    found = imported(tmp_path / "c", zeek())
    assert (len(found.batch), found.faults.told()) == (0, [])


def test_what_is_written_is_read_by_replay(tmp_path: Path) -> None:
    """Several files become one, ordered by end; a failure leaves nothing half-written."""
    first, second = imported(tmp_path / "a", zeek(WEB, DNS)), imported(tmp_path / "b", zeek(LONE))
    out = tmp_path / "made" / "flows.csv.gz"
    files.write(out, [first.table, second.table])
    batch = csvflows.read(out, Site.of([]))
    assert batch.rows["end"].tolist() == sorted([*first.batch.rows["end"], *second.batch.rows["end"]])
    assert [path.name for path in out.parent.iterdir()] == ["flows.csv.gz"]
    with pytest.raises(OSError, match="directory"):
        files.write(tmp_path / "made", [first.table])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


CELL = st.one_of(
    st.sampled_from([*WEB, *LONE, "", "-", "nan", "1e400", "-5", "\x00", '"', "٣", "fe80::1%eth0"]), st.text()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["zeek", "argus", "json"]), st.lists(st.lists(CELL, min_size=14, max_size=20), max_size=4))
def test_no_cells_upset_the_import(tmp_path: Path, kind: str, rows: list[list[str]]) -> None:
    """Any cells at all are flows, or counted as left out; what is left can always be analyzed."""
    if kind == "zeek":
        text = zeek(WEB, *rows)
    elif kind == "argus":
        text = argus(
            "1312969613.5,1,udp,10.0.0.84,1,->,10.0.0.9,53,CON,0,0,4,100,25,", *(",".join(row) for row in rows)
        )
    else:
        entries = [dict(zip(FIELDS, row, strict=False)) for row in rows]
        text = "\n".join([as_json(WEB), *map(json.dumps, entries)])
    found = imported(tmp_path / "fuzz", text.encode("utf-8", "replace"))
    assert len(found.batch) >= 1
    assert len(found.batch) == len(found.table)
