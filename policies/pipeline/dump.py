"""The tables of a small example network, written down for docs/pipeline.md.

    python -m policies.pipeline.dump docs/pipeline.md

puts the present entries into the page: each table's between the fences after its mark, `<!-- entries of GUARD -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from policies.document import parse as parse_policy
from policies.entries import TableEntry
from policies.pipeline.compile import compile_vfn, missing_ports
from policies.pipeline.notation import flow
from policies.pipeline.tables import Table
from policies.pipeline.taps import Taps
from policies.rules import Action, Network, Peer, Protocol, SegmentationRule
from policies.translate import translate
from topology.inventory import parse

NETWORK = """\
segments:
  web: {default: allow}
  db: {default: deny}
  lab: {default: allow, outward: deny, stateless: true}
vfns:
  edge: {dpid: 1}
  far: {dpid: 2}
links:
  - {a: edge, a_port: to-far, b: far, b_port: to-edge}
vms:
  web1: {segment: web, vfn: edge, port: web1-eth, mac: "02:00:00:00:00:01", addresses: [10.0.0.1]}
  db1: {segment: db, vfn: edge, port: db1-eth, mac: "02:00:00:00:00:02", addresses: [10.0.0.2]}
  decoy: {segment: lab, vfn: edge, port: decoy-eth, mac: "02:00:00:00:00:04", addresses: [10.0.0.4], inspection: true}
  lab1: {segment: lab, vfn: far, port: lab1-eth, mac: "02:00:00:00:00:03", addresses: [10.0.0.3]}
outside:
  gate: {vfn: edge, port: uplink, mac: "02:00:00:00:ff:01", addresses: [192.0.2.1]}
"""
POLICY = """\
services:
  sql: [{protocol: tcp, ports: ["5432-5433"]}]
  mail: [{protocol: tcp, ports: [25]}]
lists:
  bad-hosts: {networks: [198.51.100.0/24, 203.0.113.7/32]}
rules:
  - {name: web-to-sql, action: allow, from: {segment: web}, to: {segment: db}, service: [sql]}
  - {name: lab-updates, action: allow, from: {segment: lab}, to: outside, service: [{protocol: tcp, ports: [443]}]}
  - {name: no-bad-hosts, action: deny, tier: operator, from: {list: bad-hosts}, to: any}
  - {name: no-mail, action: deny, mode: observe, from: {segment: web}, to: outside, service: [mail]}
"""
_SQL = Peer(ip_network("10.0.0.1"), Protocol.TCP, 5432)
RULES = (
    SegmentationRule("5ca1ab1e0001", Action.ISOLATE, "analyzer", 0.0, source_vm="web1"),
    SegmentationRule("5ca1ab1e0002", Action.RATE_LIMIT, "analyzer", 0.0, source_vm="db1", rate=200),
    SegmentationRule("5ca1ab1e0003", Action.STEER, "analyzer", 0.0, source_vm="db1", target="decoy"),
    SegmentationRule("5ca1ab1e0004", Action.RESTRICT, "analyzer", 0.0, source_vm="db1", peers=(_SQL,)),
)
VFN = "edge"
TAPS = Taps(first_payload=(443,))

_PLACE = re.compile(r"(?P<mark><!-- entries of (?P<name>\w+) -->\n```text\n).*?(?=```\n)", re.DOTALL)


def example() -> tuple[TableEntry, ...]:
    """What the VFN `edge` holds."""
    inventory = parse(NETWORK)
    ports = {name: number for number, name in enumerate(missing_ports(inventory, VFN, {}), 1)}
    firewall = [each for rule in RULES for each in translate(rule, inventory)]
    return compile_vfn(inventory, VFN, ports, firewall, parse_policy(POLICY, inventory, _no_files), TAPS)


def lines(table: Table) -> str:
    """The entries of a table as a flow file."""
    return "".join(f"{flow(entry)}\n" for entry in example() if entry.table == table)


def renew(page: str) -> str:
    """The page with the present entries at each table's place.

    Raises:
        KeyError: there is no table of that name.
    """
    return _PLACE.sub(lambda place: place["mark"] + lines(Table[place["name"]]), page)


def places(page: str) -> list[str]:
    """Names of the tables whose entries the page shows, in its order."""
    return [place["name"] for place in _PLACE.finditer(page)]


def _no_files(path: str) -> tuple[Network, ...]:
    raise FileNotFoundError(path)  # the example's lists are written out


def main(arguments: Sequence[str]) -> None:
    """Renew the pages that are named."""
    for page in map(Path, arguments):
        page.write_text(renew(page.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
