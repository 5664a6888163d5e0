"""Points of the time-series database: schema, sources, and the writer that nobody waits for."""
