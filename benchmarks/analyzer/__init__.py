"""What the analyzer costs and how far its figures can be trusted."""
