"""The JSON Schema of policy files: fresh, and of one mind with the models about examples and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from policies.document import parse_document
from policies.schema import json_schema
from runtime.errors import PolicyError

PUBLISHED = Path(__file__).parents[2] / "docs" / "policy.schema.json"
RULE = {"name": "r", "action": "allow", "from": "any", "to": {"segment": "web"}}


def valid(document: Any) -> bool:
    return bool(Draft202012Validator(json_schema()).is_valid(document))


def read(document: Any) -> bool:
    try:
        parse_document(yaml.safe_dump(document))
    except PolicyError:
        return False
    return True


def test_the_published_schema_is_that_of_the_models() -> None:
    """`dynseg policy schema > docs/policy.schema.json` after a change of the keys."""
    assert json.loads(PUBLISHED.read_text()) == json_schema()
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"from": "outside", "service": "web"},
        {"from": {"networks": ["192.0.2.0/24"]}, "service": ["web", {"protocol": "tcp", "ports": "80-90"}]},
        {"from": {"labels": {"app": "web", "env": ["a", "b"]}, "segment": "x"}, "priority": 7},
        {"mode": "observe", "tier": "operator", "owner": "anna", "comment": "why", "expires": "2099-01-01T00:00:00Z"},
        {"schedule": {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}},
        {"service": {"protocol": "udp", "ports": 53, "source_ports": ["1024-65535", 53]}},
    ],
)
def test_what_is_right_is_right_for_both(fields: dict[str, Any]) -> None:
    """An editor marks nothing that the engine takes."""
    document = {"services": {"web": {"protocol": "tcp", "ports": [80, "443"]}}, "rules": [{**RULE, **fields}]}
    assert (valid(document), read(document)) == (True, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"too": "any"},
        {"action": "alow"},
        {"from": "all"},
        {"from": {"segmnt": "web"}},
        {"service": {"protocol": "tcp", "prts": 80}},
        {"service": {"protocol": "tcp", "ports": [0]}},
        {"priority": 3001},
        {"tier": "quarantine"},
        {"schedule": {"day": "mon"}},
        {"from": {"networks": []}},
        {"name": "no spaces"},
    ],
)
def test_what_is_wrong_is_wrong_for_both(fields: dict[str, Any]) -> None:
    """An editor marks it before anybody is asked."""
    document = {"rules": [{**RULE, **fields}]}
    assert (valid(document), read(document)) == (False, False)
