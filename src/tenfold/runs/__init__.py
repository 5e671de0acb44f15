"""Run folders and model files: what training writes and everything else reads."""
