"""What the segmentation engine costs people: simulating policies on recorded flows."""
