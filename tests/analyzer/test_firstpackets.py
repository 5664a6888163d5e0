"""Copies of first packets, from their bytes to names and evidence."""

from __future__ import annotations

import logging
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.copies import HELLOS, NAMES, Copy, body_of, copy_of
from support.packets import answer, arp, client_hello, dhcp_ack, question, tcp, udp
from support.telemetry import START, inventory, ports

from analyzer import copies, firstpackets, packets
from analyzer.firstpackets import FirstPackets
from analyzer.naming import explained, named
from analyzer.packets import UnreadableFrameError
from analyzer.risk import Finding, Verdict
from runtime.settings import TapSettings

NET = inventory()
WEB1, DB1 = NET.vms["web1"], NET.vms["db1"]
OWN, OTHER = str(WEB1.addresses[0]), str(DB1.addresses[0])
VFN = NET.vfns[WEB1.vfn]
PORT = ports(NET, VFN.name)[WEB1.port]
RESOLVER, SERVER = "192.0.2.53", "203.0.113.9"
ASKED = question("www.example.org")


def made() -> FirstPackets:
    first = FirstPackets(NET, TapSettings(resolvers=(ip_address(RESOLVER),)), 1)
    for vfn in NET.vfns.values():
        first.set_ports(vfn.dpid, ports(NET, vfn.name))
    return first


def take(first: FirstPackets, *copied: Copy) -> None:
    first.take(VFN.dpid, copies.read(len(copied), body_of(*copied)))


def ask(port: int = 5000, time: float = START) -> Copy:
    return copy_of(udp(OWN, RESOLVER, port, 53, ASKED.to_wire()), PORT, time, table=NAMES)


def tell(server: str = RESOLVER, port: int = 5000, time: float = START + 0.01) -> Copy:
    wire = answer(ASKED, f"www.example.org. 60 IN A {SERVER}")
    return copy_of(udp(server, OWN, 53, port, wire), 1, time, table=NAMES)


def test_an_answer_names_an_address_for_who_had_asked() -> None:
    """From frames to a name, whichever port the answer came in by."""
    first = made()
    take(first, ask(), tell())
    assert first.dns.name_of(WEB1.number, ip_address(SERVER)) == "www.example.org"
    assert first.evidence.newest(9) == []
    assert (first.read, first.unreadable) == (2, 0)


def test_a_forged_answer_is_evidence_against_who_sent_it() -> None:
    """An outside server by its address, a VM by its name; told once, counted on."""
    first = made()
    take(first, tell("198.51.100.1"), tell("198.51.100.1"), tell(OTHER))
    assert [(row["kind"], row["who"], row["count"]) for row in first.evidence.newest(9)] == [
        ("forged-dns", "db1", 1),
        ("forged-dns", "198.51.100.1", 2),
    ]
    assert len(first.dns) == 0


def test_forged_arp_is_evidence_against_the_port_it_came_in_by() -> None:
    """Whoever it claims to be. The honest kind, that the guard lets through, says nothing new."""
    first = made()
    take(first, copy_of(arp(WEB1.mac, OTHER), PORT, table=NAMES), copy_of(arp(WEB1.mac, OWN), PORT, table=NAMES))
    (row,) = first.evidence.newest(9)
    assert (row["kind"], row["who"]) == ("forged-arp", "web1")
    assert f"{OTHER} (of db1)" in row["what"]


def test_dhcp_is_compared_with_the_inventory() -> None:
    """An address that is not the VM's is put on record; it moves nobody."""
    first = made()
    for address in (OWN, "10.0.0.99"):
        take(first, copy_of(udp("192.0.2.1", OWN, 67, 68, dhcp_ack(WEB1.mac, address)), 1, table=NAMES))
    (row,) = first.evidence.newest(9)
    assert (row["kind"], row["who"]) == ("binding", "web1")
    assert row["what"].startswith("was given 10.0.0.99 by DHCP")


def test_what_a_client_says_names_its_server() -> None:
    """By who is at the port, over both IPs."""
    first = made()
    take(first, copy_of(tcp(OWN, SERVER, 5000, 443, client_hello("shop.example.org")), PORT, table=HELLOS))
    assert first.dns.name_of(WEB1.number, ip_address(SERVER)) == "shop.example.org"
    assert first.dns.anybodys_name_of(ip_address(SERVER)) is None


def test_what_cannot_be_read_is_counted_and_told_once_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    """One line a minute, however much comes; not a byte of it."""
    first = made()
    with caplog.at_level(logging.WARNING):
        take(first, *(copy_of(udp(OWN, RESOLVER, 5000, 53, b"s3cret"), PORT, table=NAMES) for _ in range(5)))
    assert (first.unreadable, len(caplog.records)) == (5, 1)
    assert "s3cret" not in caplog.text


def test_no_more_are_read_than_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over it in a second is counted; the next second is another one."""
    monkeypatch.setattr(firstpackets, "MOST_PER_SECOND", 3)
    first = made()
    take(first, *(ask(port=5000 + number) for number in range(5)), ask(port=6000, time=START + 1))
    assert (first.read, first.shed) == (4, 2)


@given(st.lists(st.tuples(st.binary(max_size=200), st.sampled_from([NAMES, HELLOS])), max_size=4))
def test_any_bytes_are_read_or_counted(frames: list[tuple[bytes, int]]) -> None:
    """Nothing that anybody sends stops the analyzer."""
    first = made()
    take(first, *(copy_of(frame, PORT, table=table) for frame, table in frames))
    assert first.read + first.unreadable == len(frames)


@given(st.data())
def test_any_harm_to_a_frame_is_read_or_refused(data: st.DataObject) -> None:
    """Bytes changed and cut off anywhere in honest frames, over both IPs."""
    six = udp("fd00::1", "fd00::53", 5000, 53, ASKED.to_wire())
    honest = [tell().data, six, arp(WEB1.mac, OWN), tcp(OWN, SERVER, 5000, 443, client_hello("a.example.org"))]
    frame = bytearray(data.draw(st.sampled_from(honest)))
    for at in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=4)):
        frame[at] = data.draw(st.integers(0, 255))
    first = made()
    take(first, copy_of(bytes(frame[: data.draw(st.integers(0, len(frame)))]), PORT, table=NAMES))
    assert first.read + first.unreadable == 1


def test_frames_of_other_kinds_are_refused() -> None:
    """Nothing but UDP, TCP and ARP is copied."""
    with pytest.raises(UnreadableFrameError):
        packets.read(bytes(12) + b"\x88\xb5" + bytes(50))


def test_reasons_tell_the_names_that_a_vm_knows() -> None:
    """Of every address in them, and only those."""
    first = made()
    take(first, ask(), tell())
    reason = f"beacon: {SERVER} port 443 every 60 s, like 203.0.113.90 and fd00::9, version 1.2.3.4.5"
    finding = Finding("beacon", "T1071", 1.0, reason.__str__, acts=False)
    verdict = Verdict(WEB1.number, WEB1.number, None, START, 60.0, 1.0, (finding,), confirmed=False)
    (told,) = explained(verdict, first.dns).findings
    assert told.reason == reason.replace(f"{SERVER} ", f"{SERVER} (www.example.org) ")
    assert named("at fd00::9, or 10.0.0.1.", str) == "at fd00::9 (fd00::9), or 10.0.0.1 (10.0.0.1)."
