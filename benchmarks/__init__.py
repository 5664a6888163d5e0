"""Side-by-side measurements, each a program of its own: `python -m benchmarks.NAME`."""
