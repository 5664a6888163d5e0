"""What Prometheus scrapes of the analyzer: its status (`analyzer.queries`), by the conventions of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.metrics_core import Metric

from runtime.exposition import Exposition, counter, gauge

_COUNTERS = {
    "datagrams": "Datagrams of NetFlow and IPFIX.",
    "records": "Records in datagrams of NetFlow.",
    "rubbish": "Datagrams that are no telemetry.",
    "strangers": "Datagrams of senders that may not report.",
    "misdated": "Records from the future, left out.",
    "copies": "Copies of packets that open connections.",
}
_PHASES = ("waiting", "learning", "fitting", "judging")


def exposition(status: Callable[[], Mapping[str, Any]], segments: Mapping[int, str], version: str) -> Exposition:
    """Of an analyzer with this status; `segments` are names by number."""
    return Exposition(lambda: _families(status(), segments), "analyzer", version)


def _families(status: Mapping[str, Any], segments: Mapping[int, str]) -> Iterable[Metric]:
    for name, meaning in _COUNTERS.items():
        yield counter(f"dynseg_telemetry_{name}_total", meaning, [({}, status[name])])
    lost = [({"vfn": vfn}, count) for vfn, count in status["lost_by_vfn"].items()]
    yield counter("dynseg_telemetry_lost_records_total", "Records that VFNs sent and that did not arrive.", lost)
    yield counter("dynseg_telemetry_shed_events_total", "Events not judged in time.", [({}, status["shed"])])
    slowest = "From a datagram's receipt to the end of its judgement, the slowest of the last minute."
    yield gauge("dynseg_verdict_delay_max_seconds", slowest, [({}, status["delay_ms"] / 1000)])
    usual = "The same, but for the slowest hundredth."
    yield gauge("dynseg_verdict_delay_p99_seconds", usual, [({}, status["delay_p99_ms"] / 1000)])
    yield gauge("dynseg_flows_in_memory", "Flows in the table.", [({}, status["flows"])])
    phases = [({"phase": phase}, int(phase == status["phase"])) for phase in _PHASES]
    yield gauge("dynseg_analyzer_phase", "1: what the analyzer is doing.", phases)
    drift = [({"segment": segments[one["segment"]]}, one["share"]) for one in status["baseline"]["drift"]]
    yield gauge("dynseg_segment_drift_ratio", "Part of a segment's traffic that its baseline finds unusual.", drift)
    risk = status["risk"].values()
    yield gauge("dynseg_subjects_at_risk", "VMs and outside addresses with a risk of 1 or more.", [({}, len(risk))])
    yield gauge(
        "dynseg_highest_risk", "Highest risk of a VM or outside address, 0 to 100.", [({}, max(risk, default=0))]
    )
    yield gauge(
        "dynseg_engine_connected", "1: the analyzer reaches the engine.", [({}, int(status["engine_connected"]))]
    )
    yield from _of_archive(status["archive"])


def _of_archive(archive: Mapping[str, Any] | None) -> Iterable[Metric]:
    if archive is None:
        return
    fates = [({"fate": fate}, archive[fate]) for fate in ("written", "dropped")]
    yield counter("dynseg_archive_flows_total", "Flows for the archive, by what became of them.", fates)
    yield gauge("dynseg_archive_waiting_flows", "Flows that wait to be written.", [({}, archive["waiting"])])
    yield counter(
        "dynseg_archive_failures_total", "Writes that failed, and are tried again.", [({}, archive["failures"])]
    )
