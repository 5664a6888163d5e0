"""The kinds of panels that the dashboards are made of, each with this project's look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as common_build
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from dashboards.grafana_code import look
from dashboards.grafana_code.sources import CHOSEN, InfluxQuery

Queries = Sequence[InfluxQuery] | InfluxQuery
Links = Sequence[build.DashboardLink]

DECISIONS = {"allowed": look.GOOD, "denied": look.BAD, "unknown": look.DULL}
"""Colours of what became of flows."""
UP_OR_DOWN: look.Steps = ((None, look.BAD), (1, look.GOOD))
BYTES = {"sent": "bytes", "received": "bytes"}
RISKY = {"risk": look.RISK_STEPS}
"""Units and colours of tables of VMs."""


P = TypeVar("P", stat.Panel, timeseries.Panel, bargauge.Panel, statetimeline.Panel, table.Panel)


def _placed(panel: P, title: str, meaning: str, width: int, height: int) -> P:
    """A panel with what every kind of them has; `width` in columns of 24."""
    return panel.title(title).description(meaning).datasource(CHOSEN).height(height).span(width)


def number(
    title: str,
    query: InfluxQuery,
    meaning: str,
    *,
    unit: str = "short",
    steps: look.Steps = ((None, look.CALM),),
    calculation: str = "lastNotNull",
    width: int = 4,
    decimals: int | None = None,
    links: Links = (),
    words: Mapping[str, str] | None = None,
) -> stat.Panel:
    """One large number on the colour of its step, with its course behind it; `words` say what single values mean."""
    made = (
        _placed(stat.Panel(), title, meaning, width, look.LOW)
        .with_target(query)
        .unit(unit)
        .no_value("none")
        .thresholds(look.steps(steps))
        .color_scheme(look.by_thresholds())
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.AREA)
        .text_mode(common.BigValueTextMode.AUTO)
        .reduce_options(look.reduced(calculation))
        .data_links(list(links))
    )
    if decimals is not None:
        made.decimals(decimals)
    if words is not None:
        made.mappings([model.ValueMap({value: model.ValueMappingResult(text=text) for value, text in words.items()})])
    return made


def graph(
    title: str,
    queries: Queries,
    meaning: str,
    *,
    unit: str = "short",
    width: int = look.HALF,
    height: int = look.TALL,
    stacked: bool = False,
    bars: bool = False,
    steps: look.Steps | None = None,
    colours: Mapping[str, str] | None = None,
    maximum: float | None = None,
    calculations: Sequence[str] = (),
    links: Links = (),
) -> timeseries.Panel:
    """Series over time.

    Args:
        title: of the panel.
        queries: what is asked.
        meaning: shown when the pointer rests on the title.
        unit: Grafana's name of the unit.
        width: columns of 24.
        height: rows.
        stacked: series add up.
        bars: bars instead of lines, for what is counted by interval.
        steps: drawn as dashed lines.
        colours: of series, by their names.
        maximum: upper end of the axis.
        calculations: columns of the legend's table.
        links: what a click on a point leads to.
    """
    made = (
        _placed(timeseries.Panel(), title, meaning, width, height)
        .targets(list(_several(queries)))
        .unit(unit)
        .min(0)
        .color_scheme(look.by_name())
        .draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(70 if bars else 35 if stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(60_000.0)
        .legend(look.legend(*calculations))
        .tooltip(look.tooltip())
        .data_links(list(links))
    )
    if stacked:
        made.stacking(common_build.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if maximum is not None:
        made.max(maximum)
    if steps is not None:
        dashed = common_build.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        made.thresholds(look.steps(steps)).thresholds_style(dashed)
    for name, properties in look.colours(colours or {}):
        made.override_by_name(name, properties)
    return made


def ranking(
    title: str,
    query: InfluxQuery,
    meaning: str,
    *,
    unit: str = "short",
    width: int = look.THIRD,
    height: int = look.TALL,
    steps: look.Steps = ((None, look.CALM),),
    links: Links = (),
) -> bargauge.Panel:
    """Rows of a table (name, value) as bars, as the query orders them."""
    return (
        _placed(bargauge.Panel(), title, meaning, width, height)
        .with_target(query)
        .unit(unit)
        .min(0)
        .no_value("none")
        .thresholds(look.steps(steps))
        .color_scheme(look.by_thresholds())
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.GRADIENT)
        .reduce_options(look.reduced("sum", rows=True))
        .data_links(list(links))
    )


def lanes(
    title: str,
    query: InfluxQuery,
    meaning: str,
    *,
    unit: str = "short",
    width: int = look.FULL,
    height: int = look.TALL,
    steps: look.Steps = look.RISK_STEPS,
    links: Links = (),
) -> statetimeline.Panel:
    """A lane for each series, coloured by the step of its value: who was how risky when."""
    return (
        _placed(statetimeline.Panel(), title, meaning, width, height)
        .with_target(query)
        .unit(unit)
        .thresholds(look.steps(steps))
        .color_scheme(look.by_thresholds())
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .merge_values(True)
        .fill_opacity(80)
        .legend(look.legend())
        .tooltip(look.tooltip())
        .data_links(list(links))
    )


def rows(
    title: str,
    query: InfluxQuery,
    meaning: str,
    *,
    width: int = look.HALF,
    height: int = look.TALL,
    hidden: Sequence[str] = ("Time",),
    units: Mapping[str, str] | None = None,
    coloured: Mapping[str, look.Steps] | None = None,
    links: Mapping[str, build.DashboardLink] | None = None,
    sorted_by: str | None = None,
) -> table.Panel:
    """A table.

    Args:
        title: of the panel.
        query: what is asked.
        meaning: shown when the pointer rests on the title.
        width: columns of 24.
        height: rows.
        hidden: columns left out.
        units: of columns.
        coloured: columns whose cells have the colour of their step.
        links: what a click on a cell of a column leads to.
        sorted_by: column; the largest comes first.
    """
    made = (
        _placed(table.Panel(), title, meaning, width, height)
        .with_target(query)
        .no_value("–")
        .show_header(True)
        .cell_height(common.TableCellHeight.SM)
    )
    for name in hidden:
        made.override_by_name(name, [model.DynamicConfigValue("custom.hidden", value=True)])
    for name, unit in (units or {}).items():
        made.override_by_name(name, [model.DynamicConfigValue("unit", unit)])
    for name, values in (coloured or {}).items():
        made.override_by_name(name, _cells(values))
    for name, link in (links or {}).items():
        made.override_by_name(name, [model.DynamicConfigValue("links", [link.build()])])
    if sorted_by is not None:
        largest = common_build.TableSortByFieldState().display_name(sorted_by).desc(True)
        made.sort_by([largest])
    return made


def _cells(values: look.Steps) -> list[model.DynamicConfigValue]:
    background = common.TableColoredBackgroundCellOptions(mode=common.TableCellBackgroundDisplayMode.BASIC)
    return [
        model.DynamicConfigValue("thresholds", look.steps(values).build()),
        model.DynamicConfigValue("custom.cellOptions", background),
    ]


def _several(queries: Queries) -> Sequence[InfluxQuery]:
    return (queries,) if isinstance(queries, InfluxQuery) else queries
