"""Grafana's dashboards as code: `make dashboards` writes what this package says into `dashboards/grafana/`."""
