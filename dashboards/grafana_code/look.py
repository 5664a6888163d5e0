"""What all panels have in common: colours with a meaning, steps of risk, sizes, legends, links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common as common_build
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries

GOOD, FAIR, WARN, BAD, CALM, DULL = "green", "yellow", "orange", "red", "blue", "#8e8e8e"

RISK_STEPS: Sequence[tuple[float | None, str]] = (
    (None, GOOD),
    (queries.FAIR_RISK, FAIR),
    (queries.ACTING_RISK, WARN),
    (queries.GRAVE_RISK, BAD),
)

THIRD, HALF, TWO_THIRDS, FULL = 8, 12, 16, 24
"""Widths of panels; a dashboard has 24 columns."""
TALL, LOW = 8, 4
"""Heights."""

Steps = Sequence[tuple[float | None, str]]


def steps(values: Steps) -> build.ThresholdsConfig:
    """Colours from each value on; the first has none and is what lies below all others."""
    found = [model.Threshold(value=value, color=colour) for value, colour in values]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def above(warn: float, bad: float) -> Steps:
    """Green, orange from `warn`, red from `bad`."""
    return ((None, GOOD), (warn, WARN), (bad, BAD))


def below(bad: float, warn: float) -> Steps:
    """Red, orange from `bad`, green from `warn`."""
    return ((None, BAD), (bad, WARN), (warn, GOOD))


def by_thresholds() -> build.FieldColor:
    """A value has the colour of its step."""
    return build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def by_name() -> build.FieldColor:
    """A series has the colour of its name, the same in every panel."""
    return build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def colours(named: Mapping[str, str]) -> list[tuple[str, list[model.DynamicConfigValue]]]:
    """Overrides (name, properties) that give series with these names these colours."""
    fixed = model.FieldColorModeId.FIXED
    return [
        (name, [model.DynamicConfigValue("color", {"mode": fixed, "fixedColor": colour})])
        for name, colour in named.items()
    ]


def legend(*calculations: str) -> common_build.VizLegendOptions:
    """A table below the graph when there is something to calculate, else a line of names."""
    made = common_build.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
    mode = common.LegendDisplayMode.TABLE if calculations else common.LegendDisplayMode.LIST
    return made.display_mode(mode).calcs(list(calculations))


def tooltip() -> common_build.VizTooltipOptions:
    """All series at the pointer, the largest first."""
    return common_build.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)


def reduced(calculation: str, *, rows: bool = False) -> common_build.ReduceDataOptions:
    """One number of each series (or each row of a table): `lastNotNull`, `sum`, `max` ..."""
    return common_build.ReduceDataOptions().calcs([calculation]).values(rows).fields("")


def to_dashboard(title: str, uid: str, **variables: str) -> build.DashboardLink:
    """A link of a value to another dashboard, at the same time.

    Args:
        title: what a reader clicks.
        uid: of the dashboard.
        variables: its variables and what they are set to, e.g. ``vm="${__field.labels.vm}"``.
    """
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    # `${source}` goes along: the other dashboard asks the same server.
    url = f"/d/{uid}?${{__url_time_range}}&var-source=${{source}}{chosen}"
    return build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url)
