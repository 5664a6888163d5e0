"""In which order many VFNs are sent what they must hold, and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.switch import Site

from policies.reconcile import FEW
from policies.rules import Action, Scope, SegmentationRule
from policies.translate import translate
from topology.inventory import parse

VFNS = ("v1", "v2", "v3")
INVENTORY = parse(
    "segments: {web: {default: deny}}\n"
    f"vfns: {{{', '.join(f'{name}: {{dpid: {number}}}' for number, name in enumerate(VFNS, 1))}}}\n"
    "links: [{a: v1, a_port: p2, b: v2, b_port: u2}, {a: v1, a_port: p3, b: v3, b_port: u3}]\nvms:\n"
    + "".join(
        f"  web{n}: {{segment: web, vfn: v{n}, port: w{n}, mac: '02:00:00:00:00:0{n}', addresses: [10.0.0.{n}]}}\n"
        for n in (1, 2, 3)
    )
)
POLICY = {
    "rules": [
        {
            "name": f"r{number}",
            "action": "allow",
            "from": {"segment": "web"},
            "to": {"segment": "web"},
            "service": {"protocol": "tcp", "ports": [1000 + 2 * number]},
        }
        for number in range(FEW + 1)
    ]
}


@pytest.fixture
def site(tmp_path: Path):
    made = Site(INVENTORY, tmp_path / "dynseg.sqlite")
    made.connect()
    made.sent.clear()
    yield made
    made.store.close()


def test_all_are_sent_a_policy_before_any_is_read_back(site: Site) -> None:
    """What changes packets goes ahead of what proves that it did; in the end all is proven."""
    assert site.call("lay_down", policy=POLICY)[0] == 200
    assert [message.kind for message in site.sent] == ["apply"] * 3 + ["read"] * 3
    assert site.call("policy")[1]["state"] == "enforced"


def test_control_is_told_where_drops_have_ended(site: Site) -> None:
    """Not of what a policy begins to allow, nor of an isolation; of its end, at its VFN alone."""
    assert site.call("lay_down", policy=POLICY)[0] == 200
    _, answer = site.call("isolate", name="web2", scope="all")
    bundles = [message for message in site.sent if message.kind == "apply" and not message.data["urgent"]]
    assert [message.data["freed"] for message in bundles] == [False] * 4
    site.sent.clear()
    assert site.call("release", id=answer["id"])[0] == 200
    (bundle,) = [message for message in site.sent if message.kind == "apply" and not message.data["urgent"]]
    assert (bundle.data["dpid"], bundle.data["freed"]) == (2, True)


def test_a_reading_waits_for_others_for_a_while_only(site: Site) -> None:
    """A compile that takes long holds up the proof for a second at most."""
    at_once = site.engine.aside
    compiled = []

    def first_only(work, then):
        compiled.append(work)
        return at_once(work, then) if len(compiled) == 1 else []

    site.engine.aside = first_only
    assert site.call("lay_down", policy=POLICY)[0] == 200
    assert [message.kind for message in site.sent] == ["apply"]
    site.pass_time(1.0)
    assert [message.kind for message in site.sent] == ["apply", "read"]
    assert site.engine.enforcer.states[VFNS[0]].in_sync


def test_a_reading_that_waits_is_not_sent_to_a_vfn_that_is_gone(site: Site) -> None:
    """When it is back it is read from the start, and the old reading never goes out."""
    site.engine.aside = lambda work, then: [] if len(site.sent) else then(work())
    assert site.call("lay_down", policy=POLICY)[0] == 200
    (vfn,) = {site.inventory.vfn_by_dpid[message.data["dpid"]].name for message in site.sent}
    site.disconnect(vfn)
    site.pass_time(1.0)
    assert [message.kind for message in site.sent] == ["apply"]


def test_rules_that_are_asked_for_already_cause_nothing(site: Site) -> None:
    """Nor does taking back what was never asked for; what did turn has only its own VFN compiled."""
    enforcer = site.engine.enforcer
    rule = SegmentationRule("r1", Action.ISOLATE, "anna", 1.0, source_vm="web2", scope=Scope.ALL)
    group = translate(rule, INVENTORY)
    enforcer.change_rules({"r1": group, "never": ()})
    assert enforcer.behind == 1
    work = enforcer.next_work()
    assert work is not None
    assert (work.vfn, work.rules) == ("v2", frozenset({"r1"}))
    enforcer.want(work, enforcer.compile(work), 0.0)
    enforcer.change_rules({"r1": translate(rule, INVENTORY), "never": ()})
    assert not enforcer.compiling
    enforcer.change_rules({"r1": ()})
    assert enforcer.next_work() is not None
