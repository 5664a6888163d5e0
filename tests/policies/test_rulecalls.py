"""Modes, approval, the hold switch, the ladder, budget and probation, from a proposal to the switch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.switch import Site

from runtime.settings import EngineSettings
from topology.inventory import parse

VMS = 12
INVENTORY = parse(
    "segments: {web: , ops: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    + "".join(
        f"  web{n}: {{segment: web, vfn: v1, port: w{n}, mac: '02:00:00:00:00:{n:02x}', addresses: [10.0.0.{n}]}}\n"
        for n in range(1, VMS + 1)
    )
    + "  dns1: {segment: ops, vfn: v1, port: n1, mac: '02:00:00:00:01:01', addresses: [10.0.1.1], protected: true}\n"
    "  trap: {segment: ops, vfn: v1, port: t1, mac: '02:00:00:00:01:02', addresses: [10.0.1.2], inspection: true}\n"
    "outside: {gate: {vfn: v1, port: o1, mac: '02:00:00:00:ff:01'}}\n"
)
SETTINGS = EngineSettings(isolation_seconds=60, repeat_seconds=(300, 900), probation_seconds=120, budget_vms=3)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(INVENTORY, tmp_path / "dynseg.sqlite", SETTINGS)
    made.connect()
    yield made
    made.store.close()


def propose(site: Site, action: str = "isolate", risk: float = 80.0, **more) -> dict:
    """What the analyzer asks and is told."""
    whom = {} if "source_ip" in more else {"source_vm": "web1"}
    evidence = {"risk": risk, "reasons": ["40 ports"], "evidence_time": site.time.now, "behaviour": "scan"}
    site.say("propose", **{"proposal": 1, "action": action, **whom, **evidence, **more})
    return dict([m for m in site.to_analyzer if m.kind == "decided"][-1].data)


def states(site: Site, vm: str = "web1") -> list[tuple[str, str]]:
    """Action and state of the rules about a VM, oldest first."""
    records = reversed(site.store.rules())
    return [(record.rule.action.value, record.state.value) for record in records if record.rule.source_vm == vm]


def test_what_could_not_open_anything_is_refused_by_name(site: Site) -> None:
    """An allow of an address that is denied at the same rank: whoever asks is told of the denial."""
    _, denial = site.call("create", action="deny", source_ip="192.0.2.9")
    status, told = site.call("create", action="allow", source_ip="192.0.2.9", destination_vm="web1")
    assert (status, told["ground"]) == (409, "shadowed")
    assert denial["id"] in told["error"]


def test_the_hold_switch_makes_automatic_rules_wait(site: Site) -> None:
    """From the next proposal on, over a restart, on record and in the status; what people do goes on."""
    assert site.call("hold", on=True, reason="exercise")[0] == 200
    site.restart()
    site.connect()
    told = propose(site)
    assert told["state"] == "proposed"
    assert "held by anna" in told["reason"]
    assert site.call("isolate", name="web2")[0] == 201
    hold = site.call("status")[1]["hold"]
    assert (hold["on"], hold["actor"], hold["reason"]) == (True, "anna", "exercise")
    assert site.call("hold", on=False)[0] == 200
    assert propose(site, source_vm="web3")["state"] == "installing"
    assert [body["on"] for body in site.audit("hold")] == [True, False]


def test_a_rule_that_waits_is_approved_or_rejected_by_somebody_else(site: Site) -> None:
    """Its issuer may not approve it; approved it is enforced and lasts as asked from then on; rejected it is over."""
    status, rule = site.call("create", action="isolate", source_vm="web1", seconds=100, mode="propose")
    assert (status, rule["state"], rule["mode"]) == (202, "proposed", "propose")
    status, value = site.call("approve", id=rule["id"])
    assert (status, "your own" in value["error"]) == (409, True)
    site.pass_time(50)
    status, value = site.call("approve", actor="bert", id=rule["id"])
    assert (status, value["state"], value["approved_by"]) == (200, "installing", "bert")
    assert site.rule(rule["id"])["state"] == "enforced"
    assert site.rule(rule["id"])["expires"] == pytest.approx(site.time.now + 100, abs=1)
    changes = [change["state"] for change in site.rule(rule["id"])["history"]]
    assert changes == ["proposed", "approved", "installing", "enforced"]
    _, other = site.call("create", action="isolate", source_vm="web2", mode="propose")
    assert site.call("reject", actor="bert", id=other["id"], reason="no")[1]["state"] == "refused"
    for method in ("approve", "reject"):
        assert site.call(method, actor="bert", id=other["id"])[0] == 409
        assert site.call(method, actor="bert", id="f" * 12)[0] == 404


def test_nobody_approves_in_time(site: Site) -> None:
    """A proposal expires, never having been in a switch; what was rejected is not proposed again for a while."""
    site.call("hold", on=True)
    first = propose(site)["rule"]
    assert propose(site)["rule"] == first, "asked again it is the same proposal"
    site.pass_time(site.settings.proposal_seconds + 1)
    assert site.rule(first)["state"] == "expired"
    assert site.audit("removed") == []
    second = propose(site)["rule"]
    site.call("reject", id=second)
    assert propose(site)["state"] == "refused"
    assert site.audit("refused")[-1]["ground"] == "rejected"
    site.restart()
    assert propose(site)["state"] == "refused", "the engine remembers"
    site.pass_time(site.settings.rejected_seconds + 1)
    assert propose(site)["state"] == "proposed"


def test_modes_of_network_segment_and_action(site: Site) -> None:
    """The most cautious that applies holds, people's stand over the settings', and null takes theirs away."""
    assert site.call("set_modes", segments={"web": "propose"})[1]["segments"] == {"web": "propose"}
    assert propose(site)["state"] == "proposed"
    assert site.call("set_modes", actions={"deny": "observe"})[1]["set"] == {
        "segments": {"web": "propose"}, "actions": {"deny": "observe"},
    }  # fmt: skip
    told = propose(site, "deny", source_ip="198.51.100.7")
    assert (told["state"], site.rule(told["rule"])["mode"]) == ("installing", "observe")
    assert site.rule(told["rule"])["state"] == "enforced"
    site.call("set_modes", segments={"web": None}, overall="enforce")
    assert propose(site, source_vm="web2")["state"] == "installing"
    assert site.call("modes")[1]["segments"] == {}
    assert site.call("set_modes", segments={"wbe": "observe"})[0] == 404
    assert site.call("set_modes", actions={"allow": "observe"})[0] == 400


def test_a_rule_in_observe_is_not_told_as_in_force(site: Site) -> None:
    """The analyzer goes on judging a VM that nothing holds."""
    site.call("set_modes", overall="observe")
    propose(site)
    assert [m for m in site.to_analyzer if m.kind == "rules"][-1].data["rules"] == []
    assert site.call("vm", name="web1")[1]["isolated"] is None


def test_each_offence_lasts_longer_until_it_is_forgiven(site: Site) -> None:
    """The first, second and third hold longer; over a restart; a false alarm is not counted, and needs no probation."""
    holds = []
    for _ in range(4):
        identity = propose(site)["rule"]
        rule = site.rule(identity)
        holds.append(rule["expires"] - rule["created"])
        site.call("release", id=identity)
        assert site.rule(identity)["state"] == "probation"
        site.pass_time(5)
        site.restart()
        site.connect()
    assert holds == pytest.approx([60, 300, 900, 900])
    identity = propose(site)["rule"]
    assert site.rule(identity)["offence"] == 5
    assert site.call("release", id=identity, false_alarm=True, reason="backup")[1]["state"] == "released"
    assert site.audit("released")[-1]["false_alarm"] is True
    assert site.rule(propose(site)["rule"])["offence"] == 5
    site.pass_time(site.settings.forget_seconds + 2000)
    assert site.rule(propose(site)["rule"])["offence"] == 1


def test_a_relapse_on_probation_is_answered_by_the_full_step(site: Site) -> None:
    """What asks for less comes back as what it was, above the risk of a relapse; below it and later it does not."""
    first = propose(site)["rule"]
    site.call("release", id=first)
    site.pass_time(10)
    told = propose(site, "rate_limit", risk=60.0)
    assert site.rule(told["rule"])["action"] == "isolate"
    assert "relapse" in told["reason"]
    assert site.rule(first)["state"] == "released", "its probation is over"
    site.call("release", id=told["rule"])
    site.pass_time(10)
    mild = propose(site, "rate_limit", risk=40.0)["rule"]
    assert site.rule(mild)["action"] == "rate_limit"


def test_a_step_that_does_not_help_is_followed_by_the_next(site: Site) -> None:
    """Newer evidence after a step was enforced leads up the ladder; the lesser rule ends when the stronger is there."""
    propose(site, "rate_limit", rate=50)
    site.pass_time(2)
    assert propose(site, "rate_limit", rate=50)["state"] == "installing"
    assert states(site) == [("rate_limit", "released"), ("steer", "enforced")]
    site.pass_time(2)
    peers = [{"net": "10.0.0.0/28", "protocol": "tcp", "port": 443}]
    propose(site, "rate_limit", peers=peers)
    site.pass_time(2)
    propose(site, "rate_limit")
    assert states(site)[2:] == [("restrict", "released"), ("isolate", "enforced")]
    assert [site.rule(record.rule.id)["offence"] for record in site.store.rules()] == [1, 1, 1, 1]
    before = site.rule(site.store.rules()[0].rule.id)["expires"]
    site.pass_time(2)
    assert propose(site)["state"] == "enforced", "merged: there is nothing above"
    assert site.rule(site.store.rules()[0].rule.id)["expires"] > before
    assert len(site.audit("merged")) == 1


def test_the_lesser_rule_stands_until_the_stronger_is_there(site: Site) -> None:
    """A switch that has no room for the isolation goes on limiting."""
    limit = propose(site, "rate_limit")["rule"]
    site.switches["v1"].room = len(site.switches["v1"].entries)
    isolation = propose(site, "isolate")["rule"]
    assert (site.rule(isolation)["state"], site.rule(limit)["state"]) == ("failed", "enforced")
    site.switches["v1"].room = 1_000_000
    site.pass_time(3)
    site.pass_time(10)
    assert (site.rule(isolation)["state"], site.rule(limit)["state"]) == ("enforced", "released")
    (ended,) = site.audit("released")
    assert (ended["rule"], ended["was"], ended["superseded_by"]) == (limit, "enforced", isolation)


def test_what_has_ended_by_itself_leaves_the_lesser_steps(site: Site) -> None:
    """A VM that came to rest is on probation; one that is isolated stays so, as nobody could see it rest."""
    limit, cut = propose(site, "rate_limit")["rule"], propose(site, source_vm="web2")["rule"]
    for vm in ("web1", "web2", "web3"):
        site.say("calm", vm=vm, since=site.time.now - 300)
    assert (site.rule(limit)["state"], site.rule(cut)["state"]) == ("probation", "enforced")
    watched = [m for m in site.to_analyzer if m.kind == "rules"][-1].data["probation"]
    assert watched == [{"source_vm": "web1", "source_ip": None, "rule": limit}]


def test_beyond_the_budget_the_rate_is_limited_instead(site: Site) -> None:
    """A quarter of a segment may be cut off; then VMs are limited, then rules wait; people are not counted."""
    assert site.call("isolate", name="web12")[0] == 201
    told = [propose(site, source_vm=f"web{number}") for number in range(1, 11)]
    actions = [site.rule(one["rule"])["action"] for one in told]
    assert actions == ["isolate"] * 3 + ["rate_limit"] * 6 + ["isolate"]
    assert [one["state"] for one in told] == ["installing"] * 9 + ["proposed"]
    assert "3 of 12 VMs" in told[3]["reason"]
    assert site.audit("admitted")[4]["downgraded"] is True
    assert site.call("approve", id=told[9]["rule"])[0] == 200, "a person is not bound by it"


def test_the_budget_is_remembered_over_a_restart_and_for_its_time(tmp_path: Path) -> None:
    """What was released counts until the hour is over; without lessening it is held or refused."""
    for what, state in (("hold", "proposed"), ("refuse", "refused")):
        settings = SETTINGS.model_copy(update={"over_budget": what, "budget_seconds": 1000.0})
        site = Site(INVENTORY, tmp_path / f"{what}.sqlite", settings)
        site.connect()
        for number in (1, 2, 3):
            site.call("release", id=propose(site, source_vm=f"web{number}")["rule"])
        site.pass_time(300)
        site.restart()
        site.connect()
        assert propose(site, source_vm="web4")["state"] == state
        assert propose(site, source_vm="web3")["state"] == "installing", "it is one of those already"
        site.pass_time(1000)
        assert propose(site, source_vm="web5")["state"] == "installing"
        site.store.close()


def test_a_rule_that_does_harm_is_rolled_back(site: Site) -> None:
    """It leaves the switches at once, with its evidence on record, without probation and as no offence."""
    identity = propose(site)["rule"]
    site.pump(site.engine.roll_back(identity, "ordinary flows are dropped", {"flows": 12}))
    assert site.rule(identity)["state"] == "rolled_back"
    assert site.audit("rolled_back")[0]["evidence"] == {"flows": 12}
    assert site.audit("removed")[0]["rule"] == identity
    assert site.rule(propose(site)["rule"])["offence"] == 1


def test_failed_rules_are_not_tried_again_while_everything_is_held(site: Site) -> None:
    """An automatic rule that a switch refuses waits for approval then, like a new one; a person's goes on."""
    site.switches["v1"].room = len(site.switches["v1"].entries)
    automatic = propose(site)["rule"]
    _, own = site.call("isolate", name="web2")
    assert {site.rule(identity)["state"] for identity in (automatic, own["id"])} == {"failed"}
    site.call("hold", on=True)
    site.switches["v1"].room = 1_000_000
    for _ in range(10):
        site.pass_time(3)
    assert (site.rule(automatic)["state"], site.rule(own["id"])["state"]) == ("proposed", "enforced")


def test_a_failed_rule_that_expires_is_known_to_be_gone(tmp_path: Path) -> None:
    """Nothing has to be read back of what no switch holds."""
    site = Site(INVENTORY, tmp_path / "x.sqlite", EngineSettings(isolation_seconds=1))
    site.connect()
    site.switches["v1"].room = len(site.switches["v1"].entries)
    identity = propose(site)["rule"]
    site.pass_time(1.5)
    site.pass_time(0.1)
    rule = site.rule(identity)
    assert (rule["state"], rule["removed_at"] is not None) == ("probation", True)
    site.store.close()


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("create", {"action": "restrict", "source_vm": "web1", "peers": [{"net": "10.0.0.300"}]}, "peers.0.net"),
        ("create", {"action": "rate_limit", "source_vm": "web1", "rate": 0}, "rate"),
        ("create", {"action": "isolate", "source_vm": "web1", "mode": "perhaps"}, "mode"),
        ("hold", {}, "on"),
        ("set_modes", {"overall": "later"}, "overall"),
        ("approve", {}, "id"),
        ("release", {"id": "a", "falsealarm": True}, "falsealarm"),
    ],
)
def test_what_is_written_wrong_is_named(site: Site, method: str, params: dict, words: str) -> None:
    """400 with the key."""
    status, value = site.call(method, **params)
    assert status == 400
    assert words in value["error"]
