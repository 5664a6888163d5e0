"""The audit log alone says what was in force at any past moment: the same as was stored then."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.switch import Site

from policies import audit
from policies.audit import AuditRow
from policies.auditreplay import Replayed, replay, replayed_json
from policies.rules import RuleState, SegmentationRule
from runtime.settings import EngineSettings, HarmSettings
from topology.inventory import parse

NET = parse(
    "segments: {web: , db: {default: deny}}\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v1, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  db1: {segment: db, vfn: v1, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
    "outside: {internet: {vfn: v1, port: up, mac: '02:00:00:00:00:09', addresses: [192.0.2.1]}}\n"
)
RULE = "- {{name: {name}, action: {action}, from: {{segment: web}}, to: {{segment: db}}, priority: {rank}}}\n"


@dataclass(frozen=True)
class Moment:
    """What was stored when the log had so many rows."""

    seq: int
    rules: dict[str, tuple[SegmentationRule, RuleState]]
    version: int
    digest: str | None
    hold: bool


def stored(site: Site) -> Moment:
    """By the database."""
    store = site.store
    version = store.policy_in_force()
    over = (RuleState.RELEASED, RuleState.ROLLED_BACK, RuleState.EXPIRED, RuleState.REFUSED)
    rules = {one.rule.id: (one.rule, one.state) for one in store.pending() if one.state not in over}
    number, digest = (0, None) if version is None else (version.number, version.digest)
    return Moment(store.count, rules, number, digest, store.controls().hold.on)


def propose(site: Site, number: int) -> None:
    """The analyzer proposes some step against a VM or an address."""
    who: dict[str, Any] = {"action": "isolate", "source_vm": ("web1", "web2", "db1")[number % 3], "scope": "all"}
    if number % 2:
        who = {"action": "deny", "source_ip": f"192.0.2.{number + 1}"}
    evidence = {"risk": 70.0 + number, "reasons": [f"reason {number}"], "evidence_time": site.time()}
    site.say("propose", proposal=number, **who, **evidence)


def on_some_rule(site: Site, number: int, method: str, **more: Any) -> None:
    """A person does something about a rule, if there is one."""
    rules = sorted(site.engine.book.records)
    if rules:
        site.call(method, actor="bert", id=rules[number % len(rules)], **more)


def harm(site: Site) -> None:
    """Ordinary flows are dropped."""
    now = site.time()
    row: dict[str, Any] = {"source_vm": "web1", "destination_vm": "db1", "source": "10.0.0.1"}
    row |= {
        "destination": "10.0.0.3",
        "protocol": 6,
        "port": 5432,
        "source_port": 1,
        "flows": 5,
        "first": now,
        "last": now,
    }
    site.say("ordinary_denied", flows=[row])


def lay_down(site: Site, number: int) -> None:
    """A person's policy."""
    rules = [RULE.format(name=f"r{n}", action=("allow", "deny")[(number + n) % 2], rank=n) for n in range(number % 3)]
    site.call("lay_down", text="rules:\n" + "".join(rules) if rules else "")


def restart(site: Site, _number: int) -> None:
    """The engine crashes, and another one begins."""
    site.restart()
    site.connect()


DEEDS: dict[str, Callable[[Site, int], Any]] = {
    "propose": propose,
    "isolate": lambda site, number: site.call("isolate", name=("web1", "web2")[number % 2], seconds=50.0 + number),
    "deny": lambda site, number: site.call("create", action="deny", source_ip=f"192.0.2.{number}"),
    "release": lambda site, number: on_some_rule(site, number, "release"),
    "approve": lambda site, number: on_some_rule(site, number, "approve"),
    "reject": lambda site, number: on_some_rule(site, number, "reject"),
    "hold": lambda site, number: site.call("hold", on=bool(number % 2)),
    "lay down": lay_down,
    "roll back": lambda site, number: site.call("rollback", version=number % 4 + 1),
    "harm": lambda site, _number: harm(site),
    "time": lambda site, number: site.pass_time((1.0, 30.0, 700.0)[number % 3]),
    "restart": restart,
    "away": lambda site, number: site.disconnect("v1") if number % 2 else site.connect(),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(DEEDS)), st.integers(0, 11)), min_size=5, max_size=25))
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
def test_the_log_rebuilds_every_moment(deeds: list[tuple[str, int]]) -> None:
    """Rules with their content and state, the policy's version, and the hold, after any sequence of deeds."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(NET, Path(folder) / "dynseg.sqlite", EngineSettings(harm=HarmSettings(flows=1)))
        site.connect()
        moments = [stored(site)]
        for name, number in deeds:
            DEEDS[name](site, number)
            moments.append(stored(site))
        rows = list(audit.rows(site.path))
        site.store.close()
    for moment in moments:
        found = replay(rows[: moment.seq])
        assert found.rules == moment.rules
        assert (found.version, found.digest, found.hold) == (moment.version, moment.digest, moment.hold)
        assert found.seq == moment.seq


def row(seq: int, kind: str, **body: Any) -> AuditRow:
    return AuditRow(seq, float(seq), "anna", kind, body, "", "")


def test_consents_and_refused_versions_are_followed() -> None:
    """A version that a switch refuses gives way to the one before; a consent ends by will, by time or by a switch."""
    rows = [
        row(1, "policy", version=1, digest="a"),
        row(2, "policy", version=2, digest="b"),
        row(3, "policy_refused", version=2, vfn="v1"),
        row(4, "consent_granted", consent="x"),
        row(5, "consent_granted", consent="y"),
        row(6, "consent_granted", consent="z"),
        row(7, "consent_expired", consent="x"),
        row(8, "consent_withdrawn", consent="y"),
    ]
    assert [replay(rows[:n]).version for n in range(4)] == [0, 1, 2, 1]
    assert replay(rows).consents == {"z"}
    assert replay([]) == Replayed(0, None, {}, 0, None, frozenset(), False)
    told = replayed_json(replay(rows))
    assert (told["policy"], told["consents"], told["time"]) == ({"version": 1, "digest": "a"}, ["z"], 8.0)


def test_rows_of_a_time_have_no_gap(tmp_path: Path) -> None:
    """From the first row of a time or later, up to the last one of a time or earlier."""
    site = Site(NET, tmp_path / "dynseg.sqlite")
    for _ in range(4):
        site.time.now += 10.0
        site.call("hold", on=True)
    whole = list(audit.rows(site.path))
    site.store.close()
    times = [found.ts for found in whole]
    assert [found.seq for found in audit.rows(site.path, since=times[2])] == [found.seq for found in whole[2:]]
    assert [found.seq for found in audit.rows(site.path, until=times[2])] == [found.seq for found in whole[:3]]
    assert list(audit.rows(site.path, since=times[-1] + 1)) == []
    assert list(audit.rows(site.path, until=times[0] - 1)) == []
