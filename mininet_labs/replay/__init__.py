"""Captures played through real VFNs: `python -m mininet_labs.replay CAPTURE`."""
