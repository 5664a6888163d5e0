"""What the processes tell becomes points: increments of totals, names of numbers, rows of the audit log as events."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.control import free_port
from support.telemetry import START, inventory

from analyzer.collector import Collector
from analyzer.flows import TCP, Fate, FlowBatch, FlowState
from analyzer.live import Live
from analyzer.queries import Queries
from analyzer.tally import Tally
from dashboards.metrics import events
from dashboards.metrics.lines import Encoder
from dashboards.metrics.points import AnalyzerPoints, EnginePoints, Intervals, ProcessPoints, Running
from policies.audit import AuditRow
from runtime.health import health
from runtime.settings import Settings

NET = inventory()
ENCODER = Encoder("n")
SERVICES = ("tcp/443",)


def fields(line: str) -> tuple[str, dict[str, str]]:
    """(measurement and tags, fields) of a line without texts."""
    key, values, _ = line.split(" ")
    return key, dict(value.split("=") for value in values.split(","))


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=20))
def test_increments_add_up_to_what_was_counted_since_the_first_look(grown: list[int]) -> None:
    """Whatever came between two looks is in the second one."""
    running, total, found = Running(), 0, 0.0
    for by in grown:
        total += by
        found += running.since({"a": total})["a"]
    assert found == sum(grown[1:])


def test_a_total_that_began_anew_counts_from_zero() -> None:
    """After a restart, what a process shows came since; what was never seen before counts whole."""
    running = Running()
    assert running.since({"a": 10.0}) == {"a": 0}
    assert running.since({"a": 4.0, "b": 2.0}) == {"a": 4.0, "b": 2.0}


def test_an_interval_has_its_points_by_name() -> None:
    """One flow from web1 to db1: a point for the pair, the VMs, their segments, the VFN."""
    tally = Tally(NET, SERVICES, 100, 10.0, START)
    rows = FlowBatch.empty(1).rows
    rows["src_vm"], rows["dst_vm"], rows["proto"], rows["dst_port"] = 1, NET.vms["db1"].number, TCP, 443
    rows["src_pkts"], rows["src_bytes"], rows["state"], rows["fate"], rows["vfn"] = (
        2,
        100,
        FlowState.NEW,
        Fate.DROPPED,
        1,
    )
    tally.take(rows)
    tally.close(START + 10, {"web1": 70.0})
    interval = tally.after(0)
    assert interval is not None
    lines = Intervals(ENCODER, NET, SERVICES).lines(interval)
    assert all(line.endswith(f" {START * 1000:.0f}") for line in lines)
    found = dict(fields(line) for line in lines)
    pair = "dynseg_flows,node=n,src_segment=web,dst_segment=db,service=tcp/443,decision=denied"
    assert found[pair]["packets"] == "2i"
    assert (
        found["dynseg_vm,node=n,vm=web1,segment=web,vfn=leaf1"] | {"risk": "70"}
        == found["dynseg_vm,node=n,vm=web1,segment=web,vfn=leaf1"]
    )
    assert found["dynseg_segment,node=n,segment=web"]["at_risk"] == "1i"
    assert found["dynseg_segment,node=n,segment=db"]["flows_in"] == "1i"
    assert found["dynseg_vfn,node=n,vfn=leaf1,decision=denied"]["flows"] == "1i"


def test_the_analyzers_own_status_is_understood(tmp_path: Path) -> None:
    """The keys that points are made of are those that a real analyzer has."""
    live = Live(Settings(state_dir=tmp_path), NET)
    loop = {"engine_connected": True, "engine_dropped": 0, "delay_ms": 5.0, "delay_p99_ms": 4.0, "archive": None}
    collector = Collector("127.0.0.1", free_port(socket.SOCK_DGRAM), None)
    status = Queries(live, collector, NET, lambda: loop).status()
    collector.close()
    live.close()
    points = AnalyzerPoints(ENCODER, NET)
    lost = {"leaf1": 9}
    list(points.lines(status, 0, START))
    found = dict(fields(line) for line in points.lines({**status, "records": 7, "lost_by_vfn": lost}, 2, START))
    assert found["dynseg_telemetry,node=n"]["records"] == "7i"
    assert found["dynseg_telemetry,node=n"]["intervals_dropped"] == "2i"
    assert found["dynseg_telemetry,node=n"]["delay_seconds"] == "0.004"
    assert found["dynseg_telemetry_loss,node=n,vfn=leaf1"]["lost"] == "9i"
    assert found["dynseg_learning,node=n"]["judging"] == "0i"


def test_rules_that_went_are_told_with_zero_and_hits_are_increments() -> None:
    """A state that nobody is in any more is 0 from then on; a rule of the moment counts under its action."""
    points = EnginePoints(ENCODER)
    row: dict[str, Any] = {
        "key": "r1",
        "rule": "(isolate)",
        "kind": "segmentation",
        "action": "isolate",
        "mode": "enforce",
    }

    def lines(rules: list[list[Any]], hits: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
        return dict(fields(line) for line in points.lines({"rules": rules, "hits": hits}, START))

    rules = [["isolate", "enforce", "enforced", "analyzer", 2]]
    lines(rules, [row | {"packets": {"denied": 5}, "bytes": {"denied": 500}}])
    more = [row | {"packets": {"denied": 8}, "bytes": {"denied": 800}}]
    more.append(row | {"key": "r2", "packets": {"denied": 4}, "bytes": {"denied": 400}})
    found = lines([], more)
    assert found["dynseg_rules,node=n,action=isolate,mode=enforce,state=enforced,issuer=analyzer"]["rules"] == "0i"
    (hits,) = (value for key, value in found.items() if key.startswith("dynseg_rule_hits"))
    assert (hits["denied"], hits["denied_bytes"]) == ("7i", "700i")


def test_a_process_that_does_not_answer_is_down() -> None:
    """`up` is 0 and nothing else is known; processor time is what was spent since the last look."""
    points = ProcessPoints(ENCODER)
    points.line("engine", {**health(), "cpu_seconds": 5.0}, {}, START)
    (line,) = points.line("engine", {**health(), "cpu_seconds": 5.5}, {"starts": 2}, START)
    assert fields(line)[1] | {"up": "1i", "cpu_seconds": "0.5", "starts": "2i"} == fields(line)[1]
    (line,) = points.line("engine", None, {}, START)
    assert fields(line)[1] == {"up": "0i"}


def row(kind: str, actor: str = "engine", ts: float = START, **body: Any) -> AuditRow:
    return AuditRow(1, ts, actor, kind, body, "", "")


def test_what_happened_to_a_vm_is_on_the_graphs_with_its_reason() -> None:
    """An isolation and its release, each with VM, segment and VFN, title, text, rule and actor."""
    rows = [
        row("admitted", "analyzer", rule="r1", action="isolate", source_vm="web1", reasons=["scans", "is odd"]),
        row("released", "alice", rule="r1", action="isolate", vm="web1", reason="false alarm"),
        row("installed", vfn="leaf1", barrier_seconds=0.01),
    ]
    first, second = events.Events(ENCODER, NET).lines(rows)
    key = "dynseg_events,node=n,kind=isolation,vm=web1,segment=web,vfn=leaf1"
    assert (
        first == f'{key} title="web1 isolated",text="scans; is odd",rule="r1",actor="analyzer",events=1i 1800000000000'
    )
    assert "kind=release" in second
    assert 'text="false alarm"' in second


def test_two_events_of_one_moment_are_two_points() -> None:
    """Of two points of one series and one moment the database would keep one."""
    maker = events.Events(ENCODER, NET)
    rows = [row("policy", version=number) for number in (1, 2, 3)]
    moments = [line.rsplit(" ", 1)[1] for line in maker.lines(rows)]
    assert len(set(moments)) == 3


@pytest.mark.parametrize("state", ["proposed", "approved"])
def test_what_only_waits_for_consent_is_no_isolation_yet(state: str) -> None:
    """A proposal is no event until it is being installed."""
    rows = [row("admitted", "analyzer", rule="r", action="isolate", source_vm="web1", state=state)]
    assert list(events.Events(ENCODER, NET).lines(rows)) == []


def test_only_who_was_held_is_released() -> None:
    """The ends of a step below a stronger one, of a probation, a proposal and an observed rule free nobody."""
    ends: tuple[dict[str, Any], ...] = (
        {"was": "enforced", "superseded_by": "r2"},
        {"was": "probation"},
        {"was": "proposed"},
        {"was": "expiring"},
        {"was": "enforced", "mode": "observe"},
    )
    rows = [row("released", rule="r1", action="restrict", vm="web1", **end) for end in ends]
    rows.append(row("expiring", rule="r3", action="isolate", vm="web1", was="enforced", reason="its time is over"))
    rows.append(row("probation", rule="r3", action="isolate", vm="web1", was="expiring"))
    found = list(events.Events(ENCODER, NET).lines(rows))
    assert len(found) == 1
    assert "kind=release" in found[0]
    assert 'title="web1: its time is over"' in found[0]


def test_an_observed_rule_isolates_nobody() -> None:
    """Its beginning is told as what it is, and not as an isolation."""
    told: dict[str, Any] = {
        "rule": "r",
        "action": "isolate",
        "source_vm": "web1",
        "reasons": ["scans"],
        "mode": "observe",
    }
    (line,) = events.Events(ENCODER, NET).lines([row("admitted", "analyzer", **told)])
    assert "kind=observation" in line
    assert 'title="web1 isolated, were the rule enforced"' in line


def test_pushes_times_and_drift_are_added_up_by_vfn() -> None:
    """Two pushes of leaf1, the slower one apart; entries lost and strange; and how long a rule took."""
    told = events.add_up(
        [
            row("installed", vfn="leaf1", barrier_seconds=0.01),
            row("installed", vfn="leaf1", barrier_seconds=0.03, urgent=True),
            row("drift", vfn="leaf1", lost=2, strange=1),
            row("failed", vfn="leaf1", reason="no"),
            row("enforced", rule="r", action="isolate", vfns=["leaf1"], seconds=0.2),
            row("released", "alice", rule="r", action="isolate", reason="no", false_alarm=True, behaviour="scan"),
        ]
    )
    state = {"vfn": "leaf1", "connected": 1, "in_sync": 1, "enforced_ratio": 1.0, "entries": 9, "rules": 0}
    lines = [line for line in events.sum_lines(told, [state], ENCODER, time.time()) if line is not None]
    found = dict(fields(line) for line in lines)
    leaf = found["dynseg_enforcement,node=n,vfn=leaf1"]
    assert (leaf["pushes"], leaf["push_seconds"], leaf["push_seconds_max"]) == ("2i", "0.04", "0.03")
    assert (leaf["lost_entries"], leaf["strange_entries"], leaf["failures"]) == ("2i", "1i", "1i")
    assert found["dynseg_rule_times,node=n,action=isolate,change=enforced"]["seconds_max"] == "0.2"
    assert found["dynseg_feedback,node=n,behaviour=scan"]["false_alarms"] == "1i"
    assert found["dynseg_audit,node=n,kind=released,by=person"]["rows"] == "1i"
