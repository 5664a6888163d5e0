"""Where panels get their data: the data source, InfluxQL targets, variables, and annotations.

The SDK has no query type for InfluxDB; `InfluxQuery` is what Grafana's own plugin writes for a raw query
(`public/app/plugins/datasource/influxdb/types.ts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model

TYPE = "influxdb"
UID = "dynseg-metrics"
"""Of the data source that is provisioned; dashboards let a reader choose another of the same type."""
CHOSEN = model.DataSourceRef(type_val=TYPE, uid="${source}")
FIXED = model.DataSourceRef(type_val=TYPE, uid=UID)

Format = Literal["time_series", "table"]


@dataclass(frozen=True)
class InfluxQuery(Dataquery, Builder[Dataquery]):
    """A raw InfluxQL query, as its own builder.

    Args:
        query: InfluxQL with Grafana's macros.
        alias: name of each series, from its tags: `$tag_vm`; empty: as Grafana makes it.
        shape: `table` for rows as they are, else series over time.
        ref: letter of the query within its panel.
        source: which data source.
    """

    query: str
    alias: str = ""
    shape: Format = "time_series"
    ref: str = "A"
    source: model.DataSourceRef = CHOSEN

    def build(self) -> Dataquery:
        """Itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """As the plugin saves it."""
        written: dict[str, object] = {
            "refId": self.ref,
            "datasource": self.source,
            "query": self.query,
            "rawQuery": True,
            "resultFormat": self.shape,
        }
        return {**written, "alias": self.alias} if self.alias else written


def source_variable() -> build.DatasourceVariable:
    """Which server is asked; hidden nowhere, so that a second network is a click away."""
    current = model.VariableOption(selected=True, text="dynseg metrics", value=UID)
    return build.DatasourceVariable("source").label("metrics").type(TYPE).current(current)


def variable(name: str, query: str, label: str, *, several: bool = True) -> build.QueryVariable:
    """Values that a query tells, such as the segments there are.

    Args:
        name: of the variable, and of the query parameter `var-NAME` of links to the dashboard.
        query: InfluxQL that lists tag values.
        label: what a reader sees.
        several: any number may be chosen, `All` to begin with; else exactly one.
    """
    made = (
        build.QueryVariable(name)
        .label(label)
        .datasource(CHOSEN)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if several:
        # `All` means any text: a list of a thousand names would be a long regular expression.
        every = model.VariableOption(selected=True, text=["All"], value=["$__all"])
        made.multi(True).include_all(True).all_value(".*").current(every)
    return made


class Annotation(model.AnnotationQuery, Builder[model.AnnotationQuery]):
    """Events drawn over every graph of a dashboard.

    Args:
        name: what a reader switches on and off.
        query: InfluxQL whose columns are `title`, `text` and those named by `tags`.
        colour: of its lines.
        tags: columns shown as tags.
    """

    def __init__(self, name: str, query: str, colour: str, tags: str = "") -> None:
        super().__init__(name=name, datasource=CHOSEN, enable=True, icon_color=colour)
        self._query = query
        self._tags = tags

    def build(self) -> model.AnnotationQuery:
        """Itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """With the plugin's own target: the SDK knows only that of Grafana's built-in annotations."""
        target: dict[str, object] = {
            "refId": "Anno",
            "query": self._query,
            "rawQuery": True,
            "queryType": "tags",
            "fromAnnotations": True,
            "name": self.name,
            "titleColumn": "title",
            "textColumn": "text",
            "tagsColumn": self._tags,
            "timeEndColumn": "",
            "limit": 1000,
            "matchAny": False,
            "tags": [],
            "type": "tags",
        }
        return {**super().to_json(), "target": target}
