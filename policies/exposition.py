"""What Prometheus scrapes of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric

from policies import measuring
from policies.engine import Engine
from policies.store import Entry
from runtime.exposition import Exposition, gauge

PUSH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RULE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class EngineExposition:
    """Gauges of the moment, and counters of what goes on record: register `take` with the store."""

    def __init__(self, engine: Engine, version: str) -> None:
        self._engine = engine
        self._exposition = Exposition(self._families, "engine", version)
        registry = self._exposition.registry
        self._rows = Counter("dynseg_audit_rows_total", "Rows of the audit log.", ["kind"], registry=registry)
        self._push = Histogram(
            "dynseg_push_seconds",
            "From sending entries to the barrier's answer.",
            ["urgent"],
            registry=registry,
            buckets=PUSH_BUCKETS,
        )
        self._change = Histogram(
            "dynseg_rule_change_seconds",
            "From a rule's issue, or end, until it was read back from all VFNs, or its absence.",
            ["change"],
            registry=registry,
            buckets=RULE_BUCKETS,
        )
        self._drift = Counter(
            "dynseg_drift_entries_total",
            "Entries of switches that were found lost, or strange.",
            ["kind"],
            registry=registry,
        )

    def text(self) -> bytes:
        """The text to be scraped."""
        return self._exposition.text()

    def take(self, entries: Sequence[Entry]) -> None:
        """These were written to the audit log."""
        for entry in entries:
            self._rows.labels(entry.kind).inc()
            self._observe(entry.kind, entry.body)

    def _observe(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "installed" and "barrier_seconds" in body:
            self._push.labels("yes" if body.get("urgent") else "no").observe(body["barrier_seconds"])
        elif kind in ("enforced", "removed") and "seconds" in body:
            self._change.labels(kind).observe(body["seconds"])
        elif kind == "drift":
            for word in ("lost", "strange"):
                self._drift.labels(word).inc(body[word])

    def _families(self) -> Iterable[Metric]:
        engine = self._engine
        vfns = measuring.vfns(engine)
        for name, field, meaning in _OF_VFNS:
            yield gauge(name, meaning, [({"vfn": vfn["vfn"]}, vfn[field]) for vfn in vfns])
        labels = ("action", "mode", "state", "issuer")
        rules = [(dict(zip(labels, key, strict=True)), count) for key, count in measuring.rules(engine).items()]
        yield gauge("dynseg_rules", "Rules that are not over.", rules)
        number = engine.policies.version.number
        yield gauge("dynseg_policy_version", "Version of the policy in force; 0: none.", [({}, number)])


_OF_VFNS = (
    ("dynseg_vfn_connected", "connected", "1: the VFN is connected to its controller."),
    ("dynseg_vfn_in_sync", "in_sync", "1: it holds just what it shall, as last read back."),
    ("dynseg_vfn_enforced_ratio", "enforced_ratio", "Part of the entries it shall hold that is there."),
    ("dynseg_vfn_entries", "entries", "Entries that it shall hold."),
)
