"""What traffic costs on its way in: `python -m benchmarks.traffic`."""
