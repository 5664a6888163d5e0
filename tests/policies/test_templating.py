"""Templates: each can be filled in, means what it says, and takes nothing but plain values."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
import yaml
from jsonschema import Draft202012Validator

from policies import templating
from policies.acl import Policy
from policies.document import parse
from policies.reference import TCP, UDP, Packet, Tracked, decide
from policies.rules import Verdict
from policies.schema import json_schema
from runtime.errors import PolicyError
from topology.inventory import parse as parse_inventory

NOW = 1_800_000_000.0
INVENTORY = parse_inventory(
    "segments: {web: , db: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v1, port: p2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  db1: {segment: db, vfn: v1, port: p3, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
)
VALUES = {
    "default-deny": {"dns": "db1", "ntp": "db1", "updates": "192.0.2.0/28"},
    "quarantine": {"vm": "web1", "remediation": "db1"},
    "vendor-access": {"vendor": "198.51.100.7", "vm": "web1"},
}


def filled(name: str, **more: str) -> Policy:
    text = templating.fill(templating.load(name), {**VALUES[name], **more}, INVENTORY, NOW)
    return parse(text, INVENTORY, lambda _: ())


def passes(policy: Policy, source: str, target: str, port: int, proto: int = TCP, *, reply: bool = False) -> bool:
    ends = [INVENTORY.vms.get(name) for name in (source, target)]
    addresses = [vm.addresses[0] if vm else ip_address(name) for vm, name in zip(ends, (source, target), strict=True)]
    names = [vm.name if vm else None for vm in ends]
    packet = Packet(names[0], names[1], addresses[0], addresses[1], proto, 50000, port, 0x12 if reply else 2)
    tracked = Tracked.REPLY if reply else Tracked.NEW
    return decide(INVENTORY, policy, (), packet, tracked).verdict is Verdict.ALLOW


@pytest.mark.parametrize("name", templating.names())
def test_every_template_is_a_policy_that_editors_know(name: str) -> None:
    """Filled in it is one, also by the published schema that its first line names."""
    text = templating.fill(templating.load(name), VALUES[name], INVENTORY, NOW)
    assert text.startswith("# yaml-language-server: $schema=policy.schema.json\n")
    assert list(Draft202012Validator(json_schema()).iter_errors(yaml.safe_load(text))) == []
    assert parse(text, INVENTORY, lambda _: ()).acls


@pytest.mark.parametrize("net", ["fd00:1::", "::/64", "2001:db8::/32", "198.51.100.0/24"])
def test_any_way_to_write_a_network_is_one(net: str) -> None:
    """Also those that begin or end with colons, which mean something to YAML."""
    for name, key in (("default-deny", "updates"), ("vendor-access", "vendor")):
        assert ip_network(net) in {
            one for acl in filled(name, **{key: net}).acls for one in (*acl.source.nets, *acl.destination.nets)
        }


def test_default_deny_leaves_names_time_and_updates() -> None:
    """Within a segment everything; between segments only what is named, once it is enforced."""
    text = templating.fill(templating.load("default-deny"), VALUES["default-deny"], INVENTORY, NOW)
    policy = parse(text.replace("    mode: observe\n", ""), INVENTORY, lambda _: ())
    assert [acl.rule_id for acl in policy.acls] == ["names", "time", "updates", "within-web", "within-db", "between"]
    assert passes(policy, "web1", "web2", 8080)
    assert not passes(policy, "web1", "db1", 5432)
    assert passes(policy, "web1", "db1", 53, UDP)
    assert passes(policy, "web1", "db1", 123, UDP)
    assert passes(policy, "web1", "192.0.2.7", 443)
    assert not passes(policy, "web1", "203.0.113.7", 443)
    assert passes(filled("default-deny"), "web1", "db1", 5432), "it begins by observing"


def test_quarantine_leaves_only_who_mends() -> None:
    """Both ways, and connections that stand are cut."""
    policy = filled("quarantine")
    assert passes(policy, "db1", "web1", 22)
    assert passes(policy, "web1", "db1", 443)
    for source, target in (("web1", "web2"), ("web2", "web1"), ("web1", "192.0.2.7")):
        assert not passes(policy, source, target, 443)
        assert not passes(policy, source, target, 443, reply=True)
    assert {terms.expires for terms in policy.terms.values()} == {NOW + 24 * 3600}
    assert policy.at(NOW + 24 * 3600).acls == ()


def test_a_vendor_reaches_one_service_for_two_hours() -> None:
    """Or as many as are given."""
    policy = filled("vendor-access")
    assert passes(policy, "198.51.100.7", "web1", 22)
    assert not passes(policy, "198.51.100.7", "web1", 80)
    assert not passes(policy, "198.51.100.7", "web2", 22)
    assert passes(policy, "198.51.100.8", "web2", 22), "nothing is said of others"
    assert policy.at(NOW + 2 * 3600 - 1).acls == policy.acls
    assert policy.at(NOW + 2 * 3600).acls == ()
    assert filled("vendor-access", hours="5").next_change(NOW) == NOW + 5 * 3600


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "to be filled in: vendor: address or network"),
        ({"vendr": "192.0.2.1"}, "no parameter 'vendr' (did you mean `vendor`?"),
        ({"vendor": "192.0.2.1}, action: allow, x: {"}, "no plain value"),
        ({"vendor": "a\nrules: []"}, "no plain value"),
        ({"vendor": "192.0.2.1", "vm": "web1", "hours": "two"}, "cannot be filled in"),
    ],
)
def test_what_is_missing_unknown_or_no_value_is_told(values: dict[str, str], said: str) -> None:
    """A value cannot become more than a value."""
    with pytest.raises(PolicyError) as caught:
        templating.fill(templating.load("vendor-access"), values, INVENTORY, NOW)
    assert said in str(caught.value).replace("--set: ", "")


def test_a_template_that_is_not_there_is_told() -> None:
    """With the nearest one."""
    with pytest.raises(PolicyError, match="did you mean `quarantine`"):
        templating.load("quarantin")
