"""What Grafana reads at its start: where metrics are, and where dashboards are.

Grafana puts environment variables into these files: `DYNSEG_METRICS_URL`, `DYNSEG_METRICS_BUCKET` and
`DYNSEG_METRICS_TOKEN` name the server; `DYNSEG_DASHBOARDS` is the folder of the JSON files.

Source: https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

from typing import Any

from dashboards.grafana_code.sources import TYPE, UID

FOLDER = "dynseg"


def data_sources() -> dict[str, Any]:
    """The server of metrics, asked by InfluxQL."""
    source = {
        "name": "dynseg metrics",
        "uid": UID,
        "type": TYPE,
        "access": "proxy",
        "url": "$DYNSEG_METRICS_URL",
        "isDefault": True,
        "editable": False,
        "jsonData": {
            "version": "InfluxQL",
            "dbName": "$DYNSEG_METRICS_BUCKET",
            "httpMode": "POST",
            "timeInterval": "10s",
            # InfluxDB 2 and 3 answer InfluxQL to whoever has a token.
            "httpHeaderName1": "Authorization",
        },
        "secureJsonData": {"httpHeaderValue1": "Token $DYNSEG_METRICS_TOKEN"},
    }
    return {"apiVersion": 1, "datasources": [source]}


def providers() -> dict[str, Any]:
    """The folder of the dashboards, watched."""
    provider = {
        "name": "dynseg",
        "folder": FOLDER,
        "folderUid": "dynseg",
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": "$DYNSEG_DASHBOARDS"},
    }
    return {"apiVersion": 1, "providers": [provider]}
