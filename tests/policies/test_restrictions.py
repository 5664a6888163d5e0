"""Everything that restricts a VM: rules of people, of the analyzer, of the policy, and its segment's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.network import networks
from support.policies import packets, policies
from support.switch import Site

from policies.explain.restrictions import may_be
from policies.reference import decide
from policies.rules import Verdict
from policies.terms import moment
from topology.inventory import parse

INVENTORY = (
    "segments: {web: {labels: {app: shop}}, db: {default: deny}}\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  db1: {segment: db, vfn: v2, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
    "outside: {gate: {vfn: v1, port: o1, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1]}}\n"
)


@pytest.fixture
def site(tmp_path: Path):
    made = Site(parse(INVENTORY), tmp_path / "dynseg.sqlite")
    made.connect()
    yield made
    made.store.close()


def rows(site: Site, vm: str) -> list[dict[str, Any]]:
    status, value = site.call("restrictions", name=vm)
    assert status == 200
    found: list[dict[str, Any]] = value
    return found


def test_every_kind_of_restriction_is_told_with_its_origin(site: Site) -> None:
    """The first to decide first; allows, and what is about others, are none."""
    until = moment(site.time.now + 3600)
    site.call(
        "lay_down",
        text="rules:\n"
        f"- {{name: no-mail, action: deny, from: {{labels: {{app: shop}}}}, to: outside, service: {{protocol: tcp, "
        f'ports: 25}}, owner: bert, comment: spam, expires: "{until}", priority: 9}}\n'
        "- {name: look, action: deny, from: any, to: {networks: [10.0.0.0/30]}, mode: observe}\n"
        "- {name: sql, action: allow, from: any, to: {segment: db}}\n"
        "- {name: other, action: deny, from: {vm: db1}, to: outside}\n",
    )
    site.say("propose", proposal=1, action="isolate", source_vm="web1", segment="web", scope="all", risk=91.0,
             reasons=["scanned 40 ports"], evidence_time=site.time.now)  # fmt: skip
    told = rows(site, "web1")
    assert [(row["rule"], row["direction"], row["other"]) for row in told[2:]] == [
        ("look", "from", "10.0.0.0/30"),
        ("look", "to", "anybody"),
        ("no-mail", "from", "segment outside"),
    ]
    assert [(row["kind"], row["tier"], row["cut"], row["issuer"], row["why"]) for row in told[:2]] == [
        ("segmentation", "quarantine", True, "analyzer", "scanned 40 ports")
    ] * 2
    assert {row["direction"] for row in told[:2]} == {"from", "to"}
    assert told[0]["until"] == pytest.approx(told[0]["since"] + site.settings.isolation_seconds, abs=1)
    mail = told[4]
    assert (mail["issuer"], mail["why"], mail["services"], mail["mode"]) == ("bert", "spam", ["tcp/25"], "enforce")
    assert (mail["vfns"], mail["hits"]["denied"], moment(mail["until"])) == (["v1"], 0, until)
    assert (told[2]["mode"], told[2]["why"]) == ("observe", "version 1 of the policy")


def test_a_segments_default_restricts_its_vms(site: Site) -> None:
    """Until a rule allows; a VM that nobody has is told."""
    assert [(row["rule"], row["kind"], row["direction"]) for row in rows(site, "db1")] == [("db", "default", "to")]
    assert rows(site, "web1") == []
    assert site.call("restrictions", name="web9")[0] == 404


def test_a_released_rule_restricts_no_more(site: Site) -> None:
    """What has ended is not told."""
    _, rule = site.call("isolate", name="web1")
    assert rows(site, "web1")
    site.call("release", id=rule["id"])
    assert rows(site, "web1") == []


@given(st.data())
@settings(suppress_health_check=list(HealthCheck))
def test_whatever_drops_a_vms_packet_may_be_about_it(data: st.DataObject) -> None:
    """A rule that the reference finds to decide is among those that are told of each VM at its ends."""
    inventory = data.draw(networks(plain=False))
    policy = data.draw(policies(inventory))
    _, _, packet = data.draw(packets(inventory))
    decision = decide(inventory, policy, (), packet)
    for acl in decision.judgement.acls if decision.verdict is Verdict.DROP else ():
        for name, end in ((packet.source, acl.source), (packet.destination, acl.destination)):
            assert name is None or may_be(end, inventory.vms[name], policy.lists)


def test_what_limits_or_steers_a_vm_restricts_it(site: Site) -> None:
    """At the top, with how much passes; it is about nobody else."""
    _, rule = site.call("create", action="rate_limit", source_vm="web1", rate=50, reason="noisy")
    row = next(row for row in rows(site, "web1") if row["rule"] == rule["id"])
    assert (row["direction"], row["other"], row["why"], row["state"]) == (
        "both",
        "at most 50 packets/s",
        "noisy",
        "enforced",
    )
    assert all(row["rule"] != rule["id"] for row in rows(site, "db1"))
