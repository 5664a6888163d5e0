"""Which rule decides about a packet, and where: by the reference, by the table entries, by the switches themselves."""
