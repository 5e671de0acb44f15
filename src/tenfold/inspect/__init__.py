"""What `check` and `suspects` look at: files, balance, duplicates, label quality."""
