"""Payload inspection: what VMs under a consent say is searched for the patterns that it names, and forgotten."""
