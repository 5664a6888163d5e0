"""Instruments: UDP probes between endpoints, a watcher of an attacker's packets, echo requests to the controller."""
