"""What can be wrong with a run: one small function for each rule, from what is known to a finding or nothing."""
