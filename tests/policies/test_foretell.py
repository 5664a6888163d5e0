"""What a rule would stop of ordinary traffic, before it is in force."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.switch import Site

from policies.dryrun import DryRun
from policies.foretell import share
from policies.impact.tally import Group, Impact, Outcome, impact_json
from policies.requests import DryRunParams
from runtime.settings import EngineSettings, HarmSettings
from topology.inventory import parse

NET = parse(
    "segments: {web: , db: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    + "".join(
        f"  web{n}: {{segment: web, vfn: v1, port: w{n}, mac: '02:00:00:00:01:{n:02x}', addresses: [10.0.0.{n}]}}\n"
        for n in range(1, 11)
    )
    + "outside: {internet: {vfn: v1, port: up, mac: '02:00:00:00:00:09', addresses: [192.0.2.1]}}\n"
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A node that tries automatic rules on the flows of two hours."""
    made = Site(NET, tmp_path / "dynseg.sqlite", EngineSettings(harm=HarmSettings(dry_run_hours=2.0)))
    made.connect()
    yield made
    made.store.close()


def answering(told: dict[str, Any], file: Path) -> DryRun:
    """A command that says this, and writes down what it was asked."""
    script = "import json, sys; open(sys.argv[1], 'w').write(json.dumps(sys.argv[2:])); print(sys.argv[2])"
    return DryRun((sys.executable, "-c", script, str(file), json.dumps(told)))


def propose(site: Site, number: int = 1) -> None:
    evidence = {"risk": 90.0, "reasons": ["scan"], "evidence_time": site.time()}
    site.say("propose", proposal=number, action="isolate", source_vm="web1", segment="web", scope="all", **evidence)


@pytest.mark.parametrize(("dropped", "action"), [(1, "isolate"), (90, "rate_limit")])
def test_an_automatic_rule_that_would_stop_too_much_is_lessened(
    site: Site, tmp_path: Path, dropped: int, action: str
) -> None:
    """To a step that stops nothing ordinary; what it would have stopped is on record."""
    told = {"segments": {"web": {"passing": 100, "dropped": dropped}}}
    site.engine.dry_run = answering(told, tmp_path / "asked")
    propose(site)
    (record,) = site.store.rules()
    assert (record.rule.action, record.rule.ordinary) == (action, dropped / 100)
    asked = json.loads((tmp_path / "asked").read_text())
    rule = json.loads(asked[asked.index("--rule") + 1])
    assert (rule["action"], rule["source_vm"]) == ("isolate", "web1")
    assert float(asked[asked.index("--since") + 1]) == pytest.approx(site.time() - 7200, abs=5)


def test_a_trial_that_fails_keeps_no_rule_waiting(site: Site) -> None:
    """Without an archive the budget goes by numbers alone."""
    site.engine.dry_run = DryRun((sys.executable, "-c", "import sys; sys.exit('no archive')"))
    propose(site)
    assert [(record.state, record.rule.ordinary) for record in site.store.rules()] == [("enforced", 0.0)]


def test_a_person_may_try_a_rule(site: Site, tmp_path: Path) -> None:
    """By its own fields; without an archive that is said."""
    site.engine.dry_run = answering({"flows": {}}, tmp_path / "asked")
    assert site.call("dry_run", action="deny", source_ip="192.0.2.0/24", since=10.0) == (200, {"flows": {}})
    asked = json.loads((tmp_path / "asked").read_text())
    assert json.loads(asked[asked.index("--rule") + 1])["source_ip"] == "192.0.2.0/24"
    assert site.call("dry_run", action="drop")[0] == 400
    site.engine.dry_run = None
    assert site.call("dry_run", action="deny", source_ip="192.0.2.0/24")[0] == 503


def test_a_rule_to_be_tried_has_the_fields_of_a_rule() -> None:
    """And the time and limit of a simulation."""
    params = DryRunParams.model_validate({"action": "isolate", "source_vm": "web1", "since": 5.0, "limit": 7})
    made = params.simulation
    assert made.rule is not None
    assert (made.rule.source_vm, made.since, made.limit) == ("web1", 5.0, 7)


GROUPS = st.lists(
    st.builds(
        lambda source, end, outcome, flows: Group(source, end, "tcp/1", outcome, flows, 0, 0, None),
        st.sampled_from(("web", "db", "outside")),
        st.sampled_from(("web", "db", "outside")),
        st.sampled_from(list(Outcome)),
        st.integers(0, 5),
    )
)


@given(GROUPS)
def test_shares_are_of_all_groups(groups: list[Group]) -> None:
    """However few are shown; a flow within a segment is one of it."""
    told = impact_json(Impact(tuple(groups), (), (), 0, 0), 1)
    for segment in ("web", "db", "outside"):
        own = [group for group in groups if segment in (group.source, group.destination)]
        dropped = sum(group.flows for group in own if group.outcome is Outcome.DROPPED)
        passing = dropped + sum(group.flows for group in own if group.outcome is Outcome.PERMITTED)
        assert share(told, segment) == (dropped / passing if passing else 0.0)
