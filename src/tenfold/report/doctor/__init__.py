"""The run doctor: rules that explain what is unusual about a run."""
