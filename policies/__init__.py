"""Floor 2: the segmentation engine (DSE). Imports no Ryu and touches no switch."""
