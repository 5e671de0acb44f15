"""Trained classifiers in use: prediction and export."""
