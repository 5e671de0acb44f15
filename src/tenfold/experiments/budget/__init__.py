"""Which network and length fit into a given time."""
