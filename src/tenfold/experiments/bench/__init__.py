"""Benchmarks: how fast this machine trains, loads and predicts."""
