"""Consents in the engine, with switches in memory: in force, on record, in the switches, and out of them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.switch import Site

from policies import audit
from policies.consent import ConsentState
from policies.entries import ToController
from policies.pipeline.payload import MOST_BYTES, rate
from policies.pipeline.tables import Table
from policies.pipeline.taps import CopyMeter
from runtime.channel import Message
from topology.inventory import parse

TEXT = (
    "segments: {web: , db: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v2, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  db1: {segment: db, vfn: v2, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
)
RULES = 'rule card { strings: $a = /[0-9]{16}/ condition: $a }\nrule key { strings: $a = "BEGIN" condition: $a }'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "secrets.yar").write_text(RULES)
    made = Site(parse(TEXT), tmp_path / "dynseg.sqlite")
    made.connect()
    yield made
    made.store.close()


def grant(site: Site, seconds: float = 60.0, **more: Any) -> tuple[int, Any]:
    about = {} if "segment" in more else {"vm": "web1"}
    said = {"purpose": "find leaks", "patterns": ["secrets:card"], "agreed_by": "the council"}
    return site.call("grant", **{**about, **said, "until": site.time.now + seconds, **more})


def granted(site: Site, seconds: float = 60.0, **more: Any) -> str:
    status, value = grant(site, seconds, **more)
    assert status == 201, value
    return str(value["id"])


def copied(site: Site) -> dict[str, set[str]]:
    """By VFN, the VMs whose payload is copied by what its switch really holds; looked for by their meters."""
    found: dict[str, set[str]] = {}
    for vfn, state in site.engine.enforcer.states.items():
        meters = {CopyMeter.PAYLOAD.of(port): name for name, port in site.ports(vfn).items()}
        ports = {vm.port: vm.name for vm in site.inventory.vms.values() if vm.vfn == vfn}
        installed = {entry.cookie for entry in site.switches[vfn].entries.values()}
        assert installed == set(state.desired), "a switch holds what is not desired"
        for entry in state.desired.values():
            for step in entry.steps:
                if isinstance(step, ToController) and step.max_len == MOST_BYTES and step.meter in meters:
                    found.setdefault(vfn, set()).add(ports[meters[step.meter]])
    return found


def told(site: Site) -> list[Any]:
    """The consents of the last message to the analyzer."""
    return list([m for m in site.to_analyzer if m.kind == "consents"][-1].data["consents"])


def test_nothing_is_copied_without_consent(site: Site) -> None:
    """No entry with a payload meter, no such meter."""
    assert copied(site) == {}
    assert all(number >> 15 != CopyMeter.PAYLOAD for switch in site.switches.values() for number in switch.meters)
    assert site.call("consents") == (200, [])


def test_a_consent_copies_just_its_vm_at_its_own_vfn(site: Site) -> None:
    """Both directions, under the VM's own meter; read back, told to the analyzer, and on record whole."""
    identity = granted(site)
    assert copied(site) == {"v1": {"web1"}}
    entries = [
        entry
        for entry in site.engine.enforcer.states["v1"].desired.values()
        if any(isinstance(step, ToController) and step.max_len == MOST_BYTES for step in entry.steps)
    ]
    assert {entry.table for entry in entries} >= {Table.TAP, Table.FORWARD}
    assert site.switches["v1"].meters[CopyMeter.PAYLOAD.of(site.ports("v1")["w1"])] == 20
    (consent,) = told(site)
    assert (consent["id"], consent["vms"], consent["patterns"]) == (identity, ["web1"], ["secrets:card"])
    assert set(consent["digests"]) == {"secrets"}
    (body,) = site.audit("consent_granted")
    assert {key: body[key] for key in ("consent", "vm", "purpose", "agreed_by")} == {
        "consent": identity, "vm": "web1", "purpose": "find leaks", "agreed_by": "the council",
    }  # fmt: skip
    (inspecting,) = site.audit("inspecting")
    assert (inspecting["vms"], inspecting["vfns"]) == (["web1"], ["v1"])
    assert site.call("consent", id=identity)[1]["in_force"] is True


def test_a_segment_is_all_its_vms(site: Site) -> None:
    """At each of their VFNs, and nobody else's."""
    granted(site, segment="web")
    assert copied(site) == {"v1": {"web1"}, "v2": {"web2"}}


def test_a_withdrawal_goes_ahead_of_everything(site: Site) -> None:
    """The analyzer hears first; the first message to the switch deletes; the read-back is on record."""
    identity = granted(site)
    site.held, site.to_analyzer = [], []
    status, value = site.call("withdraw", id=identity, reason="enough")
    assert (status, value["state"], value["in_force"]) == (200, "withdrawn", False)
    assert told(site) == []
    first = site.held[0]
    assert (first.kind, first.data["urgent"], first.data["dpid"]) == ("apply", True, 1)
    assert site.audit("inspection_over") == []
    site.switches["v1"].apply(first.body)
    cookies = {entry.cookie for entry in site.switches["v1"].entries.values()}
    assert cookies <= set(site.engine.enforcer.states["v1"].desired), "that one message has taken every copy out"
    site.deliver_held()
    assert copied(site) == {}
    assert site.audit("inspection_over")[0]["consent"] == identity
    assert site.audit("consent_withdrawn")[0]["reason"] == "enough"
    assert site.audit("drift") == []
    assert site.call("withdraw", id=identity)[0] == 409
    assert site.call("withdraw", id="nothing")[0] == 404


def test_a_withdrawal_overtakes_what_is_being_compiled(site: Site) -> None:
    """A compilation that still knew of the consent does not bring its copies back."""
    engine = site.engine
    identity = granted(site)
    engine.enforcer.ports("v1", site.ports("v1"), ())
    work = engine.enforcer.next_work()
    assert work is not None
    entries = engine.enforcer.compile(work)
    site.call("withdraw", id=identity)
    site.pump(engine._finish(engine.enforcer.want(work, entries, site.time.now)))
    site.pass_time(0.0)
    assert copied(site) == {}


def test_it_expires_by_itself(site: Site) -> None:
    """At its end, by the engine's clock; the switch is read back without."""
    identity = granted(site, seconds=30.0)
    assert (site.engine.patience() or 0.0) <= 30.0
    site.pass_time(29.0)
    assert copied(site) == {"v1": {"web1"}}
    site.pass_time(1.5)
    assert copied(site) == {}
    assert told(site) == []
    assert site.audit("consent_expired")[0]["reason"] == "its time is over"
    assert site.call("consent", id=identity)[1]["state"] == "expired"
    assert site.call("consents") == (200, [])
    assert [one["id"] for one in site.call("consents", all="true")[1]] == [identity]


def test_it_begins_by_itself(site: Site) -> None:
    """Not before its start."""
    granted(site, **{"from": site.time.now + 10.0})
    assert copied(site) == {}
    assert told(site) == [] if any(m.kind == "consents" for m in site.to_analyzer) else True
    site.pass_time(11.0)
    assert copied(site) == {"v1": {"web1"}}


def test_overlapping_consents_each_live_their_own_time(site: Site) -> None:
    """The VM is copied while one is left; of patterns only those of the one that is left may be searched for."""
    short = granted(site, seconds=10.0, patterns=["secrets:key"])
    long = granted(site, seconds=60.0)
    assert {one["id"] for one in told(site)} == {short, long}
    site.pass_time(11.0)
    assert copied(site) == {"v1": {"web1"}}
    assert [(one["id"], one["patterns"]) for one in told(site)] == [(long, ["secrets:card"])]
    site.call("withdraw", id=long)
    assert copied(site) == {}


def test_a_clock_that_is_set_back_lengthens_nothing(site: Site) -> None:
    """The steady clock counts on; and after a restart the last thing on record says how late it was."""
    start = site.time.now
    granted(site, seconds=100.0, **{"from": start - 5000.0})
    book = site.engine.consents
    assert book.turn(start + 50.0, start + 50.0) is False
    assert book.turn(start - 1000.0, start + 60.0) is False
    assert book.turn(start - 990.0, start + 99.0) is False
    assert book.turn(start - 950.0, start + 101.0) is True
    assert book.inspected() == frozenset()


def test_a_restart_with_the_clock_set_back_does_not_revive_it(site: Site) -> None:
    """What has expired is over for good; what was agreed to goes on for what is left of it."""
    granted(site, seconds=30.0)
    site.pass_time(31.0)
    site.time.now -= 500.0
    site.restart()
    site.connect()
    assert copied(site) == {}


def test_it_outlives_the_engine(site: Site) -> None:
    """After a restart it is in force, and the switch that has it gets nothing new."""
    identity = granted(site)
    bundles = site.switches["v1"].bundles
    site.restart()
    site.connect()
    assert copied(site) == {"v1": {"web1"}}
    assert site.switches["v1"].bundles == bundles
    assert site.engine.consents.in_force[0].id == identity
    site.pump(site.engine.analyzer_here())
    assert told(site)[0]["id"] == identity


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (
            "segment: web, vfn: v1",
            "segment: db, vfn: v1",
            "was in segment web when this was agreed to and is in db now",
        ),
        ("  web1: {", "  web9: {", "there is no VM web1 any more"),
    ],
)
def test_a_vm_that_moves_or_goes_takes_its_consent_along(site: Site, before: str, after: str, why: str) -> None:
    """What was agreed to for a VM in one segment does not hold in another."""
    granted(site)
    site.inventory = parse(TEXT.replace(before, after))
    site.restart()
    site.connect()
    assert copied(site) == {}
    assert why in site.audit("consent_expired")[0]["reason"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"vm": "web3"}, "no VM 'web3'"),
        ({"segment": "wep"}, "no segment 'wep'"),
        ({"until": 999_999.0}, "is past"),
        ({"until": 1_000_000.0 + 40 * 86_400}, "more than 31 days"),
        ({"patterns": ["nothing"]}, "cannot be read"),
        ({"patterns": ["secrets:nothing"]}, "no rule 'nothing'"),
        ({"until": 1_000_100.0, "from": 1_000_200.0}, "is not after"),
        ({"purpose": " "}, "says nothing"),
        ({"payload": True}, "unknown key"),
    ],
)
def test_what_cannot_be_agreed_to_is_refused(site: Site, fields: dict[str, Any], error: str) -> None:
    """400 with the reason and a remedy; nothing is on record, nothing copied."""
    status, value = grant(site, **fields)
    assert (status, error in value["error"], bool(value["remedy"])) == (400, True, True), value
    assert site.audit("consent_granted") == []
    assert copied(site) == {}


def test_patterns_that_do_not_compile_name_file_and_line(site: Site) -> None:
    """And so do those that could carry payload elsewhere."""
    folder = site.path.parent / "patterns"
    (folder / "broken.yar").write_text('rule a {\n strings: $a = "x"\n condition: $b }')
    (folder / "talks.yar").write_text('import "console"\nrule a { condition: console.log("x", uint8(0)) }')
    (folder / "reads.yar").write_text('include "/etc/passwd"')
    for name, place in (("broken", "broken.yar:3"), ("talks", "talks.yar:1"), ("reads", "reads.yar:1")):
        status, value = grant(site, patterns=[name])
        assert (status, place in value["error"]) == (400, True), value


def test_the_chain_holds(site: Site) -> None:
    """Everything about consents is part of the audit chain; a whole life has its rows in order."""
    identity = granted(site)
    site.call("withdraw", id=identity)
    kinds = [row.kind for row in site.store.audit(0, 1000) if row.body.get("consent") == identity]
    assert kinds == ["consent_granted", "inspecting", "consent_withdrawn", "inspection_over"]
    assert audit.verify(site.path).ok
    assert site.store.consents()[0].state is ConsentState.WITHDRAWN


def test_a_vfn_that_is_away_is_caught_up_with(site: Site) -> None:
    """It is without its controller, so nobody gets its copies; when it comes back they go, and only then is it told."""
    identity = granted(site)
    site.disconnect("v1")
    site.call("withdraw", id=identity)
    assert any(entry.table == Table.TAP and entry.priority == 1100 for entry in site.switches["v1"].entries.values())
    site.pass_time(1.0)
    assert site.audit("inspection_over") == []
    site.connect("v1")
    assert copied(site) == {}
    assert site.audit("inspection_over")[0]["vfns"] == ["v1"]


def test_a_withdrawal_overtakes_the_bundle_of_its_grant(site: Site) -> None:
    """A bundle is committed after a barrier of its own, so the deletion may come first: the cycle sees to it."""
    site.held = []
    identity = granted(site)
    under_way = len(site.held)
    assert under_way
    site.call("withdraw", id=identity)
    site.held = [*site.held[under_way:], *site.held[:under_way]]
    site.deliver_held()
    assert copied(site) == {}
    assert site.audit("inspection_over")[0]["consent"] == identity


def test_a_withdrawal_right_after_a_vfn_has_connected(site: Site) -> None:
    """Its goal of before is not acted upon; the first that it is given has no copies any more."""
    identity = granted(site)
    site.disconnect("v1")
    site.connected.add("v1")
    up = site.engine.from_control(Message("vfn_up", {"dpid": 1, "ports": site.ports("v1"), "down": []}))
    _, withdrawn = site.engine.withdraw(identity, "anna", "")
    assert [out.to for out in withdrawn] == ["analyzer"]
    site.pump([*up, *withdrawn])
    assert copied(site) == {}
    assert site.audit("drift") == []


def test_a_vfn_that_is_away_is_not_said_to_copy(site: Site) -> None:
    """Only those that were read back are named."""
    site.disconnect("v2")
    granted(site, segment="web")
    assert [body["vfns"] for body in site.audit("inspecting")] == [["v1"]]


def test_a_switch_that_refuses_copies_goes_on_without(site: Site) -> None:
    """The consent ends with the switch's reason; rules are enforced there as before."""
    switch = site.switches["v1"]
    switch.room = len(switch.entries)
    identity = granted(site)
    assert site.call("consent", id=identity)[1]["state"] == "refused"
    assert "table full" in site.audit("consent_refused")[0]["reason"]
    assert copied(site) == {}
    switch.room = 1_000_000
    assert site.call("isolate", name="web1")[0] == 201
    assert [row["vfns"] for row in site.audit("enforced")] == [["v1"]]


def test_what_a_vfn_copies_is_bounded(site: Site) -> None:
    """Its VMs under a consent share what it may copy (70 a second here)."""
    assert rate(20, 70, 1) == 20
    assert rate(20, 70, 7) == 10
    assert rate(20, 70, 1000) == 1
