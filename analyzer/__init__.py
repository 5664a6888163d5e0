"""Floor 2: the traffic analyzer (ATA). Imports no Ryu, touches no switch, and of `policies` only `policies.rules`."""
