"""What a hostile VM of a lab does, with real tools."""
