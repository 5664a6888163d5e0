"""Commands about consents, against a running control; the peer behind it answers as the engine does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.control import Node, answered

from cli.main import main
from runtime.tokens import Role

CALLS: list[Mapping[str, Any]] = []
CONSENT = {
    "id": "c0ffee",
    "vm": None,
    "segment": "web",
    "purpose": "leaks",
    "patterns": ["cards"],
    "agreed_by": "the council",
    "state": "agreed",
    "in_force": True,
    "start": 1_790_000_000.0,
    "until": 1_790_003_600.0,
}


def answer(call: Mapping[str, Any]) -> tuple[int, Any]:
    """What the engine would answer, in small."""
    CALLS.append(call)
    match call["method"]:
        case "consents":
            return 200, [CONSENT]
        case "grant":
            return 201, CONSENT
        case "withdraw":
            return 200, {**CONSENT, "state": "withdrawn", "in_force": False}
    return 404, {"error": "no method", "remedy": "none"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with answered(tmp_path_factory.mktemp("consents"), answer) as running:
        yield running


def dynseg(node: Node, *arguments: str) -> Result:
    CALLS.clear()
    return CliRunner().invoke(main, ["consent", *arguments], env=node.environment)


def test_consents_are_listed_for_people(node: Node) -> None:
    """Whom each is about, and when, in the zone in which it is written; `--all` is passed on."""
    done = dynseg(node, "list", "--all")
    assert done.exit_code == 0, done.output
    assert CALLS[-1]["params"] == {"all": "true"}
    for words in ("c0ffee", "segment web", "cards", "2026-09-21T14:13:20Z", "2026-09-21T15:13:20Z"):
        assert words in done.stdout
    assert json.loads(dynseg(node, "list", "--json").stdout) == [CONSENT]


def test_a_file_is_laid_down_with_the_token_of_an_admin(node: Node, tmp_path: Path) -> None:
    """Its keys, checked here already."""
    path = tmp_path / "consent.yaml"
    path.write_text("segment: web\npurpose: leaks\npatterns: [cards]\nagreed_by: us\nuntil: 2027-01-01T00:00:00Z\n")
    done = dynseg(node, "grant", str(path))
    assert done.exit_code == 0, done.output
    assert CALLS[-1]["actor"] == "admin"
    assert CALLS[-1]["params"] == {
        "segment": "web", "purpose": "leaks", "patterns": ["cards"], "agreed_by": "us", "until": 1_798_761_600.0,
    }  # fmt: skip


def test_an_operator_can_end_but_not_begin(node: Node) -> None:
    """To look into what people say takes an admin; a viewer can only see the consents."""
    assert node.ask("POST", "/v1/consents", Role.OPERATOR, json={}).status_code == 403
    assert node.ask("DELETE", "/v1/consents/c0ffee", Role.VIEWER).status_code == 403
    assert node.ask("DELETE", "/v1/consents/c0ffee", Role.OPERATOR).status_code == 200
    assert node.ask("GET", "/v1/consents", Role.VIEWER).status_code == 200


def test_a_wrong_file_asks_nobody(node: Node, tmp_path: Path) -> None:
    """One line with file, line and key."""
    path = tmp_path / "consent.yaml"
    path.write_text("segment: web\npurpose: leaks\npatterns: [cards]\nagreed_by: us\nuntill: 2027-01-01T00:00:00Z\n")
    done = dynseg(node, "grant", str(path))
    assert (done.exit_code, CALLS) == (1, [])
    assert f"{path}:5: untill: unknown key" in done.output


def test_a_withdrawal_says_why(node: Node) -> None:
    """By an operator's token."""
    done = dynseg(node, "withdraw", "c0ffee", "--reason", "enough")
    assert done.exit_code == 0, done.output
    assert "withdrawn" in done.stdout
    assert (CALLS[-1]["actor"], CALLS[-1]["params"]) == ("operator", {"id": "c0ffee", "reason": "enough"})
