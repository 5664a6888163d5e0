"""docs/policy.md: every example is a policy, every key has one, and every template and command is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from policies import templating
from policies.document import parse_document, read
from policies.schema import ListDoc, PeerDoc, PolicyDoc, RuleDoc, ScheduleDoc, ServiceDoc, json_schema, plain
from topology.inventory import parse as parse_inventory

GUIDE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
INVENTORY = parse_inventory(
    "segments: {web: {labels: {env: prod}}, db: {labels: {env: prod}}}\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  dns1: {segment: web, vfn: v1, port: p2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2],\n"
    "    labels: {app: backup}}\n"
    "  db1: {segment: db, vfn: v1, port: p3, mac: '02:00:00:00:00:03', addresses: [10.0.0.3], labels: {app: shop}}\n"
)


def keys_in(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_in, value.values()))
    return set().union(*map(keys_in, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_policy(text: str) -> None:
    """For the engine, and for editors by the schema."""
    assert read(text, INVENTORY, lambda _: (), now=1.8e9).remarks == ()
    assert list(Draft202012Validator(json_schema()).iter_errors(yaml.safe_load(text))) == []


def test_every_key_has_an_example() -> None:
    """Of the file, its rules and their parts."""
    shown = set().union(*(keys_in(plain(parse_document(text))) for text in EXAMPLES))
    # What is as by default is left out of the plain form; that the example says it is seen in its text.
    shown |= {key for key in ("mode", "file") if re.search(rf"\b{key}: ", "".join(EXAMPLES))}
    models = (PolicyDoc, RuleDoc, PeerDoc, ServiceDoc, ListDoc, ScheduleDoc)
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}
    assert keys - shown == set()


def test_every_template_is_told_with_its_parameters() -> None:
    """In the table."""
    for name in templating.names():
        row = next(line for line in GUIDE.splitlines() if line.startswith(f"| `{name}` |"))
        assert all(f"`{parameter}`" in row for parameter in templating.load(name).parameters)
