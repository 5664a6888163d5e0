"""The engine from its first VFN to a restart, with switches in memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from support.network import Network, asking, ip_packet, own_addresses
from support.switch import TABLE_FULL, Site

from policies import audit
from policies.codec import COPIES_METER, Change, Happened
from policies.entries import TableEntry
from policies.pipeline.taps import Taps, copy_meters
from policies.simulate import Simulator
from runtime.channel import Message
from runtime.errors import TransientError
from runtime.settings import EngineSettings
from topology.addresses import mac_number
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: {default: deny}}\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v2, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  db1: {segment: db, vfn: v2, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
    "  dns1: {segment: db, vfn: v2, port: n1, mac: '02:00:00:00:00:04', addresses: [10.0.0.4], protected: true}\n"
    "outside: {gate: {vfn: v1, port: o1, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1]}}\n"
)


@pytest.fixture
def site(tmp_path):
    made = Site(INVENTORY, tmp_path / "dynseg.sqlite")
    yield made
    made.store.close()


def propose(site: Site, vm: str = "web1", proposal: int = 1, **more) -> None:
    fields = {"action": "isolate", "source_vm": vm, "segment": INVENTORY.vms[vm].segment, "scope": "all"}
    reasons = ["scanned 40 ports of 3 hosts"]
    evidence = {"risk": 91.0, "reasons": reasons, "evidence_time": site.time.now}
    site.say("propose", proposal=proposal, **{**fields, **evidence, **more})


def decided(site: Site) -> list[dict]:
    return [dict(message.data) for message in site.to_analyzer if message.kind == "decided"]


def live(site: Site) -> list[str]:
    """Ids of the last `rules` message to the analyzer."""
    return [rule["id"] for rule in [m for m in site.to_analyzer if m.kind == "rules"][-1].data["rules"]]


def passes(site: Site, source: str, target: str) -> bool:
    """Does a TCP packet get through what the switches really hold?"""
    network = Network(INVENTORY)
    for vfn, state in site.engine.enforcer.states.items():
        held = {entry.cookie for entry in site.switches[vfn].entries.values()}
        entries: list[TableEntry] = [entry for cookie, entry in state.desired.items() if cookie in held]
        assert len(entries) == len(held), "a switch holds what is not desired"
        network.vfns[vfn] = Simulator(entries)
    a, b = INVENTORY.vms[source], INVENTORY.vms[target]
    tcp = {"ip_proto": 6, "tcp_src": 50000, "tcp_dst": 80, "tcp_flags": 2}
    packet = ip_packet(a, own_addresses(a)[0], mac_number(b.mac), own_addresses(b)[0], tcp)
    asked = network.send(a, asking(a, own_addresses(a)[0], own_addresses(b)[0]))
    return network.send(a, packet) == [target] and asked == [target]


def test_a_vfn_that_connects_gets_its_whole_pipeline(site: Site) -> None:
    """Empty switches are filled by one bundle each, read back, and found whole."""
    site.connect()
    assert [switch.bundles for switch in site.switches.values()] == [1, 1]
    _, vfns = site.call("vfns")
    assert all(vfn["enforced"] and vfn["connected"] and vfn["enforced_ratio"] == 1.0 for vfn in vfns)
    assert [vfn["missing"] for vfn in vfns] == [[], []]
    assert passes(site, "web1", "web2")
    assert not passes(site, "web1", "db1")
    assert [body["vfn"] for body in site.audit("installed")] == ["v1", "v2"]


def test_a_proposal_is_carried_out_and_confirmed(site: Site) -> None:
    """A proposal cuts the VM off: urgent drops first, then the whole; each step is told and on record in order."""
    site.connect()
    site.sent.clear()
    propose(site)
    identity = decided(site)[0]["rule"]
    assert decided(site) == [{"rule": identity, "proposal": 1, "state": "installing", "reason": ""}]
    assert (site.sent[0].kind, site.sent[0].data["urgent"]) == ("apply", True)
    assert [message.data["dpid"] for message in site.sent] == [1] * len(site.sent), "only the VM's VFN is touched"
    rule = site.rule(identity)
    assert (rule["state"], rule["vfns"], rule["risk"]) == ("enforced", ["v1"], 91.0)
    assert rule["created"] < rule["installed_at"] < rule["enforced_at"]
    assert rule["expires"] == rule["created"] + site.settings.isolation_seconds
    assert not passes(site, "web1", "web2")
    assert not passes(site, "web2", "web1")
    kinds = [row.kind for row in site.store.audit(0, 100)][-4:]
    assert kinds == ["admitted", "installed", "installed", "enforced"]
    first = site.audit("installed")[-2]
    assert (first["urgent"], first["rules"], 0 < first["seconds"] < 0.1) == (True, [identity], True)
    assert live(site) == [identity]


@pytest.mark.parametrize("vm", ["web1", "web2", "db1"] * 4)
def test_steps_that_are_read_back_together_leave_the_highest(site: Site, vm: str) -> None:
    """Whichever of them is looked at first (their ids are drawn): the lesser one ends, and is not enforced after it."""
    site.connect()
    site.held = []
    for number, action in enumerate(("restrict", "isolate"), 1):
        propose(site, vm, number, action=action)
    restriction, isolation = (answer["rule"] for answer in decided(site))
    site.deliver_held()
    assert site.rule(isolation)["state"] == "enforced"
    assert site.rule(restriction)["state"] == "released"
    kinds = [row.kind for row in site.store.audit(0, 100) if row.body.get("rule") == restriction]
    assert kinds[-2:] == ["released", "removed"]


def test_a_released_rule_leaves_the_switches(site: Site) -> None:
    """A release takes the entries out, is told, and is on record as removed only after a read-back."""
    site.connect()
    before = {vfn: dict(switch.entries) for vfn, switch in site.switches.items()}
    propose(site)
    identity = decided(site)[0]["rule"]
    site.held = []
    status, value = site.call("release", id=identity)
    assert (status, value["state"], value["removed_at"]) == (200, "probation", None)
    assert site.audit("removed") == []
    site.deliver_held()
    assert {vfn: switch.entries for vfn, switch in site.switches.items()} == before
    assert passes(site, "web1", "web2")
    assert site.audit("removed")[0]["rule"] == identity
    assert site.rule(identity)["removed_at"] is not None
    assert live(site) == []
    assert [change["state"] for change in site.rule(identity)["history"]] == ["installing", "enforced", "probation"]
    status, value = site.call("release", id=identity)
    assert (status, value["state"]) == (200, "released"), "probation ends on command, too"
    status, value = site.call("release", id=identity)
    assert (status, "released" in value["error"]) == (409, True)


def test_a_rule_released_before_its_bundle_is_answered_is_removed_all_the_same(site: Site) -> None:
    """Entries that are still on their way when a rule ends are taken out, without being called drift."""
    site.connect()
    site.held = []
    propose(site)
    identity = decided(site)[0]["rule"]
    urgent, read = site.held
    site.held = None
    site.call("release", id=identity)
    assert site.audit("removed") == []
    site.held = [urgent, read]
    site.deliver_held()
    assert passes(site, "web1", "web2")
    assert site.audit("removed")[0]["rule"] == identity
    assert site.audit("drift") == []


def test_an_isolation_ends_by_itself(site: Site) -> None:
    """When its time is over a rule's entries leave, its VM is watched for a time, and then it is over."""
    site.connect()
    propose(site)
    site.pass_time(site.settings.isolation_seconds + 1)
    identity = decided(site)[0]["rule"]
    assert site.rule(identity)["state"] == "probation"
    assert passes(site, "web1", "web2")
    site.pass_time(site.settings.probation_seconds + 1)
    assert site.rule(identity)["state"] == "expired"
    kinds = [row.kind for row in site.store.audit(0, 1000) if row.body.get("rule") == identity]
    assert kinds == ["admitted", "enforced", "expiring", "removed", "probation", "expired"]


def test_refusals_are_told_and_on_record(site: Site) -> None:
    """Protected and unknown VMs, stale evidence and duplicates are refused with a reason and change nothing."""
    site.connect()
    propose(site, "dns1", 1)
    propose(site, "web1", 2, source_vm="web7")
    propose(site, "web1", 3, evidence_time=site.time.now - 3600)
    propose(site, "web1", 4)
    site.call("isolate", name="web2")
    propose(site, "web2", 5)
    states = [(d["proposal"], d["state"]) for d in decided(site)]
    assert states == [(1, "refused"), (2, "refused"), (3, "refused"), (4, "installing"), (5, "refused")]
    reasons = [body["reason"] for body in site.audit("refused")]
    for reason, words in zip(reasons, ("protected", "web7", "3600 s old", "already"), strict=True):
        assert words in reason
    assert passes(site, "web2", "dns1") is False  # default deny, not the refused rule
    assert sum(switch.urgent for switch in site.switches.values()) == 2


def test_people_isolate_allow_and_deny(site: Site) -> None:
    """The requests of REST make rules that hold, and errors name what is wrong."""
    site.connect()
    status, rule = site.call(
        "create", action="allow", source_ip="10.0.0.1", destination_vm="db1", protocol="tcp", port=80
    )
    assert (status, rule["action"], rule["vfns"], rule["issuer"]) == (201, "allow", ["v1", "v2"], "anna")
    assert site.rule(rule["id"])["state"] == "enforced"
    assert passes(site, "web1", "db1")
    assert not passes(site, "web2", "db1")
    status, rule = site.call("isolate", name="web1", scope="other_segments", seconds=60, reason="looks odd")
    assert (status, rule["reasons"], rule["scope"]) == (201, ["looks odd"], "other_segments")
    assert passes(site, "web1", "web2")
    assert not passes(site, "web1", "db1")
    status, rule = site.call("create", action="deny", source_ip="203.0.113.0/24")
    assert (status, rule["vfns"]) == (201, ["v1", "v2"])
    assert site.call("vm", name="web1")[1]["isolated"] == "other_segments"
    assert site.call("status")[1]["rules"] == {"enforced": 3}


@pytest.mark.parametrize(
    ("method", "params", "status", "words"),
    [
        ("isolate", {"name": "web9"}, 404, "did you mean"),
        ("isolate", {"name": "dns1"}, 409, "protected"),
        ("isolate", {"name": "web1", "scop": "all"}, 400, "scope"),
        ("isolate", {"name": "web1", "seconds": -1}, 400, "seconds"),
        ("isolate", {"name": "web1", "seconds": float("inf")}, 400, "seconds"),
        ("create", {"action": "destroy"}, 400, "action"),
        ("create", {"action": "isolate", "segment": "db", "source_vm": "web1"}, 400, "segment web"),
        ("create", {"action": "isolate"}, 400, "source_vm"),
        ("create", {"action": "allow", "source_ip": "10.0.0.1", "destination_vm": "db9"}, 400, "did you mean"),
        (
            "create",
            {"action": "allow", "source_ip": "10.0.0.1", "destination_vm": "db1", "port": 80},
            400,
            "tcp, udp",
        ),
        ("create", {"action": "allow", "source_ip": "10.0.0.1/8", "destination_vm": "db1"}, 400, "write 10.0.0.0/8"),
        (
            "create",
            {"action": "allow", "source_ip": "fd00::1", "destination_vm": "db1", "source_vm": "web1"},
            400,
            "leave",
        ),
        ("create", {"action": "deny", "source_ip": "10.0.0.1"}, 400, "isolate web1 instead"),
        ("create", {"action": "deny", "source_ip": "0.0.0.0/0"}, 400, "holds the address of VM"),
        ("rules", {"state": "gone"}, 400, "state"),
        ("rule", {"id": "123"}, 404, "no rule"),
        ("release", {"id": "123"}, 404, "no rule"),
        ("audit", {"limit": 0}, 400, "limit"),
        ("vm", {}, 400, "name: missing"),
        ("isolat", {}, 404, "did you mean `isolate`"),
    ],
)
def test_wrong_requests_are_answered_with_error_and_remedy(site: Site, method, params, status, words) -> None:
    """Each mistake has its status, says what is wrong and what to do, and no rule comes of it."""
    answer = site.call(method, **params)
    assert answer[0] == status
    assert set(answer[1]) >= {"error", "remedy"}
    assert words in f"{answer[1]['error']} {answer[1]['remedy']}"
    assert site.engine.book.in_force() == {}


def test_a_person_and_the_analyzer_may_isolate_the_same_vm(site: Site) -> None:
    """A person's lasting isolation stands beside an automatic one; the VM is free when both are gone."""
    site.connect()
    propose(site)
    automatic = decided(site)[0]["rule"]
    status, own = site.call("isolate", name="web1")
    assert status == 201
    status, again = site.call("isolate", name="web1")
    assert (status, again["rule"]) == (409, own["id"])
    assert site.call("release", id=automatic)[1]["still_in_force"] == [own["id"]]
    assert not passes(site, "web1", "web2")
    assert site.audit("removed")[0]["rule"] == automatic
    site.call("release", id=own["id"])
    assert passes(site, "web1", "web2")


def test_a_restart_that_changes_nothing_sends_nothing(site: Site) -> None:
    """After a crash the rules come from the store, what is installed is read, and no entry and no meter is written."""
    site.connect()
    propose(site)
    before = site.rule(decided(site)[0]["rule"])
    site.restart()
    site.connect()
    assert {message.body for message in site.sent if message.kind == "apply"} == {site.codec.watch()}
    assert {message.kind for message in site.sent} == {"read", "apply"}
    assert site.rule(before["id"]) == before
    assert not passes(site, "web1", "web2")


def test_what_ended_while_a_vfn_was_away_leaves_when_it_returns(site: Site) -> None:
    """A rule that is released without its VFN is removed after its return, also by another engine."""
    site.connect()
    propose(site)
    identity = decided(site)[0]["rule"]
    site.disconnect("v1")
    site.call("release", id=identity)
    assert site.audit("removed") == []
    site.restart()
    site.connect()
    assert passes(site, "web1", "web2")
    assert site.audit("removed")[0]["rule"] == identity


def test_a_rule_waits_for_its_vfn(site: Site) -> None:
    """A rule for a VFN that is away is installing, and enforced once it has come."""
    site.connect("v2")
    propose(site)
    identity = decided(site)[0]["rule"]
    assert site.rule(identity)["state"] == "installing"
    site.connect("v1")
    assert site.rule(identity)["state"] == "enforced"


def test_lost_altered_and_strange_entries_are_repaired_and_told(site: Site) -> None:
    """What somebody else does to a VFN is undone as soon as it is known, and on record as drift, with the ratio."""
    site.connect()
    propose(site)
    rule = decided(site)[0]["rule"]
    entries = site.switches["v1"].entries
    before = dict(entries)
    cut = next(key for key in entries if key[:2] == (0, 60_000))
    foreign = site.codec.installed(TableEntry(0, 65_535, (), (), 8))
    del entries[cut]
    entries[foreign.table, foreign.priority, foreign.match] = foreign
    assert not site.audit("drift")
    ratios = [body["enforced_ratio"] for body in site.audit("ratio") if body["vfn"] == "v1"]
    assert ratios == [0.0, 1.0]
    site.report("v1", Change(Happened.ADDED, foreign))
    assert entries == before
    ratios = [body["enforced_ratio"] for body in site.audit("ratio") if body["vfn"] == "v1"]
    assert (ratios[2], ratios[3]) == (round(1 - 1 / len(before), 6), 1.0)
    (drift,) = site.audit("drift")
    assert (drift["vfn"], drift["lost"], drift["strange"]) == ("v1", 1, 1)
    assert drift["lost_entries"] == [{"table": 0, "priority": 60_000, "rules": [rule]}]
    assert drift["strange_entries"][0]["priority"] == 65_535
    site.pass_time(6)
    assert len(site.audit("drift")) == 1


def test_a_report_that_cannot_be_read_may_be_of_anything(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the VFN is read, and what somebody has done to it is undone."""
    site.connect()
    entries = site.switches["v1"].entries
    before = dict(entries)
    entries.pop(next(iter(entries)))

    def unreadable(_: bytes) -> list[Change]:
        raise TransientError("no change at byte 16 of 32: length 20302")

    monkeypatch.setattr(site.codec, "decode_changes", unreadable)
    site.report("v1")
    assert entries == before


def test_entries_of_another_owner_are_removed_on_connect(site: Site) -> None:
    """A VFN that comes with entries that are not dynseg's is cleaned, and that is on record."""
    foreign = site.codec.installed(TableEntry(0, 1, (), (), 8))
    foreign = type(foreign)(0, 1, 0x1234, foreign.match, foreign.instructions, 0, 0)
    site.switches["v1"].entries[0, 1, foreign.match] = foreign
    site.connect()
    assert foreign not in site.switches["v1"].entries.values()
    (drift,) = site.audit("drift")
    assert drift["strange_entries"] == [{"table": 0, "priority": 1, "cookie": "0x1234"}]


def test_a_rule_that_a_switch_refuses_fails_alone(site: Site) -> None:
    """A full table fails the new rule by name and leaves the old policy whole; later the rule is tried again."""
    site.connect()
    propose(site, "web2")
    switch = site.switches["v1"]
    switch.room = len(switch.entries)
    whole = dict(switch.entries)
    status, rule = site.call("create", action="deny", source_ip="203.0.113.66")
    assert status == 201
    failed = site.rule(rule["id"])
    assert (failed["state"], "VFN v1" in failed["detail"], "table full" in failed["detail"]) == ("failed", True, True)
    assert switch.entries == whole
    told = [body for body in site.audit("failed") if not body["urgent"]]
    assert (told[0]["vfn"], told[0]["rules"]) == ("v1", [rule["id"]])
    assert not passes(site, "web2", "web1")
    switch.room += 100
    site.pass_time(3)
    assert site.rule(rule["id"])["state"] == "enforced"
    assert [body["rule"] for body in site.audit("retried")] == [rule["id"]]
    assert TABLE_FULL["code"] == told[0]["errors"][0]["code"]


def test_a_vfn_that_does_not_answer_is_asked_again(site: Site) -> None:
    """A reading that is never answered is given up, on record, and tried again."""
    site.connect()
    site.held = []
    site.pass_time(6)
    site.pass_time(16)
    assert "no answer" in site.audit("failed")[0]["reason"]
    site.held = None
    site.pass_time(3)
    assert all(vfn["enforced"] for vfn in site.call("vfns")[1])


def test_a_vfn_whose_entries_do_not_stay_is_given_a_rest(site: Site) -> None:
    """Somebody who undoes every bundle at once does not keep the engine busy: it fails and backs off."""
    switch = site.switches["v1"]
    apply = switch.apply

    def undone(body: bytes, down: Collection[int] = (), up: Collection[int] = ()) -> list[dict[str, Any]]:
        errors = apply(body, down, up)
        switch.entries.clear()
        return errors

    switch.apply = undone
    site.connect()
    assert switch.bundles == 4
    assert "still not there" in site.audit("failed")[0]["reason"]
    switch.apply = apply
    site.pass_time(3)
    assert all(vfn["enforced"] for vfn in site.call("vfns")[1])


def test_detections_are_on_record_and_thinned_out(site: Site) -> None:
    """One row a VM and behaviour in ten seconds, with the number of those it stands for."""
    for risk in (50.0, 70.0, 60.0):
        site.say("detection", vm="web1", risk=risk, reasons=["x"], behaviour="scan", time=site.time.now)
    site.say("detection", address="203.0.113.1", risk=40.0, reasons=["y"], behaviour="scan", time=site.time.now)
    assert [(body.get("vm"), body["count"]) for body in site.audit("detection")] == [("web1", 1), (None, 1)]
    site.pass_time(11)
    assert [(body["risk"], body["count"]) for body in site.audit("detection")[2:]] == [(70.0, 2)]
    site.say("detection", vm="web1", risk=400.0, reasons=["x"], behaviour="scan", time=site.time.now)
    assert len(site.audit("detection")) == 3


def test_the_analyzer_is_told_what_counters_mean(site: Site) -> None:
    """Cookies of the source class name its VM, those of drops the rules behind them."""
    site.connect()
    propose(site)
    identity = decided(site)[0]["rule"]
    message = [m for m in site.to_analyzer if m.kind == "cookies" and m.data["dpid"] == 1][-1]
    entries = message.data["entries"].values()
    assert {"table": 5, "vm": "web1", "verdict": "allow", "rules": []} in entries
    assert {"table": 8, "vm": "web1", "verdict": "drop", "rules": [identity]} in entries
    assert {int(cookie) for cookie in message.data["entries"]} <= {
        e.cookie for e in site.switches["v1"].entries.values()
    }
    site.to_analyzer.clear()
    site.pump(site.engine.analyzer_here())
    assert [m.kind for m in site.to_analyzer] == ["consents", "rules", "cookies", "cookies"]


def test_a_port_that_comes_later_is_programmed_then(site: Site) -> None:
    """Ports that are absent are reported and have no entries; when they come, they get them."""
    dpid = INVENTORY.vfns["v1"].dpid
    site.connected.add("v1")
    early = {name: number for name, number in site.ports("v1").items() if name != "w1"}
    site.pump(site.engine.from_control(Message("vfn_up", {"dpid": dpid, "ports": early, "down": []})))
    assert site.call("vfns")[1][0]["missing"] == ["w1"]
    assert site.call("vm", name="web1")[1]["attached"] is False
    site.pump(site.engine.from_control(Message("vfn_ports", {"dpid": dpid, "ports": site.ports("v1"), "down": []})))
    site.connect("v2")
    assert site.call("vfns")[1][0]["missing"] == []
    assert passes(site, "web1", "web2")


def test_a_rule_that_the_inventory_no_longer_bears_is_released_at_start(site: Site) -> None:
    """After a change of the inventory a rule on a VM that is now protected or gone ends, with its reason."""
    site.connect()
    propose(site)
    identity = decided(site)[0]["rule"]
    text = "segments: {web: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\nlinks: [{a: v1, a_port: a, b: v2, b_port: b}]"
    site.inventory = parse(text)
    site.restart()
    assert site.rule(identity)["state"] == "released"
    assert "inventory has changed" in site.rule(identity)["detail"]
    site.connect()
    assert site.audit("removed")[0]["rule"] == identity


def test_the_whole_story_is_a_proven_chain(site: Site) -> None:
    """After all kinds of events the audit log verifies."""
    site.connect()
    propose(site)
    site.pass_time(700)
    site.engine.stop()
    result = audit.verify(site.path)
    assert result.error is None
    assert result.count == site.store.count > 8
    assert result.head == site.store.head


def test_settings_decide_how_long_an_isolation_holds(tmp_path) -> None:
    """`engine.isolation_seconds` is the life of an automatic rule."""
    site = Site(INVENTORY, tmp_path / "x.sqlite", EngineSettings(isolation_seconds=5))
    site.connect()
    propose(site)
    assert site.engine.patience() is not None
    site.pass_time(4)
    assert not passes(site, "web1", "web2")
    site.pass_time(2)
    assert passes(site, "web1", "web2")
    site.store.close()


def meters_of(site: Site, vfn: str) -> dict[int, int]:
    """Of the connections of each VM, of the copies of each port, and of whatever else is copied."""
    ends = {"v1": ("o1", "w1"), "v2": ("w2", "d1", "n1")}[vfn]
    ports = [site.ports(vfn)[name] for name in ends]
    own = {vm.number: 30 for vm in INVENTORY.vms.values() if vm.vfn == vfn}
    return {**own, **copy_meters(ports, 70, Taps()), COPIES_METER: 70}


def test_copies_and_connections_are_limited_before_anything_is_copied_or_kept(site: Site) -> None:
    """Meters go ahead of the entries; they are set once."""
    site.connect()
    for vfn in ("v1", "v2"):
        assert site.switches[vfn].meters == meters_of(site, vfn)
    watch, meters, bundle = [m for m in site.sent if m.kind == "apply" and m.data["dpid"] == 1]
    assert [watch.body, meters.body] == [site.codec.watch(), site.codec.set_meters(meters_of(site, "v1"))]
    assert bundle.data["urgent"] is False
    site.switches["v1"].meters[1] = 99
    site.disconnect("v1")
    site.sent.clear()
    site.connect("v1")
    assert site.switches["v1"].meters == meters_of(site, "v1")
    assert [message.kind for message in site.sent] == ["apply", "read", "apply", "apply", "read"]


def test_refused_meters_are_put_on_record(site: Site) -> None:
    """A switch without meters still gets its policy."""
    site.switches["v1"].refuses = "meter"
    site.connect()
    (told,) = site.audit("failed")
    assert told["vfn"] == "v1"
    assert "does not take its meters" in told["reason"]
    assert all(vfn["enforced"] for vfn in site.call("vfns")[1])


def test_a_switch_that_does_not_tell_of_changes_is_read_each_time(site: Site) -> None:
    """The refusal is on record, and entries that somebody alters are found all the same."""
    site.switches["v1"].refuses = "watch"
    site.connect()
    assert "does not tell of changes" in site.audit("failed")[0]["reason"]
    site.pass_time(6)
    entries = site.switches["v1"].entries
    key, entry = next(iter(entries.items()))
    entries[key] = entry._replace(instructions=b"altered")
    site.pass_time(6)
    assert entries[key] == entry


def test_a_port_is_down_until_the_drops_are_seen_to_hold(site: Site) -> None:
    """An isolated VM loses its link at once, and has it again when its VFN was read back with the rule."""
    site.connect()
    site.sent.clear()
    propose(site)
    number = site.ports("v1")["w1"]
    applies = [message.data for message in site.sent if message.kind == "apply"]
    assert [(data.get("down"), data.get("up")) for data in applies] == [
        ([number], None),
        (None, None),
        (None, [number]),
    ]
    assert [message.kind for message in site.sent] == ["apply", "apply", "read", "apply"]
    assert site.switches["v1"].down == set()
    site.sent.clear()
    site.call("isolate", name="web2", scope="other_segments")
    assert not [message for message in site.sent if "down" in message.data], "only scope all cuts a port"


def test_a_port_of_a_rule_that_is_released_at_once_comes_up(site: Site) -> None:
    """The rule is over before its entries were read back."""
    site.connect()
    site.held = []
    propose(site)
    identity = decided(site)[0]["rule"]
    site.call("release", id=identity)
    site.deliver_held()
    assert site.switches["v1"].down == set()
    assert passes(site, "web1", "web2")


@pytest.mark.parametrize("released", [False, True])
def test_a_port_that_a_dead_engine_left_down_comes_up(site: Site, released: bool) -> None:
    """Whatever became of the rule, the next engine brings the port up when the VFN was read back; no other port."""
    site.connect()
    site.held = []
    propose(site)
    switch, number = site.switches["v1"], site.ports("v1")["w1"]
    switch.apply(site.held[0].body, down=[number, site.ports("v1")["o1"]])
    if released:
        site.call("release", id=decided(site)[0]["rule"])
    site.held = None
    site.restart()
    site.connect()
    assert switch.down == {site.ports("v1")["o1"]}, "somebody else has taken that one down"
    assert passes(site, "web1", "web2") is released
