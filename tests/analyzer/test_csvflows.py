"""Recorded flows: their cells, and who is taken for the initiator."""

import csv
import gzip
import io
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.recordings import flow, write

from analyzer.csvflows import NEEDED, cells, read
from analyzer.flows import FlowState, address_halves, address_text
from analyzer.site import Site


@pytest.mark.parametrize(("counts", "opener"), [("0,40,0,2400", "10.0.0.9"), ("40,0,2400,0", "10.0.0.5")])
def test_without_ports_the_end_that_alone_has_sent_is_the_initiator(tmp_path: Path, counts: str, opener: str) -> None:
    """Exporters that know no ports name the ends in an order of their own."""
    rows = [flow(0.0, "10.0.0.5", "10.0.0.9", 0, counts, source_port=0, flags=",,,,")]
    batch = read(write(tmp_path / "test.csv", rows), Site.of([]))
    assert address_text(int(batch.rows["src_hi"][0]), int(batch.rows["src_lo"][0])) == opener
    assert batch.rows["src_pkts"][0] == 40
    assert batch.rows["state"][0] & FlowState.FAILED


def test_an_answer_that_nobody_asked_for_keeps_its_direction(tmp_path: Path) -> None:
    """With ports, what comes from a service alone is an answer: reflected, and not its target's doing."""
    rows = [flow(0.0, "203.0.113.7", "10.0.0.9", 50000, "9,0,540,0", source_port=80, flags="0,0,0,9,0")]
    batch = read(write(tmp_path / "test.csv", rows), Site.of([]))
    assert batch.rows["state"][0] & FlowState.ANSWERED_ONLY


@pytest.mark.parametrize(
    ("amounts", "flags", "opener"),
    [
        ("9,7,3000,600", "0,0,0,9,3", "10.0.0.9"),
        ("9,7,3000,600", "2,0,0,9,3", "10.0.0.5"),
        ("1,1,40,40", "0,1,1,1,0", "10.0.0.5"),
        ("9,0,3000,0", "0,0,0,9,3", "10.0.0.5"),
    ],
    ids=["a talk that goes on", "its beginning", "a probe that is refused", "one side alone"],
)
def test_a_talk_that_goes_on_was_begun_from_the_clients_port(
    tmp_path: Path, amounts: str, flags: str, opener: str
) -> None:
    """Where nobody saw its beginning; what one side did alone stays its doing."""
    rows = [flow(0.0, "10.0.0.5", "10.0.0.9", 50756, amounts, source_port=9292, flags=flags)]
    batch = read(write(tmp_path / "test.csv", rows), Site.of([]))
    assert address_text(int(batch.rows["src_hi"][0]), int(batch.rows["src_lo"][0])) == opener


def test_an_address_is_one_vm_however_it_is_spelled(tmp_path: Path) -> None:
    """IPv4 as IPv6 has it, IPv6 with zeros and capitals, MACs in capitals: one host, under its usual name."""
    spelled = [
        *("10.0.0.1", "::ffff:10.0.0.1", "0:0:0:0:0:FFFF:a00:1"),
        *("fd00::1", "FD00:0::0001", "02:00:00:00:00:0a", "02:00:00:00:00:0A"),
    ]
    site = Site.of([])
    rows = read(write(tmp_path / "test.csv", [flow(0.0, one, "10.0.0.9", 80, "9,7,90,90") for one in spelled]), site)
    assert rows.rows["src_vm"].tolist() == [1, 1, 1, 3, 3, 4, 4]
    assert site.names == ["", "10.0.0.1", "10.0.0.9", "fd00::1", "02:00:00:00:00:0a"]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_is_read_by_what_it_holds_and_once(tmp_path: Path, zipped: bool) -> None:
    """Gzipped or not, whatever its name says; a pipe as well, which can be read but once."""
    path = write(tmp_path / "test.csv", [flow(i, "10.0.0.5", "10.0.0.9", 80, "9,7,3000,600") for i in range(9)])
    content = gzip.compress(path.read_bytes()) if zipped else path.read_bytes()
    named = tmp_path / ("flows" if zipped else "flows.csv.gz")
    named.write_bytes(content)
    expected = cells(path)
    assert cells(named).equals(expected)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert cells(pipe).equals(expected)
    writer.join()


def test_networks_of_a_site_are_those_of_the_address_family() -> None:
    """By any prefix; all of IPv6 holds no IPv4 address, and a MAC is always inside."""
    texts = ("10.1.2.3", "192.0.2.5", "192.0.2.6", "2001:db8::5", "2001:db8::1:5", "fd00::1", "02:00:00:00:00:01")
    halves = np.array([address_halves(text) for text in texts], np.uint64)

    def inside(*networks: str) -> list[bool]:
        return list(Site.of(networks).inside(*halves.T))

    assert inside("192.0.2.5/32", "2001:db8::/112") == [False, True, False, True, False, False, True]
    assert inside("::/0") == [False, False, False, True, True, True, True]
    assert inside("0.0.0.0/0") == [True, True, True, False, False, False, True]


@pytest.mark.parametrize(
    ("amounts", "flags", "failed"),
    [
        ("2,2,141,80", "0,1,2,2,1", False),
        ("1,1,40,40", "0,1,1,1,0", True),
        ("1,1,40,40", "0,1,1,1,1", True),
        ("2,1,112,40", "1,0,1,2,0", True),
        ("2,0,141,0", "0,1,0,2,1", True),
    ],
    ids=["data and a goodbye", "FIN probe", "XMAS probe", "opening", "to nobody"],
)
def test_the_end_of_a_talk_that_is_reset_was_not_refused(
    tmp_path: Path, amounts: str, flags: str, failed: bool
) -> None:
    """A recording may begin after a connection did: what is left of it is no try of its server at a client's port."""
    rows = [flow(0.0, "203.0.113.7", "10.0.0.9", 38321, amounts, source_port=50443, flags=flags)]
    batch = read(write(tmp_path / "test.csv", rows), Site.of([]))
    assert bool(batch.rows["state"][0] & FlowState.FAILED) == failed


CELLS = st.lists(st.lists(st.text("a1 ,\"'é\n", max_size=3), min_size=len(NEEDED), max_size=len(NEEDED)), max_size=4)


@settings(max_examples=25)
@given(CELLS, st.booleans(), st.booleans())
def test_cells_are_read_as_they_were_written(rows: list[list[str]], zipped: bool, cut: bool) -> None:
    """Whatever stands in them, zipped or not, also where the last line lacks a cell: that one is then empty."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerows([NEEDED, *rows])
    if cut:
        rows = [*rows, ["1"] * (len(NEEDED) - 1)]
        writer.writerow(rows[-1])
    text = written.getvalue().encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flows.csv.gz" if zipped else "flows.csv")
        path.write_bytes(gzip.compress(text) if zipped else text)
        found = cells(path)
    assert list(found.columns) == list(NEEDED)
    assert found.to_numpy().tolist() == [[*row, *[""] * (len(NEEDED) - len(row))] for row in rows]
