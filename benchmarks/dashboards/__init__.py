"""What the time-series database and its dashboards cost."""
