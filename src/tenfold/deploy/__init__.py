"""Trained classifiers at work: prediction and export."""
