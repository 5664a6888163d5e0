"""A policy from a person's request to the switches, its versions, and what a restart finds."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from select import select
from typing import Any

import numpy as np
import pytest
from support.switch import Site

from policies import audit
from policies.aside import Worker
from policies.engine import Outgoing
from policies.pipeline.tables import Table
from policies.policybook import draft
from policies.reference import TCP, Packet, judge
from policies.rules import Verdict
from runtime.arrays import COUNTER
from runtime.channel import Message
from runtime.errors import AuditError, PolicyError
from topology.inventory import parse

INVENTORY = (
    "segments: {web: , db: {default: deny}}\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v2, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  db1: {segment: db, vfn: v2, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
)
ALLOW = (
    "rules: [{name: sql, action: allow, from: {vm: web1}, to: {segment: db}, service: {protocol: tcp, ports: 5432}}]"
)


@pytest.fixture
def site(tmp_path: Path):
    made = Site(parse(INVENTORY), tmp_path / "dynseg.sqlite")
    yield made
    made.store.close()


def may_connect(site: Site) -> bool:
    a, b = (site.inventory.vms[name].addresses[0] for name in ("web1", "db1"))
    packet = Packet("web1", "db1", a, b, TCP, 50000, 5432, 2)
    return judge(site.inventory, site.engine.policies.policy, (), packet).verdict is Verdict.ALLOW


def test_without_a_policy_there_is_none(site: Site) -> None:
    """Version 0, and nothing to be confirmed."""
    site.connect()
    status, value = site.call("policy")
    assert (status, value["version"], value["state"], value["rules"]) == (200, 0, "none", 0)
    assert site.audit("policy_enforced") == []


def test_a_policy_is_in_force_when_every_vfn_has_confirmed_it(site: Site) -> None:
    """Laid down by somebody, on record at once, enforced only after the last read-back."""
    site.connect("v1")
    site.held = []
    status, value = site.call("lay_down", text=ALLOW, actor="anna")
    assert (status, value["version"], value["state"], value["rules"], value["actor"]) == (
        200,
        1,
        "installing",
        1,
        "anna",
    )
    assert site.audit("policy") == [
        {"version": 1, "before": 0, "digest": value["digest"], "rules": 1, "observed": 0, "lists": 0, "prefixes": 0}
    ]
    assert may_connect(site)
    site.deliver_held()
    site.pass_time(0.01)
    _, value = site.call("policy")
    assert (value["state"], value["vfns"], value["text"]) == ("enforced", {"v1": True, "v2": None}, ALLOW)
    assert value["enforced_at"] > value["created"]
    told = site.audit("policy_enforced")
    assert [(body["version"], body["vfns"]) for body in told] == [(1, ["v1"])]
    assert told[0]["seconds"] > 0
    site.connect("v2")
    _, value = site.call("policy")
    assert value["vfns"] == {"v1": True, "v2": True}
    assert len(site.audit("policy_enforced")) == 1


def test_a_policy_that_is_refused_changes_nothing(site: Site) -> None:
    """The error has place and remedy; the version before stays whole."""
    site.connect()
    site.call("lay_down", text=ALLOW)
    status, value = site.call("lay_down", text=ALLOW.replace("web1", "web1x"))
    assert status == 400
    assert value == {
        "error": "policy:1: rules.0.from.vm: rule sql: no VM 'web1x'",
        "remedy": "did you mean `web1`? known: db1, web1, web2",
    }
    _, now = site.call("policy")
    assert (now["version"], now["newest"], now["text"]) == (1, 1, ALLOW)
    for params in ({}, {"text": "", "policy": {}}, {"text": "", "folder": "here"}, {"txt": ""}, {"text": 3}):
        assert site.call("lay_down", **params)[0] == 400


def test_the_same_policy_again_is_no_new_version(site: Site) -> None:
    """Nothing is sent, nothing is written."""
    site.connect()
    site.call("lay_down", text=ALLOW)
    site.sent.clear()
    _, value = site.call("lay_down", text=ALLOW, actor="bert")
    assert (value["version"], value["actor"], site.sent) == (1, "anna", [])
    assert len(site.audit("policy")) == 1


def test_lists_that_no_switch_could_hold_are_refused(site: Site, tmp_path: Path) -> None:
    """Before they are in force, by name."""
    nets = [f"{number}.0.0.0/{length}" for number, length in enumerate((*range(9, 30, 2), 8, 8, 8), 1)]
    nets += [f"100.{number}.{number}.{number}/32" for number in range(200)]
    (tmp_path / "bad.txt").write_text("\n".join(nets))
    text = "lists: {bad: {file: bad.txt}}\nrules: []"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("policies.pipeline.lists.MAX_ENTRIES", 200)
        status, value = site.call("lay_down", text=text, folder=str(tmp_path))
        assert (status, "lists bad: IPv4 prefixes of" in value["error"]) == (400, True)
    assert site.call("lay_down", text=text, folder=str(tmp_path))[0] == 200


def test_json_is_taken_too(site: Site) -> None:
    """The same keys; what is kept is a text."""
    rules = [{"name": "sql", "action": "allow", "from": {"vm": "web1"}, "to": "any", "priority": 7, "service": None}]
    assert site.call("lay_down", policy={"rules": rules})[0] == 400, "null is no service"
    del rules[0]["service"]
    status, _ = site.call("lay_down", policy={"rules": rules})
    assert (status, site.engine.policies.policy.acls[0].rank) == (200, 7)
    assert site.call("policy")[1]["text"].startswith('{\n "rules"')


def test_every_version_can_be_read_again(site: Site) -> None:
    """By its number; one that never was is 404."""
    for text in (ALLOW, "rules: []", ALLOW):
        site.call("lay_down", text=text)
    assert [site.call("policy", version=n)[1]["text"] for n in (1, 2, 3)] == [ALLOW, "rules: []", ALLOW]
    assert site.call("policy", version=4)[0] == 404


def test_a_restart_finds_the_newest_policy_with_its_lists_as_they_were(site: Site, tmp_path: Path) -> None:
    """Whatever has become of the list's file meanwhile."""
    (tmp_path / "bad.txt").write_text("192.0.2.0/24\n")
    text = "lists: {bad: {file: bad.txt}}\nrules: [{name: bad, action: deny, from: {list: bad}, to: any}]\n"
    status, value = site.call("lay_down", text=text, folder=str(tmp_path))
    assert (status, value["prefixes"]) == (200, 1)
    before = site.engine.policies.policy
    (tmp_path / "bad.txt").unlink()
    site.restart()
    assert site.engine.policies.policy == before
    assert site.call("policy")[1]["version"] == 1
    assert site.call("lay_down", text=text, folder=str(tmp_path))[0] == 400


def test_a_restart_with_another_inventory_leaves_out_what_is_gone(site: Site) -> None:
    """Rules about a VM that is no more match nothing; that is put on record, and the others hold."""
    other = "\n- {name: no, action: deny, from: {vm: web2}, to: any}"
    site.call("lay_down", text=ALLOW.replace("[", "\n- ").replace("]", "") + other)
    site.inventory = parse(INVENTORY.replace("web2", "new2"))
    site.restart()
    _, value = site.call("policy")
    assert (value["rules"], len(value["left_out"])) == (1, 1)
    assert "no VM 'web2'" in site.audit("policy_reduced")[0]["rules"][0]
    assert may_connect(site)


def test_work_is_done_aside_in_order_and_its_errors_come_back() -> None:
    """The loop goes on while the worker works, and hears of the result in its own thread."""
    worker = Worker()
    go = threading.Event()
    threads: list[object] = []

    def work() -> str:
        assert go.wait(10)
        threads.append(threading.current_thread())
        return "done"

    assert worker(work, lambda done: [done, threading.current_thread()]) == []
    assert worker.finished() == []
    go.set()
    assert select([worker.fileno], [], [], 10)[0]
    assert worker.finished() == ["done", threading.current_thread()]
    assert threads != [threading.current_thread()]
    worker(lambda: 1 / 0, lambda _: [])
    assert select([worker.fileno], [], [], 10)[0]
    with pytest.raises(ZeroDivisionError):
        worker.finished()


def test_a_draft_is_refused_without_a_book(tmp_path: Path) -> None:
    """Checking needs no engine."""
    with pytest.raises(PolicyError, match="no VM 'web9'"):
        draft(ALLOW.replace("web1", "web9"), parse(INVENTORY), tmp_path)


def rules(count: int) -> str:
    """A policy of so many rules that each need entries of their own."""
    ends = "from: {vm: web1}, to: {segment: db}"
    numbers = range(1, count + 1)
    lines = [f"- {{name: r{n}, action: allow, {ends}, service: {{protocol: tcp, ports: {n}}}}}\n" for n in numbers]
    return "rules:\n" + "".join(lines)


def test_a_policy_that_a_switch_cannot_hold_leaves_the_one_before_whole(site: Site) -> None:
    """Its table is full: VFN and rule are named, the version is marked as refused, every VFN is back at the last."""
    site.connect()
    site.call("lay_down", text=ALLOW)
    site.pass_time(1)
    held = {name: dict(switch.entries) for name, switch in site.switches.items()}
    site.switches["v2"].room = len(held["v2"]) + 50
    assert site.call("lay_down", text=rules(100))[0] == 200
    for _ in range(10):
        site.pass_time(5)
    _, value = site.call("policy")
    assert (value["version"], value["newest"], value["state"], value["text"]) == (1, 2, "enforced", ALLOW)
    assert value["vfns"] == {"v1": True, "v2": True}
    assert {name: switch.entries for name, switch in site.switches.items()} == held
    _, refused = site.call("policy", version=2)
    assert (refused["state"], refused["refused"]) == (
        "refused",
        "VFN v2: the switch refused the entries: table full",
    )
    told = site.audit("policy_refused")
    assert [(body["version"], body["vfn"]) for body in told] == [(2, "v2")]
    assert told[0]["rules"], "the refused entry's rule is named"
    assert {*told[0]["rules"]} <= {f"r{n}" for n in range(1, 101)}
    site.restart()
    assert site.engine.policies.version.number == 1
    assert site.call("lay_down", text="rules: []")[1]["version"] == 3


def test_an_isolation_that_fails_is_not_blamed_on_the_policy(site: Site) -> None:
    """With a policy long enforced, a full table is the new rule's fault."""
    site.connect()
    site.call("lay_down", text=ALLOW)
    site.pass_time(1)
    site.switches["v1"].room = len(site.switches["v1"].entries)
    site.call("isolate", name="web1")
    site.pass_time(1)
    assert site.audit("policy_refused") == []
    assert site.call("policy")[1]["version"] == 1


def test_a_vfn_that_goes_in_the_middle_gets_the_policy_when_it_is_back(site: Site) -> None:
    """Nothing half-applied: it holds the old whole until it is back, then the new whole."""
    site.connect()
    before = dict(site.switches["v2"].entries)
    site.held = []
    site.call("lay_down", text=rules(20))
    site.pass_time(0.1)
    site.held = None
    site.disconnect("v2")
    assert site.switches["v2"].entries == before
    site.disconnect("v1")
    site.connect()
    site.pass_time(1)
    assert site.call("policy")[1]["state"] == "enforced"
    held = {entry.cookie for entry in site.switches["v2"].entries.values()}
    assert held == site.engine.enforcer.states["v2"].desired.keys()


def test_hits_are_listed_for_every_rule_and_default(site: Site) -> None:
    """Counters of control become sums by rule, those of a rule of the moment beside it."""
    site.connect()
    site.call("lay_down", text=ALLOW)
    site.pass_time(1)
    _, isolation = site.call("isolate", name="web2", scope="other_segments")
    desired = site.engine.enforcer.states["v2"].desired
    met = {"sql": 7, isolation["id"]: 5}
    rows = [
        (cookie, met[rule], 60 * met[rule], entry.table)
        for cookie, entry in desired.items()
        for rule in entry.rules
        if entry.table == Table.ENFORCEMENT and rule in met
    ]
    counters = np.array([*rows, (1, 99, 99, Table.ENFORCEMENT)], COUNTER)
    site.pump(site.engine.from_control(Message("counters", {"dpid": 2, "n": len(counters)}, counters.tobytes())))
    _, listed = site.call("hits")
    found = {row["rule"]: row for row in listed}
    assert found.keys() == {"sql", isolation["id"], "db"}
    entries = {rule: sum(1 for row in rows if row[1] == met[rule]) for rule in met}
    assert found["sql"]["packets"]["allowed"] == 7 * entries["sql"] > 0
    assert (found["sql"]["kind"], found["sql"]["action"], found["sql"]["mode"]) == ("policy", "allow", "enforce")
    assert found["db"] | {"vfns": {}} == {**found["db"], "kind": "default", "action": "deny", "vfns": {}}
    assert found[isolation["id"]]["mode"] == "enforce"
    assert site.rule(isolation["id"])["hits"]["packets"]["denied"] == 5 * entries[isolation["id"]] > 0
    assert found["sql"]["vfns"]["v2"]["bytes"]["allowed"] == 420 * entries["sql"]


def test_hits_of_a_rule_in_observe_are_told_as_that(site: Site) -> None:
    """Of a rule of the moment, too: who reads that it denies would look for what it has cut off."""
    site.connect()
    _, rule = site.call("create", action="isolate", source_vm="web2", scope="other_segments", mode="observe")
    _, listed = site.call("hits")
    assert [row["mode"] for row in listed if row["rule"] == rule["id"]] == ["observe"]


def test_an_answer_is_not_given_to_another_control(site: Site) -> None:
    """The policy that was being read is in force all the same; its request's number is somebody else's by now."""
    waiting: list[Callable[[], list[Outgoing]]] = []

    def put_off(work: Callable[[], Any], then: Callable[[Any], list[Outgoing]]) -> list[Outgoing]:
        waiting.append(lambda: then(work()))
        return []

    site.engine.reading = put_off
    data = {"request": 7, "method": "lay_down", "params": {"text": ALLOW}, "actor": "anna", "role": "operator"}
    assert site.service.call(Message("call", data)) == []
    site.service.control_gone()
    assert [out for work in waiting for out in work()] == []
    assert site.engine.policies.version.number == 1


@pytest.mark.parametrize("table", ["policy_versions", "audit"])
def test_a_store_that_is_gone_in_the_middle_of_an_apply_leaves_the_old_policy_whole(site: Site, table: str) -> None:
    """The disk takes the version but not its record, or neither: nothing of it is written, sent, or found later."""
    site.connect()
    site.call("lay_down", text=ALLOW)
    before, rows = dict(site.switches["v2"].entries), site.store.count
    with closing(sqlite3.connect(site.path)) as disk, disk:
        disk.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(AuditError, match="disk full"):
        site.call("lay_down", text="rules: []")
    with closing(sqlite3.connect(site.path)) as disk, disk:
        disk.execute("DROP TRIGGER full")
    assert site.engine.policies.version.text == ALLOW
    site.restart()
    site.connect()
    assert (site.engine.policies.version.number, site.engine.policies.newest) == (1, 1)
    assert dict(site.switches["v2"].entries) == before
    proven = audit.verify(site.path)
    assert proven.ok
    assert proven.count > rows
