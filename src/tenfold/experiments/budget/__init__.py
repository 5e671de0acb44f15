"""Time budgets: which network and which training length fit into a given time."""
