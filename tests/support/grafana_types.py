"""A TypeScript program that says of each dashboard that it is what Grafana's own types demand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_PANELS = {
    "stat": "Stat",
    "timeseries": "TimeSeries",
    "bargauge": "BarGauge",
    "state-timeline": "StateTimeline",
    "table": "Table",
}
"""Panel type -> how its types' module is called."""

_HEAD = """\
import type { Dashboard, DataQuery, Panel } from '@grafana/schema';

// Enumerations are written as their values; everything else stays as it is.
type Written<T> = T extends string ? `${T}` : T extends (infer E)[] ? Written<E>[]
  : T extends object ? { [K in keyof T]: Written<T[K]> } : T;
// What Grafana's plugin for InfluxDB reads of a query (public/app/plugins/datasource/influxdb/types.ts).
interface InfluxQuery extends DataQuery {
  query: string; rawQuery: true; resultFormat: 'time_series' | 'table'; alias?: string;
}
// The same of a query for annotations: the columns of its answer.
interface InfluxAnnotation extends DataQuery {
  query: string; rawQuery: true; fromAnnotations: true; name: string; queryType: 'tags'; type: 'tags'; tags: [];
  titleColumn: string; textColumn: string; tagsColumn: string; timeEndColumn: string; limit: number; matchAny: false;
}
"""


def program(dashboards: Mapping[str, Mapping[str, Any]]) -> str:
    """The program: it has no output, only types to check."""
    kinds = sorted({panel["type"] for each in dashboards.values() for panel in panels(each)})
    lines = [_HEAD]
    for kind in kinds:
        name = _PANELS[kind]
        module = name.lower()
        path = f"@grafana/schema/dist/esm/raw/composable/{module}/panelcfg/x/{name}PanelCfg_types.gen"
        lines.append(f"import type * as {name} from '{path}';")
    for number, (name, dashboard) in enumerate(dashboards.items()):
        lines.append(
            f"// {name}\nexport const d{number}: Written<Dashboard> = {_literal(_without_targets(dashboard))};"
        )
        targets = [annotation["target"] for annotation in dashboard["annotations"]["list"]]
        lines.append(f"export const d{number}a: Written<InfluxAnnotation>[] = {_literal(targets)};")
        for panel in panels(dashboard):
            lines += _panel(f"d{number}p{panel['id']}", panel)
    return "\n".join(lines) + "\n"


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All but headings."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def _panel(name: str, panel: Mapping[str, Any]) -> Iterator[str]:
    kind = _PANELS[panel["type"]]
    yield f"export const {name}: Written<Panel> = {_literal({k: v for k, v in panel.items() if k != 'targets'})};"
    yield f"export const {name}o: Written<Partial<{kind}.Options>> = {_literal(panel.get('options', {}))};"
    yield f"export const {name}t: Written<InfluxQuery>[] = {_literal(panel['targets'])};"
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    if custom:
        yield f"export const {name}c: Written<Partial<{kind}.FieldConfig>> = {_literal(custom)};"


def _without_targets(dashboard: Mapping[str, Any]) -> dict[str, Any]:
    """The types of queries are their plugin's, not the dashboard's."""

    def bare(each: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in each.items() if key not in {"target", "targets"}}

    annotations = {"list": [bare(each) for each in dashboard["annotations"]["list"]]}
    return {**dashboard, "panels": [bare(each) for each in dashboard["panels"]], "annotations": annotations}


def _literal(value: object) -> str:
    return json.dumps(value, indent=1)
