"""What people may ask about names and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from support.control import free_port
from support.copies import NAMES, body_of, copy_of
from support.packets import answer, arp, question, udp
from support.telemetry import START, inventory, ports

from analyzer.collector import Collector
from analyzer.live import Live
from analyzer.queries import Queries
from runtime.settings import Settings, TapSettings

NET = inventory()
WEB1 = NET.vms["web1"]
OWN, VFN = str(WEB1.addresses[0]), NET.vfns[WEB1.vfn]
RESOLVER, SERVER = "192.0.2.53", "203.0.113.9"


@pytest.fixture
def queries(tmp_path: Path) -> Iterator[Queries]:
    """An analyzer to which copies of a lookup and of forged ARP have come."""
    collector = Collector("127.0.0.1", free_port())
    live = Live(Settings(state_dir=tmp_path, taps=TapSettings(resolvers=(ip_address(RESOLVER),))), NET)
    for name, vfn in NET.vfns.items():
        live.set_ports(vfn.dpid, ports(NET, name))
    port, asked = ports(NET, VFN.name)[WEB1.port], question("www.example.org")
    told = answer(asked, f"www.example.org. 60 IN A {SERVER}")
    frames = [
        (udp(OWN, RESOLVER, 5000, 53, asked.to_wire()), port),
        (udp(RESOLVER, OWN, 53, 5000, told), 1),
        (arp(WEB1.mac, "10.0.0.99"), port),
    ]
    copies = [copy_of(frame, number, table=NAMES) for frame, number in frames]
    live.take_copies(VFN.dpid, len(copies), body_of(*copies))
    try:
        yield Queries(live, collector, NET, dict)
    finally:
        live.close()
        collector.close()


def test_names_of_a_vm(queries: Queries) -> None:
    """As it was told them; of another VM there are none, of nobody 404."""
    status, found = queries.answer("names", {"name": "web1"})
    assert (status, [(row["address"], row["name"], row["source"], row["expires"]) for row in found]) == (
        200,
        [(SERVER, "www.example.org", "dns", START + 60)],
    )
    assert queries.answer("names", {"name": "db1"}) == (200, [])
    assert queries.answer("names", {"name": "nobody"})[0] == 404


def test_evidence(queries: Queries) -> None:
    """What was claimed, and by whom."""
    status, (row,) = queries.answer("evidence", {"limit": 5})
    assert (status, row["kind"], row["who"], row["count"]) == (200, "forged-arp", "web1", 1)


def test_what_was_read_is_counted(queries: Queries) -> None:
    """In the status of the analyzer."""
    status, found = queries.answer("status", {})
    first = found["first_packets"]
    assert (status, first["read"], first["questions"], first["answers"], first["names"]) == (200, 3, 1, 1, 1)
