"""Measurements of the rule engine: control plane and data path of VFNs. `python -m benchmarks.vfn` runs them all."""
