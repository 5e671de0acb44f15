"""Recipes: what to train and how, in one TOML file whose keys are all validated."""
