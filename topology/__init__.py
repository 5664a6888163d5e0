"""Floor 1: what the network consists of. Knows neither policy nor OpenFlow."""
