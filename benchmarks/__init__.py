"""Benchmarks: each prints one table, ratios against peers measured in the same run first. Nothing asserts a time."""
