"""Floor 3: report pages. Shows, never decides."""
