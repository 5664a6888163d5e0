"""Passive DNS: which VM asked for which name, and which addresses it was told."""
