"""Differences of policies: by name, whatever the order and form."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from policies.diff import difference
from policies.document import parse_document, rebased
from policies.schema import PolicyDoc, plain
from policies.terms import DAYS

ONE = """\
services: {web: {protocol: tcp, ports: [80, 443]}}
rules:
- {name: a, action: allow, from: any, to: {segment: web}, service: web}
- {name: b, action: deny, from: any, to: any, priority: 5}
"""
PEERS = st.sampled_from(
    [
        "any",
        "outside",
        {"vm": "web1"},
        {"segment": "db"},
        {"networks": ["192.0.2.0/24", "2001:db8::1"]},
        {"labels": {"app": ["web", "db"], "env": "prod"}, "segment": "web"},
    ]
)
SERVICES = st.sampled_from(["web", ["web"], {"protocol": "tcp", "ports": "1-5"}, [{"protocol": "icmp"}, "web"]])
SCHEDULES = st.fixed_dictionaries(
    {"days": st.lists(st.sampled_from(DAYS), min_size=1)}, optional={"from": st.just("08:00"), "to": st.just("17:30")}
)
WHEN = st.integers(1_800_000_000, 1_900_000_000).map(lambda at: datetime.fromtimestamp(at, UTC).isoformat())
RULES = st.fixed_dictionaries(
    {"action": st.sampled_from(["allow", "deny"]), "from": PEERS, "to": PEERS},
    optional={
        "service": SERVICES,
        "mode": st.just("observe"),
        "priority": st.integers(0, 3000).map(str),
        "tier": st.sampled_from(["policy", "operator"]),
        "owner": st.text("ab", max_size=3),
        "expires": WHEN,
        "schedule": SCHEDULES,
    },
)


@st.composite
def documents(draw: st.DrawFn) -> PolicyDoc:
    rules = [{"name": f"r{number}", **rule} for number, rule in enumerate(draw(st.lists(RULES, max_size=4)))]
    services = {"web": {"protocol": "tcp", "ports": [80, "8000-8010"]}}
    return PolicyDoc.model_validate({"services": services, "rules": rules})


def test_what_is_added_removed_and_changed_is_told_by_name() -> None:
    """Of a change only the keys that differ; order and notation are no change."""
    other = """\
rules:
- {name: c, action: deny, from: outside, to: any}
- {priority: 7, name: b, action: deny, from: any, to: any}
services:
  web: [{protocol: tcp, ports: 80}]
"""
    rows = difference(parse_document(ONE), parse_document(other))
    assert [(row["part"], row["name"], row["change"]) for row in rows] == [
        ("rules", "a", "removed"),
        ("rules", "b", "changed"),
        ("rules", "c", "added"),
        ("services", "web", "changed"),
    ]
    assert (rows[1]["before"], rows[1]["after"]) == ({"priority": 5}, {"priority": 7})
    again = ONE.replace("{segment: web}", "{'segment': web}").replace("priority: 5", 'priority: "5", tier: policy')
    assert difference(parse_document(ONE), parse_document(again)) == []


@given(documents())
def test_a_document_as_json_means_the_same_when_it_is_read_again(doc: PolicyDoc) -> None:
    """Export and apply are a way back."""
    assert parse_document(json.dumps(plain(doc))) == doc
    assert difference(doc, parse_document(json.dumps(plain(doc)))) == []


@given(documents(), documents())
def test_no_rows_means_no_difference(one: PolicyDoc, other: PolicyDoc) -> None:
    """And every row names something that one of the two has."""
    rows = difference(one, other)
    assert (not rows) == ({rule.name: rule for rule in one.rules} == {rule.name: rule for rule in other.rules})


def test_an_exported_text_says_from_which_version_it_is_made() -> None:
    """Its comments stay; a text in braces becomes JSON."""
    for text in (ONE, f"# mine\n{ONE}", f"%YAML 1.1\n---\n{ONE}", f"base_version: 2\n{ONE}"):
        made = rebased(text, 7)
        assert parse_document(made).base_version == 7
        assert difference(parse_document(made), parse_document(ONE)) == []
        assert ("# mine" in made) == ("# mine" in text)
    braces = rebased("{rules: []}", 7)
    assert json.loads(braces) == {"base_version": 7}
