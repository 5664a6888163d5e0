"""How often the analyzer is told which rules are in force."""

from __future__ import annotations

from pathlib import Path

from support.switch import Site

from policies.process import SPARING
from policies.telling import RulesTold
from topology.inventory import parse

APART = SPARING.telling_seconds
INVENTORY = parse(
    "segments: {web: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v1, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
)


def test_of_many_changes_the_first_is_told_at_once_and_the_rest_together(tmp_path: Path) -> None:
    """What is told is how things stand then; without a change nothing is."""
    site = Site(INVENTORY, tmp_path / "dynseg.sqlite")
    told = RulesTold(site.engine.book, APART)
    assert told.take(0.0) == []
    assert told.seconds(0.0) is None
    told.change()
    assert told.seconds(0.0) == 0.0
    assert [message.data["rules"] for message in told.take(0.0)] == [[]]
    site.call("isolate", name="web1", scope="all", reason="odd")
    told.change()
    assert told.take(APART / 2) == []
    assert told.seconds(APART / 2) == APART / 2
    site.call("isolate", name="web2", scope="all", reason="odd")
    told.change()
    (message,) = told.take(APART)
    assert [rule["source_vm"] for rule in message.data["rules"]] == ["web1", "web2"]
    assert told.take(3 * APART) == []
    site.store.close()


def test_a_change_that_was_put_off_is_told_without_another_event(tmp_path: Path) -> None:
    """The engine asks to be woken for it."""
    site = Site(INVENTORY, tmp_path / "dynseg.sqlite")
    site.engine._told = RulesTold(site.engine.book, APART)
    site.connect()
    identity = site.call("isolate", name="web1", scope="all", reason="odd")[1]["id"]
    site.call("release", id=identity, reason="fine")
    first = [message.data["rules"] for message in site.to_analyzer if message.kind == "rules"]
    assert [len(rules) for rules in first] == [1]
    assert 0 < (site.engine.patience() or 0.0) <= APART
    site.pass_time(APART)
    last = [message.data["rules"] for message in site.to_analyzer if message.kind == "rules"][-1]
    assert last == []
    site.store.close()
