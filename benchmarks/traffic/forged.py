"""Forged evidence: packets under others' addresses, and NetFlow datagrams that no switch sent. Is anybody accused?"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from analyzer.flows import Array
from analyzer.netflow import HEADER, RECORD
from benchmarks.rows import Row
from benchmarks.traffic.frames import SMALLEST, SYN, End, tcp, udp
from benchmarks.traffic.site import Assembly, Ends, site
from mininet_labs.children import wait_for
from mininet_labs.errors import LabError
from topology.model import Inventory

PACKETS = 10_000
DATAGRAMS = 10_000
FORGER = "p1"
"""The VM that sends under other VMs' addresses; the gate does so from outside."""
_AT_ONCE = 200
_SEED = 11
_PATIENCE = 30.0
_NOBODY = 65534
"""User id of Debian's `nobody`: whoever runs on the machine without being root."""


def rows() -> list[Row]:
    """Measure."""
    with site(exporters_only=True) as (ends, assembly, inventory):
        frames = list(_spoofed(ends, PACKETS))
        for start in range(0, len(frames), _AT_ONCE):
            ends.send(frames[start : start + _AT_ONCE], (FORGER, "gate"))
            assembly.collect()
        _forge_datagrams(assembly)
        counted = _until_counted(assembly)
        handed = ends.received()
        parts, _ = assembly.result()
        spoofed, exporters = _accused(assembly, inventory), assembly.collector.exporters
    assert exporters is not None
    markers = {inventory.vms[FORGER].number, 0}
    innocent = int((~np.isin(parts.rows["src_vm"], list(markers))).sum()) + spoofed
    delivered = handed["k1"] + handed["k2"]
    told = (
        f"{counted} spoofed packets counted for the port they came in at; of {DATAGRAMS} forged datagrams "
        f"{exporters.strangers} refused for their sender, {exporters.unknown_vfns} for their VFN"
    )
    missed = PACKETS - counted + DATAGRAMS - exporters.strangers
    return [
        Row(
            "flows on innocent VMs' record after forged evidence",
            innocent,
            "flows",
            "<=",
            0,
            PACKETS + DATAGRAMS,
            reason=told,
        ),
        Row("forged packets and datagrams not counted as such", missed, "", "<=", 0, PACKETS + DATAGRAMS),
        Row("spoofed packets that reached their destination", delivered, "frames", "<=", 0, PACKETS),
    ]


def _spoofed(ends: Ends, count: int) -> Iterator[tuple[str, bytes]]:
    """Half from a VM, half from outside, each under an innocent VM's address to another one's."""
    chance = random.Random(_SEED)
    names = [name for name in ends.ends if name not in {FORGER, "gate"}]
    for number in range(count):
        sender = (FORGER, "gate")[number % 2]
        victim, target = ends.ends[chance.choice(names)], ends.ends[("k1", "k2")[number // 2 % 2]]
        mac = chance.choice((ends.ends[sender].mac, victim.mac))
        source = End(victim.name, mac, victim.address)
        ports = (1024 + number, 443)
        if number % 4 < 2:
            yield sender, tcp(source, target, ports, SYN, SMALLEST)
        else:
            yield sender, udp(source, target, ports, SMALLEST)


def _accused(assembly: Assembly, inventory: Inventory) -> int:
    """Forged packets that were counted for another than who sent them."""
    forger = inventory.vms[FORGER].number
    return sum(int(side["pkts"]) for sides in assembly.forged for side in sides if side["src_vm"] != forger)


def _forge_datagrams(assembly: Assembly) -> None:
    """From a socket of `nobody`, on the same machine: whose it is, is settled when it is made."""
    os.seteuid(_NOBODY)
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)
    with sock:
        for number, datagram in enumerate(_datagrams(DATAGRAMS), 1):
            sock.sendto(datagram, assembly.collector.sock.getsockname())
            if number % _AT_ONCE == 0:
                assembly.collect()


def _until_counted(assembly: Assembly) -> int:
    """Wait for the reports; the spoofed packets that were counted."""

    def counted() -> int:
        assembly.collect()
        own = sum(int(sides["pkts"].sum()) for sides in assembly.forged)
        return own + assembly.forged_outside

    with suppress(LabError):  # what is missing is told by a row
        wait_for("reports of the spoofed packets", lambda: counted() >= PACKETS, _PATIENCE)
    return counted()


def _datagrams(count: int) -> Iterator[bytes]:
    """NetFlow as a switch would send it, about flows of VMs that sent nothing: `k1` to `l1` at VFN 0 and others."""
    chance = np.random.default_rng(_SEED)
    for number in range(count):
        header = np.zeros(1, HEADER)
        header["version"], header["count"], header["uptime"] = 5, 30, 100_000
        header["seconds"], header["sequence"], header["engine"] = int(time.time()), 30 * (number + 1), number % 3
        yield header.tobytes() + _records(chance).tobytes()


def _records(chance: np.random.Generator) -> Array:
    records = np.zeros(30, RECORD)
    records["src"], records["dst"] = 0x0A4F0000 + chance.integers(1, 10, 30), 0x0A4F0000 + chance.integers(1, 10, 30)
    records["input"], records["output"] = chance.integers(1, 7, 30), 1
    records["packets"], records["bytes"], records["proto"], records["flags"] = 1, 60, 6, SYN
    records["src_port"], records["dst_port"] = chance.integers(1024, 65_535, 30), 22
    records["first"] = records["last"] = 99_000
    return records
