"""What control may ask of the analyzer: status, flows of a VM, verdicts, time line of risk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analyzer.collector import Collector
from analyzer.live import Live
from runtime.validation import in_words, most_telling
from topology.model import Inventory


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FlowsParams(_Params):
    """Of `flows`."""

    vm: str
    limit: int = Field(100, ge=1, le=10_000)


class NamesParams(_Params):
    """Of `names`."""

    name: str
    limit: int = Field(100, ge=1, le=10_000)


class EvidenceParams(_Params):
    """Of `evidence`."""

    limit: int = Field(100, ge=1, le=10_000)


class VerdictsParams(_Params):
    """Of `verdicts`."""

    limit: int = Field(100, ge=1, le=10_000)


class RiskParams(_Params):
    """Of `risk`."""

    since: float = 0.0


class Queries:
    """Answers calls: an HTTP status and a JSON value.

    Args:
        loop: what the process's loop says of itself, for `status`.
    """

    def __init__(
        self, live: Live, collector: Collector, inventory: Inventory, loop: Callable[[], Mapping[str, object]]
    ) -> None:
        self._live = live
        self._collector = collector
        self._inventory = inventory
        self._loop = loop
        self._started = time.time()
        self._calls: Mapping[str, Callable[[Mapping[str, Any]], tuple[int, Any]]] = {
            "status": lambda _: (200, self.status()),
            "flows": self._flows,
            "names": self._names,
            "evidence": self._evidence,
            "verdicts": self._verdicts,
            "risk": self._risk,
        }

    def answer(self, method: str, params: Mapping[str, Any]) -> tuple[int, Any]:
        """Answer one call; 400 or 404 with error and remedy when it cannot be."""
        call = self._calls.get(method)
        if call is None:
            return 404, {"error": f"the analyzer knows no {method}", "remedy": f"one of {', '.join(self._calls)}"}
        try:
            return call(params)
        except ValidationError as error:
            first = most_telling(error)
            key = ".".join(str(part) for part in first["loc"])
            return 400, {
                "error": f"{key}: {in_words(first)[0]}",
                "remedy": "see the REST table in docs/architecture.md",
            }

    def _flows(self, params: Mapping[str, Any]) -> tuple[int, Any]:
        wanted = FlowsParams.model_validate(params)
        number = self._live.names.number(wanted.vm)
        if not number:
            return _no_vm(wanted.vm)
        rows = self._live.table.newest(number, wanted.limit).rows
        return 200, [self._live.named_flow(row) for row in rows]

    def _names(self, params: Mapping[str, Any]) -> tuple[int, Any]:
        wanted = NamesParams.model_validate(params)
        number = self._live.names.number(wanted.name)
        if not number:
            return _no_vm(wanted.name)
        newest = islice(self._live.first.dns.names(number), wanted.limit)
        return 200, [{**asdict(named), "address": str(named.address)} for named in newest]

    def _evidence(self, params: Mapping[str, Any]) -> tuple[int, Any]:
        return 200, self._live.first.evidence.newest(EvidenceParams.model_validate(params).limit)

    def _verdicts(self, params: Mapping[str, Any]) -> tuple[int, Any]:
        return 200, self._live.journal.verdicts(VerdictsParams.model_validate(params).limit)

    def _risk(self, params: Mapping[str, Any]) -> tuple[int, Any]:
        return 200, self._live.journal.risk(RiskParams.model_validate(params).since)

    def status(self) -> dict[str, Any]:
        """How the analyzer is."""
        collector, learning = self._collector, self._live.learning
        exporters = collector.exporters
        vfns = {vfn.number: vfn.name for vfn in self._inventory.vfns.values()}
        lost = {vfns.get(number, str(number)): count for number, count in collector.sequences.lost.items()}
        return {
            "phase": str(learning.phase),
            "seconds_left": round(learning.seconds_left(time.monotonic()), 1),
            "problem": learning.problem,
            "baseline": learning.status(),
            "uptime_seconds": round(time.time() - self._started, 1),
            "flows": len(self._live.table),
            "records": collector.records,
            "datagrams": collector.datagrams,
            "rubbish": collector.rubbish,
            "strangers": 0 if exporters is None else exporters.strangers,
            "unknown_vfns": 0 if exporters is None else exporters.unknown_vfns,
            "clock_offsets": {vfns.get(n, str(n)): round(s, 3) for n, s in collector.clocks.offsets.items()},
            "lost": sum(lost.values()),
            "lost_by_vfn": lost,
            "ipfix": self._live.ipfix.status(),
            "shed": self._live.shedder.shed,
            "transit": self._live.transit,
            "forged_outside": self._live.forged_outside,
            "misdated": self._live.misdated,
            "copies": self._live.copies,
            "copies_unread": self._live.copies_unread,
            "first_packets": self._live.first.status(),
            "payload": self._live.payload.status(),
            **self._loop(),
            "risk": self._live.journal.highest(),
        }


def _no_vm(name: str) -> tuple[int, Any]:
    return 404, {"error": f"there is no VM {name}", "remedy": "see GET /v1/vms"}
