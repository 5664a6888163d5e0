"""Captures: flows by nfstream, cut ones as far as they go, and a meter that breaks down hangs nobody."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.captures import Packet, arp, pcap, pcapng, talk

from analyzer.flows import ACK, FIN, PSH, SYN, address_text
from analyzer.importers import capture, files
from analyzer.importers.files import Imported
from analyzer.importers.framing import count_packets
from analyzer.site import FlowFileError, Site

BEGIN = 1_600_000_000.0
TALKS = [*talk("10.0.0.5", "10.0.0.9", 41000, BEGIN), *talk("fd00::5", "2001:db8::9", 41001, BEGIN + 5)]


def imported(path: Path, content: bytes) -> Imported:
    path.write_bytes(content)
    return files.read(path, Site.of([]))


@pytest.mark.parametrize(
    "form", ["pcap", "pcapng", pytest.param("big", marks=pytest.mark.slow), pytest.param("gz", marks=pytest.mark.slow)]
)
def test_captures_become_flows(tmp_path: Path, form: str) -> None:
    """Both families, either byte order, pcapng, gzipped: packets, IP bytes, flags and times; ARP is counted apart."""
    packets: list[Packet] = [*TALKS[:3], (BEGIN + 0.25, arp()), *TALKS[3:]]
    plain = pcap(packets)
    content = {"big": pcap(packets, order=">"), "pcapng": pcapng(packets), "gz": gzip.compress(plain)}.get(form, plain)
    found = imported(tmp_path / "capture", content)
    first, second = found.batch.rows
    assert [int(first[name]) for name in ("src_pkts", "dst_pkts", "src_port", "dst_port")] == [4, 3, 41000, 80]
    assert [int(first[name]) for name in ("src_bytes", "dst_bytes")] == [4 * 40 + 100, 3 * 40 + 500]
    assert (first["start"], first["end"]) == (BEGIN, pytest.approx(BEGIN + 0.6))
    assert int(first["flags"]) == SYN | ACK | PSH | FIN
    assert address_text(int(second["src_hi"]), int(second["src_lo"])) == "fd00::5"
    assert found.faults.told() == [f"{tmp_path / 'capture'}: packets that belong to no IP flow"]


@pytest.mark.parametrize("make", [pcap, pytest.param(pcapng, marks=pytest.mark.slow)])
def test_a_capture_that_was_cut_is_read_that_far(tmp_path: Path, make: Callable[[list[Packet]], bytes]) -> None:
    """In the middle of the last packet: the flows before are there, and where it broke off is told."""
    found = imported(tmp_path / "cut.pcap", make(TALKS)[:-20])
    assert len(found.batch) == 2
    assert found.batch.rows["dst_pkts"].tolist() == [3, 2]
    place = "in packet 14" if make is pcap else "after packet 13"
    assert found.faults.told() == [f"{tmp_path / 'cut.pcap'}: breaks off {place}"]


def test_links_without_flows_give_none(tmp_path: Path) -> None:
    """USB traffic is a capture, too: no flows, and it is told that no packet belongs to one."""
    found = imported(tmp_path / "usb.pcap", pcap(TALKS, link=189))
    assert len(found.batch) == 0
    assert found.faults.counts == {"packets that belong to no IP flow": 14}


def test_a_broken_header_is_refused(tmp_path: Path) -> None:
    """Nothing but the first bytes of a capture: an error with the file's name, not an empty answer."""
    with pytest.raises(FlowFileError, match=r"x\.pcap: nfstream cannot read it: truncated"):
        imported(tmp_path / "x.pcap", pcap(TALKS)[:10])


def _die(_: Path) -> None:
    """A meter that is killed by a packet, as nfstream's own child would be."""
    import multiprocessing
    import os
    import signal

    signal.signal(signal.SIGCHLD, capture._end_with_child)
    child = multiprocessing.get_context("fork").Process(target=os.abort)
    child.start()
    signal.pause()


def test_a_meter_that_breaks_down_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the C library becomes an error that names the capture, soon."""
    monkeypatch.setattr(capture, "_flows", _die)
    began = time.monotonic()
    with pytest.raises(FlowFileError, match=r"bad\.pcap: nfstream broke down on it"):
        imported(tmp_path / "bad.pcap", pcap(TALKS))
    assert time.monotonic() - began < 30


@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_framing_never_stumbles(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, ng: bool) -> None:
    """Any bytes anywhere in a capture: a number of packets, and an end."""
    path = tmp_path_factory.getbasetemp() / "noise.pcap"
    whole = (pcapng if ng else pcap)(TALKS)
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    assert 0 <= count_packets(path).packets <= len(whole)


def test_framing_counts_every_packet(tmp_path: Path) -> None:
    """Whole files have all packets and no cut; every prefix says so or is whole."""
    for make in (pcap, pcapng):
        whole = make(TALKS)
        path = tmp_path / "x"
        path.write_bytes(whole)
        assert (count_packets(path).packets, count_packets(path).cut) == (14, "")
        for length in range(30, len(whole), 17):
            path.write_bytes(whole[:length])
            framed = count_packets(path)
            assert framed.packets < 14


@pytest.mark.slow
def test_real_captures_give_the_flows_of_their_catalogue(root_dir: Path) -> None:
    """A recorded password guessing: each flow as it was published."""
    import pandas as pd

    folder = root_dir.parent / "shared" / "traffic" / "sshguess_zeek"
    if not folder.is_dir():
        pytest.skip("no recorded traffic beside the project")
    found = files.read(folder / "capture.pcap.gz", Site.of([])).table
    published = pd.read_csv(folder / "flows.csv.gz", dtype=str, keep_default_na=False)
    columns = [name for name in found.columns if name not in ("start", "end", "duration")]
    ours, theirs = (sorted(map(tuple, table[columns].to_numpy().tolist())) for table in (found, published))
    assert ours == theirs
