"""Rules with random lives while switches, store and process fail; and what no sequence of rules may ever do."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from benchmarks.dse import protected
from benchmarks.dse.lives import Lives
from policies.rules import Action, Mode, RuleState, SegmentationRule
from policies.translate import ANALYZER, translate


def lived(folder: Path, seed: int, rules: int, seconds: float) -> Lives:
    """A run that has come to rest."""
    run = Lives(folder, seed, rules)
    run.live(seconds)
    run.settle()
    return run


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_rule_ends_as_its_history_says(tmp_path: Path, seed: int) -> None:
    """After random lives and failures audit, store, engine and switches agree about every rule, and none is lost."""
    run = lived(tmp_path, seed, rules=60, seconds=60.0)
    count = run.verdict()
    assert count.wrong == []
    assert count.differing == []
    assert count.most >= 50
    assert len(count.states) >= 5, count.states
    run.node.store.close()


@pytest.mark.slow
def test_many_rules_end_as_their_histories_say(tmp_path: Path) -> None:
    """The same with hundreds of rules and several restarts; the benchmark has a thousand rules for ten minutes."""
    run = lived(tmp_path, 1, rules=300, seconds=180.0)
    count = run.verdict()
    assert (count.wrong, count.differing) == ([], [])
    assert count.most >= 270
    assert count.restarts > 1
    run.node.store.close()


def test_what_is_wrong_in_the_end_is_found(tmp_path: Path) -> None:
    """An entry that is gone unseen, a state that nobody wrote an audit row of, and a broken promise are told."""
    run = lived(tmp_path, 4, rules=20, seconds=10.0)
    enforced = [record for record in run.node.store.rules() if record.state is RuleState.ENFORCED]
    run.node.store.write([], [replace(enforced[0], state=RuleState.FAILED)])
    run.ended.add(enforced[1].rule.id)
    run.begun.add("nobody")
    switch = run.node.switches["v0"]
    del switch.entries[next(iter(switch.entries))]
    count = run.verdict()
    told = " ".join(count.wrong)
    assert f"{enforced[0].rule.id} is failed, its history says enforced" in told
    assert f"{enforced[1].rule.id} is enforced, and somebody was told" in told
    assert "nobody was answered for" in told
    assert count.differing
    run.node.store.close()


def test_no_automatic_rule_is_against_what_is_protected(tmp_path: Path) -> None:
    """Whatever is proposed, approved, escalated or lessened, protected VMs and addresses are left alone."""
    count = protected.run(tmp_path, 300, seed=2)
    assert count.violations == 0
    assert count.in_force > 50
    assert count.sequences == 300


@pytest.mark.parametrize(
    ("rule", "against"),
    [
        ({"action": Action.ISOLATE, "source_vm": "dns1"}, True),
        ({"action": Action.ISOLATE, "source_vm": "web1"}, False),
        ({"action": Action.ISOLATE, "source_vm": "dns1", "mode": Mode.OBSERVE}, False),
        ({"action": Action.RATE_LIMIT, "source_vm": "gw1"}, True),
        ({"action": Action.RATE_LIMIT, "source_ip": ip_network("192.0.2.0/24")}, True),
        ({"action": Action.STEER, "source_vm": "gw1", "target": "web3"}, True),
        ({"action": Action.STEER, "source_vm": "gw1", "target": "web3", "mirror": True}, False),
        ({"action": Action.DENY, "source_ip": ip_network("192.0.2.53/32")}, True),
        ({"action": Action.DENY, "source_ip": ip_network("198.51.100.7/32")}, False),
    ],
)
def test_what_would_be_against_it_is_known(rule: dict, against: bool) -> None:
    """The judge of the sequences sees drops, limits and redirections of protected VMs and addresses."""
    firewall = translate(SegmentationRule("a" * 12, issuer=ANALYZER, created=0.0, **rule), protected.NETWORK)
    assert firewall
    assert any(map(protected.harms, firewall)) is against
