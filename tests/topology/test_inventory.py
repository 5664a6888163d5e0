"""The inventory file: what is accepted, and how a mistake is named."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InventoryError
from topology.inventory import load, parse
from topology.model import Inventory

GOOD = """\
segments:
  web: {default: allow}
  db:
vfns:
  core: {dpid: 1}
  leaf1: {dpid: 0x11, bridge: br-leaf1}
links:
  - {a: core, a_port: core-eth1, b: leaf1, b_port: leaf1-eth1}
vms:
  web1: {segment: web, vfn: leaf1, port: leaf1-eth2, mac: 02:00:00:00:01:01, addresses: [10.0.1.1, "fd00::1:1"]}
  db1: {segment: db, vfn: core, port: core-eth2, mac: "02-00-00-00-03-0A", addresses: [10.0.3.1], protected: true}
outside:
  mirror: {vfn: core, port: core-eth4, mac: "02:00:00:00:ff:01", addresses: [192.0.2.10]}
"""


def test_a_whole_file_becomes_values() -> None:
    """Numbers follow the file's order, defaults are filled in, addresses and MACs are in one form."""
    inventory = parse(GOOD)
    assert [segment.number for segment in inventory.segments.values()] == [1, 2]
    assert inventory.segments["db"].default == "allow"
    assert (inventory.vfns["core"].bridge, inventory.vfns["core"].number) == ("core", 0)
    assert (inventory.vfns["leaf1"].dpid, inventory.vfns["leaf1"].bridge) == (17, "br-leaf1")
    assert inventory.vms["web1"].addresses == (IPv4Address("10.0.1.1"), IPv6Address("fd00::1:1"))
    assert inventory.vms["db1"].mac == "02:00:00:00:03:0a"
    assert (inventory.vms["db1"].number, inventory.vms["db1"].protected) == (2, True)
    assert inventory.outside["mirror"].addresses == (IPv4Address("192.0.2.10"),)
    assert (inventory.vms["web1"].vfn, inventory.vms["web1"].port) == ("leaf1", "leaf1-eth2")


WEB2 = "  web2: {segment: web, vfn: leaf1, port: leaf1-eth3, mac: 02:00:00:00:01:02, addresses: [10.0.1.2]}\n"

MISTAKES = {
    "unknown key": ("protected: true", "protectd: true", 11, "vms.db1.protectd", "did you mean `protected`"),
    "misspelt required key": ("mac: ", "mca: ", 10, "vms.web1.mca", "did you mean `mac`"),
    "unknown part": ("segments:", "vnfs: {}\nsegments:", 1, "vnfs", "did you mean `vfns`"),
    "VM on an unknown VFN": ("vfn: leaf1, port", "vfn: leaf2, port", 10, "vms.web1.vfn", "did you mean `leaf1`"),
    "link to an unknown VFN": ("b: leaf1,", "b: x,", 8, "links.0.b", "known: core, leaf1"),
    "link to itself": ("b: leaf1,", "b: core,", 8, "links.0", "two different VFNs"),
    "missing segment": ("segment: db", "segment: dbs", 11, "vms.db1.segment", "did you mean `db`"),
    "missing key": ("segment: db, ", "", 11, "vms.db1.segment", "add `segment`"),
    "segment called outside": ("  db:", "  outside:", 3, "segments.outside", "another name"),
    "bad default": ("default: allow", "default: drop", 2, "segments.web.default", "'allow' or 'deny'"),
    "duplicate address": ("[10.0.3.1]", "[10.0.1.1]", 11, "vms.db1.addresses.0", "vms.web1.addresses.0 in line 10"),
    "duplicate MAC": ("02-00-00-00-03-0A", "02:00:00:00:01:01", 11, "vms.db1.mac", "vms.web1.mac in line 10"),
    "duplicate link-local": ("10.0.3.1", "fe80::ff:fe00:101", 11, "vms.db1.addresses.0", "vms.web1.mac in line 10"),
    "duplicate port": ("port: core-eth2", "port: core-eth1", 11, "vms.db1.port", "links.0.a_port in line 8"),
    "duplicate dpid": ("0x11", "0x1", 6, "vfns.leaf1.dpid", "vfns.core.dpid in line 5"),
    "duplicate bridge": ("br-leaf1", "core", 6, "vfns.leaf1.bridge", "already that of"),
    "duplicate name": ("  mirror:", "  web1:", 13, "outside.web1", "vms.web1 in line 10"),
    "duplicate key": ("  db1:", "  web1:", 11, "vms.web1", "first in line 10"),
    "bad MAC": ("02-00-00-00-03-0A", "02:00:00:00:03", 11, "vms.db1.mac", "write it as"),
    "multicast MAC": ("02-00-00-00-03-0A", "01:00:5e:00:00:01", 11, "vms.db1.mac", "unicast"),
    "bad address": ("10.0.3.1", "10.0.3.1/24", 11, "vms.db1.addresses.0", "without a prefix length"),
    "multicast address": ("10.0.3.1", "224.0.0.1", 11, "vms.db1.addresses.0", "unicast"),
    "scoped address": ("10.0.3.1", "fe80::1%eth0", 11, "vms.db1.addresses.0", "unicast"),
    "addresses not a list": ("[10.0.3.1]", "10.0.3.1", 11, "vms.db1.addresses", "must be a list"),
    "dpid zero": ("dpid: 1}", "dpid: 0}", 5, "vfns.core.dpid", "out of range"),
    "dpid no number": ("dpid: 1}", "dpid: one}", 5, "vfns.core.dpid", "such as 17"),
    "bridge name too long": ("br-leaf1", "a-very-long-bridge", 6, "vfns.leaf1.bridge", "must be written as ^"),
    "VM name with a slash": ("  db1:", "  d/b1:", 11, "vms.d/b1", "must be written as ^"),
    "VFN without a link": ("  core: {dpid: 1}", "  core: {dpid: 1}\n  far: {dpid: 9}", 6, "vfns.far", "`links`"),
    "VM is no mapping": (GOOD[GOOD.index("  db1:") : GOOD.index("outside:")], "  db1: 7\n", 11, "vms.db1", "mapping"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_file_line_key_and_remedy(name: str) -> None:
    """Each mistake is refused, at its line, by its key, with words that help."""
    old, new, line, key, words = MISTAKES[name]
    assert old in GOOD
    with pytest.raises(InventoryError) as caught:
        parse(GOOD.replace(old, new, 1), "net.yaml")
    error = caught.value
    assert (error.file, error.line, error.key) == ("net.yaml", line, key)
    assert words in str(error)


def test_an_unknown_key_names_the_known_ones() -> None:
    """A key that resembles nothing lists what there is."""
    with pytest.raises(InventoryError, match="known: a, a_port, b, b_port"):
        parse(GOOD.replace("b: leaf1,", "b: leaf1, zzzzzz: 7,"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("segments: [", "not YAML"),
        ("segments: {web: }\nvfns: *x", "alias"),
        ("a: &a [1]\nb: [*a, *a]", "alias \\*a is not allowed"),
        ("[" * 100, "nested deeper"),
        ("? [a]\n: b", "a key must be a word"),
        ("just words", "must be a mapping"),
        ("- 1", "must be a mapping"),
        ("", "segments: missing"),
        ("vfns: {a: {dpid: 1}}\nsegments:", "segments: must be a mapping"),
        ("a: \x00", "not YAML"),
        ("a: 1\n--- \nb: 2", "a second document"),
    ],
)
def test_what_is_no_inventory_is_refused(text: str, words: str) -> None:
    """Broken, dangerous and empty texts end in one readable error."""
    with pytest.raises(InventoryError, match=words):
        parse(text)


def test_a_huge_text_is_refused_at_once() -> None:
    """Sixteen million characters are more than any network needs."""
    with pytest.raises(InventoryError, match="longer than"):
        parse("#" * ((16 << 20) + 1))


def test_load_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and one that is not UTF-8 are told apart."""
    with pytest.raises(InventoryError, match=r"none\.yaml: cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"segments: \xe9")
    with pytest.raises(InventoryError, match="not UTF-8 at byte 10"):
        load(tmp_path / "latin.yaml")
    (tmp_path / "good.yaml").write_text(GOOD)
    assert load(tmp_path / "good.yaml") == parse(GOOD)


@given(st.data())
def test_a_damaged_file_never_ends_in_another_error(data: st.DataObject) -> None:
    """Whatever is cut out of a good file or put into it, it loads or an InventoryError comes."""
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 30)))
    text = GOOD[:start] + data.draw(st.text(max_size=6)) + GOOD[end:]
    outcome: Inventory | InventoryError
    try:
        outcome = parse(text)
    except InventoryError as error:
        outcome = error
    assert outcome.vfns if isinstance(outcome, Inventory) else outcome.file == "inventory"
