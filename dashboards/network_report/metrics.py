"""A report from the server of metrics, by the queries of the dashboards."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboards import queries, resolutions
from dashboards.influxql import InfluxQl, Place, Series, Span
from dashboards.network_report.model import Course, Figure, Happening, NetworkReport, Pair, Refused, WouldDrop
from dashboards.network_report.words import count


def report(place: Place, since: float, until: float) -> NetworkReport:
    """What the server knows of a time.

    Raises:
        MetricsError: it is not there, or does not answer InfluxQL.
    """
    with InfluxQl(place) as client:
        span, variables = resolutions.looked_at(since, until, client, now=time.time())
        asked = _Asked(client, span, variables)
        denied = asked.rows(queries.PAIRS_DENIED)
        return NetworkReport(
            since=since,
            until=until,
            step=span.step,
            source=f"metrics of {place.url}, database {place.database}, {span.step} s to an interval",
            figures=_figures(asked),
            risks=asked.courses(queries.RISKS, "vm"),
            happenings=_happenings(asked.rows(queries.EVENTS_ALL)),
            decisions=asked.courses(queries.FLOWS_BY_DECISION, "decision"),
            pairs=_pairs(asked.rows(queries.PAIRS), denied),
            refused=_refused(denied),
            would_drop=_would_drop(asked.rows(queries.WOULD_DROP)),
            would_drop_note="Counted by the switches, packet by packet, for rules that are only observed.",
        )


@dataclass(frozen=True)
class _Asked:
    """The server, asked about one time."""

    client: InfluxQl
    span: Span
    variables: Mapping[str, Sequence[str]]

    def series(self, query: str) -> list[Series]:
        return self.client.ask(query, self.span, self.variables)

    def rows(self, query: str) -> list[dict[str, object]]:
        return [row for series in self.series(query) for row in series.dicts()]

    def courses(self, query: str, tag: str) -> dict[str, Course]:
        """Series by the value of a tag."""
        return {series.tags[tag]: _course(series) for series in self.series(query)}

    def course(self, query: str) -> Course:
        """The one series of an answer; empty when there is none."""
        return next(map(_course, self.series(query)), [])

    def number(self, query: str) -> float | None:
        """The one number of an answer; None when there is none."""
        found = [series.numbers("value")[-1] for series in self.series(query)]
        return float(found[0]) if found and not math.isnan(found[0]) else None


def _course(series: Series) -> Course:
    values = zip(series.rows, series.numbers("value").tolist(), strict=True)
    return [(row[0], value) for row, value in values if not math.isnan(value)]


def _figures(asked: _Asked) -> list[Figure]:
    risk, at_risk = asked.number(queries.HIGHEST_RISK), asked.number(queries.VMS_AT_RISK) or 0
    cut, denied = asked.number(queries.CUT_OFF) or 0, asked.number(queries.FLOWS_DENIED) or 0
    lost = sum(value for _, value in asked.course(queries.LOST))
    ratio = asked.number(queries.ENFORCED)
    return [
        risk_figure(risk),
        at_risk_figure(at_risk),
        Figure("cut off at the end", count(cut), "isolations enforced", "warn" if cut else "good"),
        Figure("flows denied", count(denied), "dropped by a switch"),
        enforced_figure(ratio),
        Figure("flow records lost", count(lost), "on the way to the analyzer", "warn" if lost else "good"),
    ]  # fmt: skip


def risk_figure(risk: float | None) -> Figure:
    """The highest risk, with the level of its step."""
    if risk is None:
        return Figure("highest risk", "–", "of any VM; nothing was judged")
    level = "bad" if risk >= queries.GRAVE_RISK else "warn" if risk >= queries.ACTING_RISK else "good"
    return Figure("highest risk", f"{risk:.0f}", "of any VM, of 100", level)


def at_risk_figure(vms: float) -> Figure:
    """How many VMs a rule could have been made for."""
    aside = f"at {queries.ACTING_RISK} or more at some time"
    return Figure("VMs at risk", count(vms), aside, "warn" if vms else "good")


def enforced_figure(ratio: float | None) -> Figure:
    """How much of what VFNs should hold is there."""
    if ratio is None:
        return Figure("rules in the switches", "–", "nothing was told of them")
    level = "good" if ratio == 1 else "bad"
    return Figure("rules in the switches", f"{100 * ratio:.4g} %", "at the end, in the VFN that lacks most", level)


def _happenings(rows: Sequence[Mapping[str, object]]) -> list[Happening]:
    found = [
        Happening(
            float(str(row["time"])),
            *(str(row[name] or "") for name in ("kind", "title", "text", "actor", "vm")),
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: each.time)


def _pairs(passed: Sequence[Mapping[str, object]], denied: Sequence[Mapping[str, object]]) -> list[Pair]:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in passed:
        of = counts[str(row["src_segment"]), str(row["dst_segment"])]
        of[0] += _whole(row["flows"])
        of[1] += _whole(row["bytes"])
    for row in denied:
        counts[str(row["src_segment"]), str(row["dst_segment"])][2] += _whole(row["flows"])
    return [Pair(*ends, *numbers) for ends, numbers in sorted(counts.items())]


def _refused(rows: Sequence[Mapping[str, object]]) -> list[Refused]:
    found = [
        Refused(str(row["src_segment"]), str(row["dst_segment"]), str(row["service"]), _whole(row["flows"]))
        for row in rows
    ]
    return sorted((each for each in found if each.flows), key=lambda each: -each.flows)


def _would_drop(rows: Sequence[Mapping[str, object]]) -> list[WouldDrop]:
    found = [WouldDrop(str(row["rule"]), None, _whole(row["packets"]), _whole(row["bytes"])) for row in rows]
    return sorted((each for each in found if each.packets), key=lambda each: -each.packets)


def _whole(value: object) -> int:
    return 0 if value is None else int(float(str(value)))
