"""What to train and how: one TOML file, checked key by key."""
