"""Floor 0: what every dynseg process stands on: errors, settings, log set-up and the channel between processes."""
