"""What keeps ordinary traffic from passing is taken back: by the engine, with switches in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.switch import Site

from policies.pipeline.tables import Table
from runtime.settings import EngineSettings, HarmSettings
from topology.inventory import parse

NET = parse(
    "segments: {web: , db: {default: deny}}\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v1, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  db1: {segment: db, vfn: v1, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
    "outside: {internet: {vfn: v1, port: up, mac: '02:00:00:00:00:09', addresses: [192.0.2.1]}}\n"
)
SQL = (
    "- {name: sql, action: allow, from: {segment: web}, to: {segment: db}, service: [{protocol: tcp, ports: [5432]}]}\n"
)
GOOD = "rules:\n" + SQL
BAD = GOOD + "- {name: no-sql, action: deny, from: {segment: web}, to: {segment: db}, tier: operator}\n"


def made(folder: Path, **harm: Any) -> Site:
    site = Site(NET, folder / "dynseg.sqlite", EngineSettings(harm=HarmSettings(flows=10, **harm)))
    site.connect()
    return site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A node on which ten ordinary flows are no harm."""
    made_here = made(tmp_path)
    yield made_here
    made_here.store.close()


def denied(site: Site, flows: int = 11, **more: Any) -> None:
    """The analyzer tells of queries that were dropped."""
    now = site.time()
    row: dict[str, Any] = {"source_vm": "web1", "destination_vm": "db1", "source": "10.0.0.1"}
    row |= {
        "destination": "10.0.0.3",
        "protocol": 6,
        "port": 5432,
        "source_port": 40000,
        "flows": flows,
        "first": now,
        "last": now,
        **more,
    }
    site.say("ordinary_denied", flows=[row])
    site.pass_time(0.01)


def text(site: Site) -> str:
    return str(site.call("policy")[1]["text"])


def test_a_version_that_does_harm_gives_way_to_the_one_before(site: Site) -> None:
    """By the engine, as a version of its own, with the flows on record; the switches hold what they held."""
    site.call("lay_down", text=GOOD)
    before = dict(site.switches["v1"].entries)
    site.call("lay_down", text=BAD)
    assert dict(site.switches["v1"].entries) != before
    denied(site, 6)
    assert text(site) == BAD
    denied(site, 5, source_vm="web2", source="10.0.0.2")
    _, now = site.call("policy")
    assert (now["version"], now["actor"], now["text"], now["state"]) == (3, "engine", GOOD, "enforced")
    (row,) = site.audit("harm")
    assert (row["version"], row["decision"], row["flows"], row["missed_by"]) == (2, "rolled back", 11, ["web1", "web2"])
    assert row["examples"][0]["source"] == "web1 10.0.0.1"
    assert site.audit("policy")[-1]["again"] == 1
    assert "11 ordinary flows of 2 ends" in site.audit("policy")[-1]["reason"]
    assert dict(site.switches["v1"].entries) == before
    assert [(one["version"], one["decision"]) for one in site.call("harm")[1]] == [(2, "rolled back")]


def test_the_first_policy_gives_way_to_none(site: Site) -> None:
    """What was before the first version is a policy without rules."""
    site.call("lay_down", text=BAD.replace("to: {segment: db}, tier", "to: {segment: web}, tier"))
    denied(site, destination_vm="web2", destination="10.0.0.2")
    assert (text(site), site.call("policy")[1]["rules"]) == ("", 0)


def test_what_would_not_pass_by_the_version_before_is_not_its_harm(site: Site) -> None:
    """Nor what passes now, what was dropped before it began, or what the analyzer says of strangers."""
    site.call("lay_down", text=GOOD)
    site.time.now += 100.0
    site.call("lay_down", text=BAD)
    denied(site, port=22)
    denied(site, first=site.time() - 50, last=site.time() - 50)
    denied(site, source_vm="gone")
    denied(site, source_vm="web1", destination_vm="web2", destination="10.0.0.2")
    assert (text(site), site.audit("harm")) == (BAD, [])


def test_who_lays_the_same_down_again_means_it(site: Site) -> None:
    """It stays, and that it does harm is on record."""
    site.call("lay_down", text=GOOD)
    site.call("lay_down", text=BAD)
    denied(site)
    site.call("lay_down", text=BAD)
    denied(site)
    assert text(site) == BAD
    assert [row["decision"] for row in site.audit("harm")] == ["rolled back", "insisted"]
    site.restart()
    site.connect()
    denied(site)
    assert (text(site), site.audit("harm")[-1]["decision"]) == (BAD, "insisted")


def test_a_person_may_be_asked_instead(tmp_path: Path) -> None:
    """Then nothing is taken back; the harm is told once."""
    site = made(tmp_path, person="ask")
    site.call("lay_down", text=GOOD)
    site.call("lay_down", text=BAD)
    denied(site)
    denied(site)
    assert text(site) == BAD
    assert [row["decision"] for row in site.audit("harm")] == ["asked"]
    assert site.call("harm")[1][0]["decision"] == "asked"
    site.store.close()


def test_the_check_can_be_left_out(tmp_path: Path) -> None:
    """Then nothing is looked at."""
    site = made(tmp_path, enabled=False)
    site.call("lay_down", text=GOOD)
    site.call("lay_down", text=BAD)
    denied(site)
    assert (text(site), site.audit("harm")) == (BAD, [])
    site.store.close()


def test_a_rule_that_does_harm_is_rolled_back(site: Site) -> None:
    """Out of the switches, with evidence and hits; posted again by a person it stays."""
    site.call("lay_down", text=GOOD)
    before = dict(site.switches["v1"].entries)
    _, rule = site.call("create", action="deny", source_ip="192.0.2.0/24")
    outward: dict[str, Any] = {"destination_vm": None, "destination": "192.0.2.7", "port": 443}
    denied(site, **outward)
    now = site.rule(rule["id"])
    assert now["state"] == "rolled_back"
    assert "ordinary flows" in now["detail"]
    (row,) = site.audit("harm")
    assert (row["rule"], row["decision"]) == (rule["id"], "rolled back")
    assert {"allowed", "denied"} <= set(row["hits"])
    assert site.audit("rolled_back")[0]["evidence"]["flows"] == 11
    assert dict(site.switches["v1"].entries) == before
    _, again = site.call("create", action="deny", source_ip="192.0.2.0/24")
    denied(site, **outward)
    assert site.rule(again["id"])["state"] == "enforced"
    assert site.audit("harm")[-1]["decision"] == "insisted"


def test_of_ipv6_it_counts_what_nobody_answers_under_a_rule_that_every_vfn_has(tmp_path: Path) -> None:
    """VFNs do not say what they drop of it: what was sent before the last of them had the rule may have passed."""
    site = made(tmp_path, watch_seconds=1000.0)
    six: dict[str, Any] = {"source": "2001:db8::1", "destination": "2001:db8::3", "reported": False}
    site.call("lay_down", text=GOOD)
    site.call("lay_down", text=BAD)
    confirmed = site.call("policy")[1]["enforced_at"]
    denied(site, **six, first=confirmed - 9, last=confirmed - 0.001)
    denied(site, **six, destination_vm="web2", first=confirmed, last=confirmed)
    assert text(site) == BAD
    denied(site, **six, first=confirmed - 9, last=confirmed)
    assert (text(site), site.audit("harm")[0]["version"]) == (GOOD, 2)
    site.store.close()


def test_of_ipv6_a_rule_answers_once_it_is_confirmed(site: Site) -> None:
    """Not while a switch may still be without it."""
    site.call("lay_down", text=GOOD)
    site.held = []
    _, rule = site.call("create", action="deny", source_ip="2001:db8:9::/48")
    gone: dict[str, Any] = {"destination_vm": None, "source": "2001:db8::1", "destination": "2001:db8:9::1"}
    denied(site, **gone, reported=False)
    assert (site.rule(rule["id"])["state"], site.audit("harm")) == ("installing", [])
    site.deliver_held()
    assert site.rule(rule["id"])["state"] == "enforced"
    denied(site, **gone, reported=False)
    assert site.rule(rule["id"])["state"] == "rolled_back"


def test_whom_a_rule_isolates_it_does_not_harm(site: Site) -> None:
    """That VM is to miss everything."""
    site.call("lay_down", text=GOOD)
    _, rule = site.call("isolate", name="web1")
    denied(site, 100)
    assert site.rule(rule["id"])["state"] == "enforced"
    assert site.audit("harm") == []


def test_a_removal_tells_what_the_rule_has_met(site: Site) -> None:
    """Its hits are gone from memory, and on record."""
    _, rule = site.call("isolate", name="web1")
    site.call("release", id=rule["id"])
    site.pass_time(0.01)
    (row,) = site.audit("removed")
    assert row["hits"]["denied"] == 0


def test_nonsense_of_the_analyzer_changes_nothing(site: Site) -> None:
    """Unknown keys, ports out of range."""
    site.call("lay_down", text=GOOD)
    site.call("lay_down", text=BAD)
    denied(site, port=70000)
    denied(site, more=1)
    denied(site, destination="somewhere")
    assert (text(site), site.audit("harm")) == (BAD, [])
    assert Table.ENFORCEMENT in {entry.table for entry in site.switches["v1"].entries.values()}


def test_a_version_before_that_cannot_be_read_any_more_blames_nobody(site: Site) -> None:
    """Its text is of another dynseg, say; the engine goes on."""
    site.call("lay_down", text=GOOD)
    site.call("lay_down", text=BAD)
    with closing(sqlite3.connect(site.path)) as disk, disk:
        disk.execute("UPDATE policy_versions SET text = 'rules: 7' WHERE number = 1")
    denied(site)
    assert (text(site), site.audit("harm")) == (BAD, [])
